#!lua flags=allow-oom
-- Which schedules are due; and what happens to them apart from firing.
--
-- KEYS  the ring
-- ARGV  'due', how many                       those that are to fire by now
--       'later', id, version, the time it is to fire as it was seen, milliseconds    is looked at again after so many
--       'remove', id, version, and for each supervisor its id and its registration as they were seen
-- reply due: {now, id, state, id, state, ...}; later: '1', or '0' if it is not that schedule any more, or somebody
--       has had it fire since; remove: likewise,
--       or 'again' if the supervisors are others than were seen: one of them may declare it
--
-- scheduled -> nothing.

at_least(2)
if ARGV[1] == 'later' then
  at_least(5)
  whole(ARGV[4])
  whole(ARGV[5])
elseif ARGV[1] == 'remove' then
  at_least(3)
elseif ARGV[1] ~= 'due' then
  refuse('neither due, later nor remove')
end

local what, id = ARGV[1], ARGV[2]
if what == 'due' then
  local now = now_ms()
  local reply = { text(now) }
  for _, name in ipairs(call('ZRANGEBYSCORE', P .. 'firings', '-inf', now, 'LIMIT', 0, ARGV[2])) do
    local state = call('HGET', P .. 'schedules', name)
    if state and not string.find(state, '^%S+ %d+ %d+ %d+ %d+ ') then
      -- It can't be read, and is not to be looked at all the time.
      call('ZADD', P .. 'firings', now + 60000, name)
    elseif state then
      reply[#reply + 1], reply[#reply + 2] = name, state
    else
      call('ZREM', P .. 'firings', name)
    end
  end
  return reply
end

local state = call('HGET', P .. 'schedules', id)
local version = state and string.match(state, '^%S+') or ''
if ARGV[3] ~= version then return '0' end
if what == 'later' then
  if string.match(state, '^%S+ (%d+) ') ~= ARGV[4] then return '0' end
  call('ZADD', P .. 'firings', now_ms() + tonumber(ARGV[5]), id)
  return '1'
end
if call('HLEN', P .. 'supervisors') ~= (#ARGV - 3) / 2 then return 'again' end
for i = 4, #ARGV, 2 do
  if call('HGET', P .. 'supervisors', ARGV[i]) ~= ARGV[i + 1] then return 'again' end
end
call('HDEL', P .. 'schedules', id)
call('ZREM', P .. 'firings', id)
if sub(version, 1, 1) == 'a' then call('HDEL', P .. 'ids', id) end
return '1'
