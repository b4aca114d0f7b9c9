#!lua flags=allow-oom
-- include: once batches queues
--
-- Pauses a queue, or resumes it. A paused queue is off the ring, so nothing of it is claimed; what comes meanwhile waits.
--
-- KEYS  the ring
-- ARGV  call id, where it is noted, for how many milliseconds it is remembered, 'pause' | 'resume', queue
-- reply 1 if that changed anything, else 0
--
-- A call that changed something and is sent twice gets the first answer again. What was claimed and has not started is
-- given back by the supervisors, who are told to.

at_least(5)
if ARGV[4] ~= 'pause' and ARGV[4] ~= 'resume' then refuse('neither pause nor resume') end
if answer then return 1 end

local what, queue = ARGV[4], ARGV[5]
if what == 'pause' then
  if call('SADD', P .. 'paused', queue) == 0 then return 0 end
  call('LREM', KEYS[1], 0, queue)
  order_all('steal')
  note('1')
  return 1
end
if call('SREM', P .. 'paused', queue) == 0 then return 0 end
if holds_any(queue) then
  call('RPUSH', KEYS[1], queue)
  hand_over(true)
end
note('1')
return 1
