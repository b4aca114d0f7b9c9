#!lua
-- include: once batches queues adding
--
-- Puts a schedule: one that a producer adds, or one that a supervisor's application declares.
--
-- KEYS  the ring
-- ARGV  call id, where it is noted, for how many milliseconds it is remembered, id, queue, version (random; it
--       begins with `a` for one that is added, with `d` for a declared one), milliseconds of its first firing,
--       definition (schedules.py), what a declared one may be put instead of: '' any other declared one, '-' nothing,
--       or the version of the one that was seen; the version of one that fires at the same times ('' for none): if it
--       is that which is there, this one goes on with its next firing and its count; how often it fires in all ('' for
--       no limit)
-- reply 'new'; 'same' it is declared already and keeps its next time, or is not that version any more; 'changed' it is
--       not the one that fires at the same times: look again; 'taken' something else is called so
--
-- nothing -> scheduled. A call that is sent twice puts once, also when the schedule has gone meanwhile. An added
-- schedule has its id like a job that has not finished; a declared one does not, as a job may well be called like its
-- task. Not allowed at maxmemory.

at_least(11)
whole(ARGV[7])
whole_or_nothing(ARGV[11])
if not string.find(ARGV[6], '^[ad]%S*$') then refuse('no version') end
if answer then return answer end

local id, queue, version, first, definition, instead_of, alike, limit = unpack(ARGV, 4)
local added, fired, last, at = sub(version, 1, 1) == 'a', '0', '0', '0'

-- Why what is there can't be replaced: the reply; nil if it can.
local function stands(state)
  local was, next_was, fired_was, last_was, at_was, old = string.match(state, '^(%S+) (%d+) (%d+) (%d+) (%d+) (.*)$')
  if added or sub(was or '', 1, 1) == 'a' then return 'taken' end
  -- What can't be read is nothing that anybody declares.
  if not was then return nil end
  if old == definition or (instead_of ~= '' and instead_of ~= was) then return 'same' end
  if alike ~= '' and alike ~= was then return 'changed' end
  -- The job of the last firing may still run.
  last, at = last_was, at_was
  if alike == was then
    fired = fired_was
    if next_was ~= '0' then first = next_was end
    if limit ~= '' and tonumber(fired) >= tonumber(limit) then first = '0' end
  end
end

local function put()
  local state = call('HGET', P .. 'schedules', id)
  local why_not = state and stands(state)
  if why_not then return why_not end
  if added and call('HEXISTS', P .. 'ids', id) == 1 then return 'taken' end
  call('SADD', P .. 'queues', queue)
  if added then
    call('HSET', P .. 'ids', id, queue)
    forget_outcome(id)
  end
  call('HSET', P .. 'schedules', id, concat({ version, first, fired, last, at, definition }, ' '))
  if first == '0' then
    call('ZREM', P .. 'firings', id)
    return 'new'
  end
  call('ZADD', P .. 'firings', first, id)
  if call('ZRANGE', P .. 'firings', 0, 0)[1] == id then order_all('due ' .. first) end
  return 'new'
end

answer = put()
note(answer)
return answer
