#!lua flags=allow-oom
--
-- Says that a process listens to events: they are recorded only while one does.
--
-- KEYS  the ring
-- ARGV  listener, milliseconds for which it counts, '' to end it at once
-- reply {the newest event's id, '' when there is none; '1' if it was listening before, else '0'}
--
-- No transition. A second one renews, or finds nothing to end. What listeners leave behind expires.

at_least(2)
whole_or_nothing(ARGV[2])
local listener, lasting, now = ARGV[1], ARGV[2], now_ms()
local listeners, events = P .. 'listeners', P .. 'events'
call('ZREMRANGEBYSCORE', listeners, '-inf', now)
local known = call('ZSCORE', listeners, listener) and '1' or '0'
if lasting == '' then
  call('ZREM', listeners, listener)
  if call('EXISTS', listeners) == 0 then call('UNLINK', events) end
else
  call('ZADD', listeners, now + tonumber(lasting), listener)
  call('PEXPIRE', listeners, lasting)
end
local newest = call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
return { newest and newest[1] or '', known }
