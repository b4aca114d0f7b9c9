#!lua flags=allow-oom
-- Takes the place of a lost host: its supervisor is marked as swept, its workers are unregistered and un-idled. Their
-- jobs are given back afterwards, in bounded steps (give_back.lua), by whoever comes; the last one removes the host.
--
-- KEYS  the ring
-- ARGV  own supervisor, length of its lease in milliseconds, lost supervisor, the lease that was seen, 'dead' if its
--       process is known to be gone, so that the lease need not have run out
-- reply {'no'} it lives, or we are swept ourselves; else {'swept', worker, ...} whose jobs are to be given back

at_least(4)
whole(ARGV[2])
local me, lost, seen = ARGV[1], ARGV[3], ARGV[4]
local mine, theirs = call('HGET', P .. 'leases', me), call('HGET', P .. 'leases', lost)
if not mine or mine == 'swept' or not theirs then return { 'no' } end
-- Nobody knows when that one runs out.
if theirs ~= 'swept' and not tonumber(theirs) then return { 'no' } end
local now = now_ms()
call('HSET', P .. 'leases', me, text(now + tonumber(ARGV[2])))
if theirs ~= 'swept' then
  if theirs ~= seen or (ARGV[5] ~= 'dead' and tonumber(theirs) > now) then return { 'no' } end
  call('HSET', P .. 'leases', lost, 'swept')
  local workers = call('HGETALL', P .. 'workers')
  for i = 1, #workers, 2 do
    if workers[i + 1] == lost then
      local worker = workers[i]
      call('HDEL', P .. 'workers', worker)
      call('HSET', P .. 'lost', worker, lost)
      call('ZREM', P .. 'idle', worker)
      call('HDEL', P .. 'worker:' .. worker, 'supervisor')
    end
  end
end
local reply, all = { 'swept' }, call('HGETALL', P .. 'lost')
for i = 1, #all, 2 do
  if all[i + 1] == lost then reply[#reply + 1] = all[i] end
end
if #reply == 1 then
  call('HDEL', P .. 'leases', lost)
  call('HDEL', P .. 'supervisors', lost)
  call('DEL', P .. 'orders:' .. lost)
end
return reply
