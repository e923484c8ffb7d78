#!/usr/bin/env bash
# Runs the blocks of one page as a reader would: in one shell, one after the other, where nothing is on the network but what
# the page starts. It is the first process of namespaces of its own, so that whatever it leaves behind ends with it.
# $SESSION/blocks has the blocks in their order, *.run and *.server; $SESSION/failed says where and why it stopped.
set -Eeuo pipefail
shopt -s nullglob
ip link set lo up
_servers=()
trap 'echo "line $LINENO: $BASH_COMMAND" > "$SESSION/failed"' ERR

_fail() {
  echo "$1" > "$SESSION/failed"
  exit 1
}

_has_started() { # LOG PORT
  if [ -n "$2" ]; then
    (exec 3<> "/dev/tcp/127.0.0.1/$2") 2> /dev/null
  else
    grep -qE '^Gatehouse is ready|listens on' "$1"
  fi
}

_serve() { # BLOCK LOG
  local _port='' _deadline=$((SECONDS + 240))
  [ ! -e "$1.port" ] || _port=$(< "$1.port")
  set -m
  (. "$1") > "$2" 2>&1 < /dev/null &
  set +m
  _servers+=($!)
  until _has_started "$2" "$_port"; do
    kill -0 "${_servers[-1]}" 2> /dev/null || _fail 'the server has ended'
    [ $SECONDS -lt $_deadline ] || _fail 'the server has not started in time'
    sleep 0.1
  done
}

# Until all of its processes are gone: one that drains still has the port of who comes next.
_stop_last_server() {
  local _group=${_servers[-1]} _deadline=$((SECONDS + 60))
  kill -TERM -- "-$_group"
  wait "$_group" || true
  while kill -0 -- "-$_group" 2> /dev/null; do
    [ $SECONDS -lt $_deadline ] || _fail 'the server has not ended in time'
    sleep 0.1
  done
  unset '_servers[-1]'
}

for _block in "$SESSION"/blocks/*.{run,server}; do echo "$_block"; done | sort > "$SESSION/order"
# On a descriptor of its own: a command that reads standard input must not eat what follows.
while read -r _block <&9; do
  _log="$SESSION/logs/${_block##*/}"
  echo "${_block##*/}" > "$SESSION/current"
  if [[ $_block == *.server ]]; then
    [ ! -e "$_block.instead" ] || _stop_last_server
    _serve "$_block" "$_log"
    continue
  fi
  : > "$SESSION/refused"
  . "$_block" > "$_log" 2>&1 < /dev/null
  _got=$(sort "$SESSION/refused" | xargs)
  [ "$_got" = "$(< "$_block.refused")" ] || _fail "curl was answered with: ${_got:-no status above 399}"
done 9< "$SESSION/order"
rm "$SESSION/current"
