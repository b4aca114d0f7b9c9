#!lua flags=allow-oom
--
-- What a job that still runs tells: since when it runs, how far it is, lines that it logged.
--
-- KEYS  the ring
-- ARGV  worker, turn, index, id, event of its start, event of its progress ('' for none), what is to be known of it,
--       lines ...
-- reply 0 nothing was done: the worker does not hold that claim (any more); 1; 2 listeners have been told of its start
--
-- No transition. May be sent twice: its start is told once, and readers know a line that is there twice.

at_least(7)
local worker, turn, index, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if call('HGET', P .. 'worker:' .. worker, 'open') ~= turn then return 0 end
local record = call('LINDEX', P .. 'claims:' .. worker .. ':' .. turn, index)
if not record or record == '' then return 0 end
local _, held = head(record)
if held ~= id then return 0 end

-- This start of this job: what is left of an earlier try does not count.
local start = worker .. ' ' .. turn .. ' ' .. index .. '\n'
local before = call('HGET', P .. 'live', id)
local started = before and sub(before, 1, #start + 1) == '2' .. start
if listened() then
  if not started then emit('started', 'b', ARGV[5]) end
  if ARGV[6] ~= '' then emit('progress', 'b', ARGV[6]) end
  started = true
end
call('HSET', P .. 'live', id, (started and '2' or '1') .. start .. ARGV[7])
if #ARGV > 7 then add_lines(id, 8, #ARGV) end
return started and 2 or 1
