import { VERSION_LENGTH } from './commit-rules.ts'
import { createScript } from './redis-link.ts'

/**
 * A commit. KEYS: for a listed collection its index and its expiry index, then one key for each change.
 * ARGV: the new version, `1` when listed, then five for each change: kind, expectation (empty: absent, `*`: any, `=` and
 * a version), id, TTL in ms (empty: permanent), JSON. Gives 0, or the position of the first change whose expectation
 * does not hold.
 *
 * A record is its version followed by its JSON. The index orders ids; the expiry index says until when, so that each
 * commit takes out a few that are gone. Both live as long as the longest-lived record of the collection.
 */
export const COMMIT = createScript(`
local version, isListed = ARGV[1], ARGV[2] == '1'
local first = isListed and 2 or 0
local count = #KEYS - first
local function change(position)
  local at = 2 + (position - 1) * 5
  return KEYS[first + position], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
end

for position = 1, count do
  local key, _, expectation = change(position)
  if expectation ~= '*' then
    local held = redis.call('GETRANGE', key, 0, ${VERSION_LENGTH - 1})
    if held ~= string.sub(expectation, 2) then return position end
  end
end

local index, expiry = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lifetime = isListed and redis.call('PTTL', index) or -2

for position = 1, count do
  local key, kind, _, id, ttl, json = change(position)
  if kind == 'put' and ttl == '' then
    redis.call('SET', key, version .. json)
    lifetime = -1
    if isListed then
      redis.call('ZADD', index, 0, id)
      redis.call('ZREM', expiry, id)
    end
  elseif kind == 'put' then
    redis.call('SET', key, version .. json, 'PX', ttl)
    if lifetime ~= -1 then lifetime = math.max(lifetime, tonumber(ttl)) end
    if isListed then
      redis.call('ZADD', index, 0, id)
      redis.call('ZADD', expiry, now + ttl, id)
    end
  elseif kind == 'delete' then
    redis.call('DEL', key)
    if isListed then
      redis.call('ZREM', index, id)
      redis.call('ZREM', expiry, id)
    end
  end
end

if isListed then
  local expired = redis.call('ZRANGEBYSCORE', expiry, '-inf', now - 1000, 'LIMIT', 0, count + 20)
  for _, id in ipairs(expired) do
    redis.call('ZREM', index, id)
    redis.call('ZREM', expiry, id)
  end
  for _, key in ipairs({ index, expiry }) do
    if lifetime == -1 then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, math.max(lifetime, 1)) end
  end
end
return 0
`)

/**
 * Adds entries to a journal and drops those that are too old or too many. KEYS: the stream. ARGV: the retention in ms, how
 * many may stay (0: any number), the JSON of each. Gives the id of the last.
 * The stream as a whole goes once its newest entry is too old.
 */
export const APPEND = createScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id
for position = 3, #ARGV do
  id = redis.call('XADD', KEYS[1], '*', 'json', ARGV[position])
end
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%d', now - ARGV[1]))
if ARGV[2] ~= '0' then redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[2]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return id
`)
