#!lua
-- include: batches queues adding
--
-- A schedule fires: adds its job, and has its next time.
--
-- KEYS  the ring
-- ARGV  id, version, the time it is to fire as it was seen, the firing that takes place (later than that time, if
--       others were missed), the next one ('' if there is none), '1' if it fires for the last time, what comes of it if
--       the job of the firing before has not finished: 'overlap' | 'skip' | 'wait', that job ('' for none),
--       milliseconds by which the job is delayed ('' for none), then the job as enqueue.lua reads it
-- reply 'fired'; 'skipped', as the one before has not finished; 'waits' for that one, and is to be looked at again;
--       'early'; 'gone': it has fired, or is not that schedule any more
--
-- scheduled -> waiting or delayed, and scheduled again. The time that was seen fences it: each firing takes place once,
-- however many supervisors see it, and however often the call is sent. Not allowed at maxmemory.

at_least(14)
whole(ARGV[4])
whole_or_nothing(ARGV[5])
whole_or_nothing(ARGV[9])
if ARGV[10] ~= 'single' then refuse('no single job') end
insist_on_jobs(10, #ARGV + 1)
local id, seen = ARGV[1], ARGV[3]
local state = call('HGET', P .. 'schedules', id)
if not state then return 'gone' end
local version, due, fired, last, at, definition = string.match(state, '^(%S+) (%d+) (%d+) (%d+) (%d+) (.*)$')
if version ~= ARGV[2] or due ~= seen then return 'gone' end
local now = now_ms()
if now < tonumber(seen) then
  -- It stood there too early.
  call('ZADD', P .. 'firings', seen, id)
  return 'early'
end

local following, how, before = ARGV[5], ARGV[7], ARGV[8]
local reply, waiting, created = 'skipped', false, ''
if how == 'overlap' or before == '' or call('HEXISTS', P .. 'ids', before) == 0 then
  if ARGV[9] ~= '' then ARGV[12] = text(now + tonumber(ARGV[9])) end
  created, waiting = add_jobs(10, #ARGV + 1)
  if created == '1' then reply, fired, last, at = 'fired', text(fired + 1), ARGV[4], text(now) end
elseif how == 'wait' then
  -- The longer that job takes, the more rarely is looked after it.
  local pause = floor(math.max(20, math.min(5000, (now - tonumber(at)) / 4)))
  call('ZADD', P .. 'firings', now + pause, id)
  return 'waits'
end

if following == '' or (reply == 'fired' and ARGV[6] == '1') then
  call('ZREM', P .. 'firings', id)
  if sub(version, 1, 1) == 'a' then
    call('HDEL', P .. 'schedules', id)
    call('HDEL', P .. 'ids', id)
  else
    -- It stays, or the next supervisor that declares it would have it begin anew.
    call('HSET', P .. 'schedules', id, concat({ version, '0', fired, last, at, definition }, ' '))
  end
else
  call('HSET', P .. 'schedules', id, concat({ version, following, fired, last, at, definition }, ' '))
  call('ZADD', P .. 'firings', following, id)
end
if waiting then hand_over(true) end
return reply
