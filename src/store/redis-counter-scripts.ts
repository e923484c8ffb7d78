import { DAY_MS, FIRST_GUESS_TOKENS } from './counters.ts'
import { createScript } from './redis-link.ts'
import { MINUTE_MS } from './sliding-minute.ts'

/** A key outlives what it counts by this much, so that nothing is lost to a clock that is a little off. */
const SLACK_MS = 60_000

/**
 * What all scripts begin with. KEYS: three for each account: its minute, its leases, its day; for ENTER perhaps one more. ARGV:
 * the time in ms (empty: the server's own, one for all proxies), the lease, how long it lasts in ms, then four quotas for each
 * account (empty: not counted).
 *
 * A minute is a hash of seconds, each with a thousand times its requests plus the millisecond of the last; leases are a sorted
 * set by when they end; a day is a hash that names its day, and stays for one more where that needs its mean. `stand` gives, of
 * one account: requests in the minute, in how many ms the first is forgotten, how many run, requests and tokens of the day, of how
 * many requests these are, the mean of the day before, tokens set aside; then what an entry writes to.
 */
const STAND = `
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local second, today = math.floor(now / 1000), math.floor(now / ${DAY_MS})
local function quotasOf(account)
  local at = 3 + (account - 1) * 4
  return tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
end
local function keysOf(account)
  local at = (account - 1) * 3
  return KEYS[at + 1], KEYS[at + 2], KEYS[at + 3]
end

local function readMinute(key)
  local fields = redis.call('HGETALL', key)
  local newest, old = { last = 0 }, {}
  local seconds = {}
  for at = 1, #fields, 2 do
    local held = tonumber(fields[at + 1])
    local counted = { name = fields[at], count = math.floor(held / 1000) }
    counted.last = counted.name * 1000 + held % 1000
    if counted.last > newest.last then newest = counted end
    seconds[#seconds + 1] = counted
  end
  local isFromLater = newest.last > now + ${MINUTE_MS}
  local total, oldest = 0, nil
  for _, counted in ipairs(seconds) do
    if isFromLater or counted.last + ${MINUTE_MS} <= now then
      old[#old + 1] = counted.name
    else
      total = total + counted.count
      oldest = math.min(oldest or counted.last, counted.last)
    end
  end
  local current = { name = string.format('%d', second), count = 0, last = now }
  if not isFromLater and newest.last >= second * 1000 then current = newest end
  return total, oldest and oldest + ${MINUTE_MS} - now or 0, old, current
end
local function countOne(key, s)
  if #s.old > 0 then redis.call('HDEL', key, unpack(s.old)) end
  local current = s.current
  local ms = math.max(current.last, now) - current.name * 1000
  redis.call('HSET', key, current.name, string.format('%d', (current.count + 1) * 1000 + ms))
  redis.call('PEXPIRE', key, ${MINUTE_MS + 1000})
end

local function meanOf(tokens, settled)
  return settled == 0 and 0 or math.max(1, math.ceil(tokens / settled))
end
local function readDay(key)
  local held = redis.call('HMGET', key, 'day', 'requests', 'tokens', 'settled', 'meanBefore')
  local day, requests, tokens, settled = tonumber(held[1]), tonumber(held[2]), tonumber(held[3]), tonumber(held[4])
  if not day then return today, 0, 0, 0, 0 end
  if day == today or day == today + 1 then return day, requests, tokens, settled, tonumber(held[5]) or 0 end
  return today, 0, 0, 0, day == today - 1 and meanOf(tokens, settled) or 0
end
local function writeDay(key, s, requests, tokens, settled)
  redis.call('HSET', key, 'day', s.day, 'requests', requests, 'tokens', tokens, 'settled', settled, 'meanBefore', s[7])
  local lastDay = s.day + (settled > 0 and 1 or 0)
  redis.call('PEXPIRE', key, string.format('%d', (lastDay + 1) * ${DAY_MS} - now + ${SLACK_MS}))
end

local function stand(account)
  local rpm, concurrency, requests, tokens = quotasOf(account)
  local minute, leases, day = keysOf(account)
  local s = { 0, 0, 0, 0, 0, 0, 0, 0 }
  if rpm then s[1], s[2], s.old, s.current = readMinute(minute) end
  if concurrency or tokens then s[3] = redis.call('ZCOUNT', leases, '(' .. now, '+inf') end
  if requests or tokens then s.day, s[4], s[5], s[6], s[7] = readDay(day) end
  s.expected = s[6] > 0 and meanOf(s[5], s[6]) or s[7] > 0 and s[7] or ${FIRST_GUESS_TOKENS}
  if tokens then s[8] = s[3] * s.expected end
  return s
end
local accounts = math.floor(#KEYS / 3)
local standings = {}
local function reply(first)
  local flat = { first, now }
  for _, s in ipairs(standings) do
    for at = 1, 8 do flat[#flat + 1] = s[at] end
  end
  return flat
end
for account = 1, accounts do standings[account] = stand(account) end
`

export const WAS_USED = -1

/** Gives 1 and the time, then the eight numbers of each account. */
export const READ = createScript(`${STAND}return reply(1)`)

/**
 * Enters all accounts or none. Gives 1 or 0 and the time, then the eight numbers of each account as they are now. Leases that
 * end later than one taken now are from before the clock was set back: they end with that one, unless somebody renews them.
 * One key more is of what may be used once, and is there for so many ms as one argument more says: when it is there already,
 * the answer is WAS_USED and the time, and nothing is counted.
 */
export const ENTER = createScript(`${STAND}
if #KEYS > accounts * 3 and not redis.call('SET', KEYS[#KEYS], 1, 'NX', 'PX', ARGV[#ARGV]) then
  return { ${WAS_USED}, now }
end
local last = now + ARGV[3]
for account = 1, accounts do
  local _, leases = keysOf(account)
  local late = standings[account][3] > 0 and redis.call('ZRANGEBYSCORE', leases, '(' .. last, '+inf') or {}
  for _, lease in ipairs(late) do redis.call('ZADD', leases, last, lease) end
  if #late > 0 then redis.call('PEXPIRE', leases, ARGV[3]) end
end
for account = 1, accounts do
  local rpm, concurrency, requests, tokens = quotasOf(account)
  local s = standings[account]
  if (rpm and s[1] >= rpm) or (concurrency and s[3] >= concurrency)
    or (requests and s[4] >= requests) or (tokens and s[5] + s[8] >= tokens) then return reply(0) end
end
for account = 1, accounts do
  local rpm, concurrency, requests, tokens = quotasOf(account)
  local minute, leases, day = keysOf(account)
  local s = standings[account]
  if rpm then countOne(minute, s) end
  if concurrency or tokens then
    redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
    redis.call('ZADD', leases, last, ARGV[2])
    redis.call('PEXPIRE', leases, ARGV[3])
  end
  if requests or tokens then writeDay(day, s, s[4] + 1, s[5], s[6]) end
  standings[account] = stand(account)
end
return reply(1)
`)

/** Prolongs the lease, and takes it anew where it was lost: whoever says so is still running. */
export const RENEW = createScript(`${STAND}
for account = 1, accounts do
  local _, concurrency, _, tokens = quotasOf(account)
  local _, leases = keysOf(account)
  if concurrency or tokens then
    redis.call('ZADD', leases, now + ARGV[3], ARGV[2])
    redis.call('PEXPIRE', leases, ARGV[3])
  end
end
return 1
`)

/** After the quotas: the tokens (empty: not known), whether it was cut, by how much the requests of its day change, and which day that was. */
export const LEAVE = createScript(`${STAND}
local tokens, isCut = tonumber(ARGV[#ARGV - 3]), ARGV[#ARGV - 2] == '1'
local change, entered = tonumber(ARGV[#ARGV - 1]), tonumber(ARGV[#ARGV])
for account = 1, accounts do
  local _, leases, day = keysOf(account)
  redis.call('ZREM', leases, ARGV[2])
  local s = standings[account]
  local charged = isCut and math.max(tokens or 0, s.expected) or tokens
  if s.day and (charged or change ~= 0) then
    local requests = s[4]
    if s.day == entered then requests = math.max(0, requests + change) end
    writeDay(day, s, requests, s[5] + (charged or 0), s[6] + (charged and 1 or 0))
  end
end
return 1
`)

/** Writes beside the accounts: it fails like what counts there, also where a server is full or may only be read. */
export const PROBE = createScript(`redis.call('SET', KEYS[1], 1, 'PX', 1000)
return 1
`)
