#!lua flags=allow-oom
-- include: batches queues outcomes
--
-- A supervisor renews the lease of its host, and looks at those of the others.
--
-- KEYS  the ring
-- ARGV  supervisor, length of the lease in milliseconds, '1' to promote what is due and let go of what is old as well
-- reply {'swept'}, or {'renewed', now, time the next delayed record or schedule is due or '', supervisor, lease,
--       supervisor, ...}
--
-- A lease that ran out and that nobody has swept may be renewed.

at_least(2)
whole(ARGV[2])
local leases = call('HGETALL', P .. 'leases')
local mine
for i = 1, #leases, 2 do if leases[i] == ARGV[1] then mine = leases[i + 1] end end
if not mine or mine == 'swept' then return { 'swept' } end
local now = now_ms()
call('HSET', P .. 'leases', ARGV[1], text(now + tonumber(ARGV[2])))

local next_due = ''
if ARGV[3] == '1' then
  if promote(now) then hand_over() end
  for _, name in ipairs({ 'due', 'retries', 'firings' }) do
    local first = call('ZRANGE', P .. name, 0, 0, 'WITHSCORES')[2]
    if first and (next_due == '' or tonumber(first) < tonumber(next_due)) then next_due = first end
  end
  drop_expired(now)
  -- Those who died while they waited for what will never end. A few a call, at random: nothing depends on it.
  local some = call('HRANDFIELD', P .. 'waiters', 10, 'WITHVALUES')
  for i = 1, #some, 2 do
    local living = {}
    for client in string.gmatch(some[i + 1], '%S+') do
      if call('EXISTS', P .. 'client:' .. client) == 1 then living[#living + 1] = client end
    end
    set_waiters(some[i], some[i + 1], living)
  end
end
return { 'renewed', text(now), next_due, unpack(leases) }
