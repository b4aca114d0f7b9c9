#!lua flags=allow-oom
-- A supervisor whose workers have all been given back says goodbye.
--
-- KEYS  the ring
-- ARGV  supervisor
-- reply how many of its workers are still to be given back; it is forgotten only when there are none

local left = 0
for _, name in ipairs({ 'workers', 'lost' }) do
  for _, supervisor in ipairs(call('HVALS', P .. name)) do
    if supervisor == ARGV[1] then left = left + 1 end
  end
end
if left == 0 then
  call('HDEL', P .. 'leases', ARGV[1])
  call('HDEL', P .. 'supervisors', ARGV[1])
  call('DEL', P .. 'orders:' .. ARGV[1])
end
return left
