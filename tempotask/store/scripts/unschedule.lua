#!lua flags=allow-oom
-- include: once
--
-- Ends a schedule that was added as jobs are.
--
-- KEYS  the ring
-- ARGV  call id, where it is noted, for how many milliseconds it is remembered, id
-- reply '1', or '0' if there is none of this id; one that a task declares would come back, and stays
--
-- scheduled -> nothing. A call that is sent twice gets the first answer again. Jobs that the schedule made stay.

at_least(4)
if answer then return answer end

local id = ARGV[4]
local state = call('HGET', P .. 'schedules', id)
answer = '0'
if state and sub(state, 1, 1) == 'a' then
  call('HDEL', P .. 'schedules', id)
  call('ZREM', P .. 'firings', id)
  call('HDEL', P .. 'ids', id)
  -- Somebody may have asked how it ended, and not have lived to hear that it never does.
  call('HDEL', P .. 'waiters', id)
  answer = '1'
end
note(answer)
return answer
