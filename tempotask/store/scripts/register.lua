#!lua flags=allow-oom
-- A supervisor makes itself known, or the workers it is about to fork. Ids are never used again.
--
-- KEYS  the ring
-- ARGV  supervisor, length of the lease in milliseconds, registration ('' if it is known already), workers ...
-- reply {'registered', now} or {'swept'}: its lease ran out and was swept; it ends its workers and takes a new id

at_least(3)
whole(ARGV[2])
local supervisor, lease, registration = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local now, until_ = now_ms(), call('HGET', P .. 'leases', supervisor)
if until_ == 'swept' or (registration == '' and not until_) then return { 'swept' } end
if registration ~= '' then
  call('HSET', P .. 'supervisors', supervisor, registration)
  call('HSET', P .. 'leases', supervisor, text(now + lease))
end
for i = 4, #ARGV do
  call('HSET', P .. 'workers', ARGV[i], supervisor)
  call('HSET', P .. 'worker:' .. ARGV[i], 'supervisor', supervisor)
  if listened() then emit('worker', 'b', cmsgpack.pack({ ARGV[i], supervisor, 'up' })) end
end
return { 'registered', text(now) }
