-- What all scripts share; put in front of each one when it is loaded, behind its first line.
--
-- A script gets one key, the ring, and makes the others from its prefix (keys.py lists them). Every change of state
-- in a namespace happens in one of these scripts, so each is atomic: nobody ever sees half a move.

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

-- flags, id, queue and priority of a record, and where what follows begins.
local function head(record)
  local fields, at = {}, 2
  for i = 1, 4 do
    local length = byte(record, at)
    if length == 0xd9 then
      length, at = byte(record, at + 1), at + 2
    elseif length == 0xda then
      length, at = byte(record, at + 1) * 256 + byte(record, at + 2), at + 3
    else
      length, at = length - 0xa0, at + 1
    end
    fields[i], at = sub(record, at, at + length - 1), at + length
  end
  return fields[1], fields[2], fields[3], fields[4]
end

-- Reads arguments one after the other.
local function reader(at)
  return function(count)
    at = at + (count or 1)
    return ARGV[at - 1], at
  end
end
