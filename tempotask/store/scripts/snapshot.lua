#!lua flags=allow-oom,no-writes
-- include: batches queues
--
-- What a namespace holds, cut to what can be proved of it (check.py). Names are without the prefix of the namespace.
--
-- KEYS  the ring
-- ARGV  'all', most elements, most keys on the server    everything at one moment
--       'part', name, cursor ('0': begin), most elements   some of one key
--       'sizes', names ...                                 for each a text that changes when the key does, as a rule
--       'ring', queue | 'priority', queue, priority        whether ring or priorities are right about it, at this moment
-- reply all: {'large'}, or {name, kind, expiry, elements, ...}; part: {next cursor ('0': the end), kind, expiry,
--       elements}; expiry in ms, -1: none; elements as the server gives them: member, score ..., field, value ...; ring,
--       priority: 1 or 0
--
-- Parts of a list come from its tail, since heads are popped and tails appended: nothing is missed between two.

local HEAD = 1100 -- bytes: more than the first four fields of a record have

local function cut(name, value)
  if string.find(name, '^outcomes:') then return tostring(#value) end
  if string.find(name, '^sheets:') then return sub(value, 1, 8) end
  if string.find(name, '^history:') and #value >= 6 then
    local _, keys = page_head(value)
    return sub(value, 1, 6 + #keys)
  end
  return sub(value, 1, HEAD)
end

local SIZE = { list = 'LLEN', zset = 'ZCARD', hash = 'HLEN', set = 'SCARD', string = 'STRLEN' }

local function is_right(what, queue, priority)
  if what == 'ring' then
    local on_it = (holds_any(queue) and not paused(queue)) and 1 or 0
    return #call('LPOS', KEYS[1], queue, 'COUNT', 0) == on_it
  end
  local there = call('EXISTS', queue_key(queue, priority)) == 1
  if not priorities(queue, 1) then return not there or priority == '0' end
  local score = call('ZSCORE', P .. 'priorities:' .. queue, priority)
  return score and there and tonumber(score) == tonumber(priority) or not score and not there
end

local function kind_of(name) return call('TYPE', P .. name).ok end

local function length(name, kind)
  return SIZE[kind] and call(SIZE[kind], P .. name) or 0
end

local function part(name, kind, cursor, count)
  local key, at, elements, following = P .. name, tonumber(cursor), {}, '0'
  if kind == 'list' then
    elements = call('LRANGE', key, -at - count, -at - 1)
    if #elements == count then following = text(at + count) end
  elseif kind == 'zset' then
    elements = call('ZREVRANGE', key, at, at + count - 1, 'WITHSCORES')
    if #elements == 2 * count then following = text(at + count) end
  elseif kind == 'hash' or kind == 'set' then
    local reply = call(kind == 'hash' and 'HSCAN' or 'SSCAN', key, cursor, 'COUNT', count)
    following, elements = reply[1], reply[2]
  elseif kind == 'string' then
    elements = { call('GETRANGE', key, 0, HEAD) }
  end
  for i, element in ipairs(elements) do
    -- Of pairs only the values are cut, or members, whose scores are short.
    if kind ~= 'hash' or i % 2 == 0 then elements[i] = cut(name, element) end
  end
  return following, elements
end

local mode = ARGV[1]
if mode == 'ring' or mode == 'priority' then return is_right(unpack(ARGV)) and 1 or 0 end

if mode == 'part' then
  local kind = kind_of(ARGV[2])
  local following, elements = part(ARGV[2], kind, ARGV[3], tonumber(ARGV[4]))
  return { following, kind, call('PTTL', P .. ARGV[2]), elements }
end

if mode == 'sizes' then
  local sizes = {}
  for i = 2, #ARGV do
    local kind = kind_of(ARGV[i])
    local number = length(ARGV[i], kind)
    sizes[i - 1] = kind .. ' ' .. number
    -- Counters change while their number stays.
    if kind == 'hash' and number <= 64 then sizes[i - 1] = concat(call('HGETALL', P .. ARGV[i]), ' ') end
  end
  return sizes
end

if call('DBSIZE') > tonumber(ARGV[3]) then return { 'large' } end
local names, cursor, most, seen = {}, '0', tonumber(ARGV[2]), {}
repeat
  local reply = call('SCAN', cursor, 'MATCH', P .. '*', 'COUNT', 1000)
  cursor = reply[1]
  for _, key in ipairs(reply[2]) do
    if not seen[key] then
      local name = sub(key, #P + 1)
      local kind = kind_of(name)
      seen[key], names[#names + 1] = true, { name, kind }
      most = most - 1 - length(name, kind) * ((kind == 'string') and 0 or 1)
      if most < 0 then return { 'large' } end
    end
  end
until cursor == '0'
local reply = {}
for _, entry in ipairs(names) do
  local name, kind = entry[1], entry[2]
  local elements, at, some = {}, '0', nil
  repeat
    at, some = part(name, kind, at, 1000000)
    for _, element in ipairs(some) do elements[#elements + 1] = element end
  until at == '0'
  for _, value in ipairs({ name, kind, call('PTTL', P .. name), elements }) do reply[#reply + 1] = value end
end
return reply
