#!lua flags=allow-oom
-- include: queues
--
-- Pauses a queue, or resumes it. A paused queue is off the ring, so nothing of it is claimed; what comes meanwhile waits.
--
-- KEYS  the ring
-- ARGV  'pause' | 'resume', queue
-- reply 1 if that changed anything, else 0
--
-- What was claimed and has not started is given back by the supervisors, who are told to.

local what, queue = ARGV[1], ARGV[2]
if what == 'pause' then
  if call('SADD', P .. 'paused', queue) == 0 then return 0 end
  call('LREM', KEYS[1], 0, queue)
  order_all('steal')
  return 1
end
if call('SREM', P .. 'paused', queue) == 0 then return 0 end
if size(queue, priorities(queue)) > 0 then
  call('RPUSH', KEYS[1], queue)
  hand_over(true)
end
return 1
