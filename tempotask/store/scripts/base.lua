-- What all scripts share; put in front of each one when it is loaded, behind its first line and the numbers that
-- scripts share with Python (numbers.py).
--
-- A script gets one key, the ring, and makes the others from its prefix (keys.py lists them). Every change of what is
-- known of jobs, workers and supervisors happens in one of these scripts, so each is atomic: nobody ever sees half a
-- move. Elsewhere somebody is told something at most (Store.notify).

local P = string.sub(KEYS[1], 1, -5)
local byte, sub, floor, concat = string.byte, string.sub, math.floor, table.concat
local call = redis.call

-- In `wanted`, where each field is an id that somebody looks for, the one that changes when any job may have to be looked
-- for again (find.lua).
local SHIFTS = ' '

-- The server's clock, which is the only one that counts, in milliseconds.
local function now_ms()
  local t = call('TIME')
  return t[1] * 1000 + floor(t[2] / 1000)
end

-- Numbers of 13 digits as text: tostring would write 1.79e+12.
local function text(number)
  return string.format('%.0f', number)
end

-- Where the text of a MessagePack string begins, and where the value after it does; nil where there is none.
local function span(bytes, at)
  local length, from = byte(bytes, at), at + 1
  if not length then return nil end
  if length >= 0xa0 and length < 0xc0 then
    length = length - 0xa0
  elseif length == 0xd9 and #bytes > at then
    length, from = byte(bytes, at + 1), at + 2
  elseif length == 0xda and #bytes > at + 1 then
    length, from = byte(bytes, at + 1) * 256 + byte(bytes, at + 2), at + 3
  elseif length == 0xdb and #bytes > at + 3 then
    length, from = struct.unpack('>I4', sub(bytes, at + 1, at + 4)), at + 5
  else
    return nil
  end
  if from + length > #bytes + 1 then return nil end
  return from, from + length
end

-- The queue of records that can't be read.
local UNREADABLE = 'tempotask/unreadable'

local function is_priority(text)
  return text == '0' or string.find(text, '^%-?%d+$') and #text <= 8
end

-- flags, id, queue and priority of a record, and where its name begins. A script that stopped here would have done
-- half of what it is to do; so a record that can't be read has an id made of its bytes, and a queue for its like, which
-- whoever looks at queues is to see (records.py makes the same of it).
local function head(record)
  local fields, from, at = {}, nil, 2
  for i = 1, 4 do
    from, at = span(record, at)
    if not from then break end
    fields[i] = sub(record, from, at - 1)
  end
  if not at or fields[2] == '' or fields[3] == '' or not is_priority(fields[4]) then
    return '', 'unreadable-' .. sub(redis.sha1hex(record), 1, 16), UNREADABLE, '0', #record + 1
  end
  return fields[1], fields[2], fields[3], fields[4], at
end

-- Whether a record may have an id that is, or begins, so: a look that costs little. One that is made of the bytes of a
-- record which can't be read does not stand in it.
local function may_be(record, id)
  return string.find(record, id, 1, true) or sub(id, 1, 11) == 'unreadable-'
end

-- The key of a payload outside, without prefix.
local function payload_key(flags, id)
  return 'payload:' .. (string.match(flags, 'p(%d+)') or '1') .. ':' .. id
end

-- Of a page of history (pages.py): how many jobs it holds, and the keys that go with it. No page at all holds none.
local function page_head(page)
  if #page < 6 then return 0, '' end
  local jobs, length = struct.unpack('>I2I4', page)
  return jobs, sub(page, 7, 6 + length)
end

-- Adds lines in ARGV[from .. to] to what a job logged.
local function add_lines(id, from, to)
  if to < from then return end
  local log = P .. 'log:' .. id
  for first = from, to, CHUNK do
    call('RPUSH', log, unpack(ARGV, first, math.min(first + CHUNK - 1, to)))
  end
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
  if stop then emit(kind, 'r', '\149' .. sub(record, 2, stop - 1)) end
end

-- A script that fails half-way has done half of what it is to do, and nothing takes that back. So what could make it
-- fail is looked at before anything is done: these raise.

local function refuse(what) error('bad argument: ' .. what) end

-- An argument that is a whole number, not negative and of no more digits than count.
local function whole(value)
  if not value or not string.find(value, '^%d+$') or #value > 16 then refuse('no whole number') end
  return tonumber(value)
end

local function whole_or_nothing(value)
  if value ~= '' then whole(value) end
end

local function at_least(number)
  if #ARGV < number then refuse('there are too few') end
end

-- As `reader`, but nothing may be missing.
local function strict_reader(at, stop)
  return function(count)
    at = at + (count or 1)
    if at > stop then refuse('there are too few') end
    return ARGV[at - 1], at
  end
end

-- Reads arguments one after the other; nil from `stop` on.
local function reader(at, stop)
  return function(count)
    at = at + (count or 1)
    if stop and at > stop then return nil, at end
    return ARGV[at - 1], at
  end
end
