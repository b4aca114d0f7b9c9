#!lua
-- include: queues adding
--
-- Puts a schedule: one that a producer adds, or one that a supervisor's application declares.
--
-- KEYS  the ring
-- ARGV  id, queue, version (random; it begins with `a` for one that is added, with `d` for a declared one),
--       milliseconds of its first firing, definition (schedules.py), '1' if one that is declared stays as it is
-- reply 'new'; 'same' it is declared already and keeps its next time; 'taken' something else is called so
--
-- nothing -> scheduled. A call that is sent twice puts once. An added schedule has its id like a job that has not
-- finished; a declared one does not, as a job may well be called like its task. Not allowed at maxmemory.

local id, queue, version, first, definition = unpack(ARGV)
local added, last, at = sub(version, 1, 1) == 'a', '0', '0'
local state = call('HGET', P .. 'schedules', id)
if state then
  local was, _, _, last_was, at_was, old = string.match(state, '^(%S+) (%d+) (%d+) (%d+) (%d+) (.*)$')
  if was == version then return 'new' end
  if added or sub(was, 1, 1) == 'a' then return 'taken' end
  if old == definition or ARGV[6] == '1' then return 'same' end
  -- The job of the last firing may still run.
  last, at = last_was, at_was
elseif added and call('HEXISTS', P .. 'ids', id) == 1 then
  return 'taken'
end
call('SADD', P .. 'queues', queue)
if added then
  call('HSET', P .. 'ids', id, queue)
  forget_outcome(id)
end
call('HSET', P .. 'schedules', id, concat({ version, first, '0', last, at, definition }, ' '))
call('ZADD', P .. 'firings', first, id)
if call('ZRANGE', P .. 'firings', 0, 0)[1] == id then order_all('due ' .. first) end
return 'new'
