-- What all scripts share; put in front of each one when it is loaded, behind its first line and the numbers that
-- scripts share with Python (numbers.py).
--
-- A script gets one key, the ring, and makes the others from its prefix (keys.py lists them). Every change of what is
-- known of jobs, workers and supervisors happens in one of these scripts, so each is atomic: nobody ever sees half a
-- move. Elsewhere somebody is told something at most (Store.notify).

local P = string.sub(KEYS[1], 1, -5)
local byte, sub, floor, concat = string.byte, string.sub, math.floor, table.concat
local call = redis.call

-- A bulk push hands so many elements to one command.
local CHUNK = 1000

-- The server's clock, which is the only one that counts, in milliseconds.
local function now_ms()
  local t = call('TIME')
  return t[1] * 1000 + floor(t[2] / 1000)
end

-- Numbers of 13 digits as text: tostring would write 1.79e+12.
local function text(number)
  return string.format('%.0f', number)
end

-- Where the text of a MessagePack string begins, and where the value after it does.
local function span(bytes, at)
  local length = byte(bytes, at)
  if length == 0xd9 then return at + 2, at + 2 + byte(bytes, at + 1) end
  if length == 0xda then return at + 3, at + 3 + byte(bytes, at + 1) * 256 + byte(bytes, at + 2) end
  return at + 1, at + 1 + length - 0xa0
end

-- flags, id, queue and priority of a record, and where its name begins.
local function head(record)
  local fields, from, at = {}, nil, 2
  for i = 1, 4 do
    from, at = span(record, at)
    fields[i] = sub(record, from, at - 1)
  end
  return fields[1], fields[2], fields[3], fields[4], at
end

-- The key of a payload outside, without prefix.
local function payload_key(flags, id)
  return 'payload:' .. string.match(flags, 'p(%d+)') .. ':' .. id
end

-- Of a page of history (pages.py): how many jobs it holds, and the keys that go with it.
local function page_head(page)
  local jobs, length = struct.unpack('>I2I4', page)
  return jobs, sub(page, 7, 6 + length)
end

-- Adds lines in ARGV[from .. to] to what a job logged.
local function add_lines(id, from, to)
  local log = P .. 'log:' .. id
  call('RPUSH', log, unpack(ARGV, from, to))
  call('LTRIM', log, -LOG_LINES, -1)
  call('PEXPIRE', log, LOG_MS)
end

-- Events are recorded only while somebody listens (listen.lua).
local function listened() return call('EXISTS', P .. 'listeners') == 1 end

-- `r`: a record cut behind its name; `b`: what Python made.
local function emit(kind, field, blob)
  call('XADD', P .. 'events', 'MAXLEN', '~', 100000, '*', 'k', kind, field, blob)
  call('PEXPIRE', P .. 'events', LISTENING_MS)
end

local function emit_record(kind, record)
  local _, _, _, _, at = head(record)
  local _, stop = span(record, at)
  emit(kind, 'r', '\149' .. sub(record, 2, stop - 1))
end

-- Reads arguments one after the other; nil from `stop` on.
local function reader(at, stop)
  return function(count)
    at = at + (count or 1)
    if stop and at > stop then return nil, at end
    return ARGV[at - 1], at
  end
end
