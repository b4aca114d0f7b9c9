#!lua
-- include: once queues adding
--
-- Adds jobs for a producer: all of them or none.
--
-- KEYS  the ring
-- ARGV  call id, the second it was made in, for how many milliseconds it is remembered, then, first in first out,
--       'group', queue, priority, number, records          whose ids nobody else can have
--       'single', id that the user gave ('' for none), milliseconds from which it may run ('' for now), payload kept
--                 outside ('' for none), record
-- reply for each single job '1' created or '0' one of that id has not finished; one string
--
-- nothing -> waiting or delayed. A call that is sent twice, because its reply was lost, adds once and gets the first
-- answer again. Not allowed at maxmemory: a full server takes no new jobs.

if answer then return answer end

insist_on_jobs(4, #ARGV + 1)
local added
answer, added = add_jobs(4, #ARGV + 1, true)
note(answer)
if added then hand_over(true) end
return answer
