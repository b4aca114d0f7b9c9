#!lua
-- include: once batches
--
-- Adds jobs for a producer: all of them or none.
--
-- KEYS  the ring
-- ARGV  call id, where it is noted, for how many milliseconds it is remembered, then, first in first out,
--       'group', queue, priority, number, records          whose ids nobody else can have
--       'single', id that the user gave ('' for none), milliseconds from which it may run ('' for now), payload kept
--                 outside ('' for none), record
-- reply for each single job '1' created or '0' one of that id has not finished; one string
--
-- nothing -> waiting or delayed. A call that is sent twice, because its reply was lost, adds once and gets the first
-- answer again. Not allowed at maxmemory: a full server takes no new jobs.

if answer then return answer end

-- One plain job, and somebody waits for this reply, or for the job: it goes before the server makes the functions that
-- all else needs.
if ARGV[4] == 'group' and ARGV[7] == '1' and #ARGV == 8 and is_priority(ARGV[6]) then
  local queue, priority, record = ARGV[5], ARGV[6], ARGV[8]
  if (priority == '0' and append(queue, record)) or hand_directly(queue, record) then
    note('')
    return ''
  end
end

-- include: queues adding

insist_on_jobs(4, #ARGV + 1)
local added
answer, added = add_jobs(4, #ARGV + 1)
note(answer)
if added then hand_over(true) end
return answer
