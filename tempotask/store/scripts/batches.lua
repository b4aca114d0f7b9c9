-- A batch on its way to a worker: its message; and the shortest ways of a single job. Included by those that say so.

local function paused(queue) return call('SISMEMBER', P .. 'paused', queue) == 1 end

local function count32(number)
  return struct.pack('>I4', number)
end

-- The first of so many new fencing tokens, which follow each other. They are microseconds of the server's clock, pushed
-- on where more are given than time goes by: a mere count would, after a restart with older state, begin again with
-- numbers that were given before.
local function new_tokens(number)
  local t = call('TIME')
  local first = math.max(t[1] * 1000000 + t[2], tonumber(call('GET', P .. 'tokens') or 0) + 1)
  call('SET', P .. 'tokens', text(first + number - 1))
  return first
end

-- What stands in the message that brings a batch to its worker, before its records and behind them. MessagePack;
-- payloads go as binary, which cmsgpack can't write.
local function frame(turn, batch, payloads)
  local before = '\149' .. cmsgpack.pack(turn) .. cmsgpack.pack(new_tokens(#batch)) .. '\221' .. count32(#batch)
  local behind = { '\223' .. count32(#payloads) }
  if #payloads > 0 then
    local index = {}
    for i, record in ipairs(batch) do index[record] = i - 1 end
    for _, entry in ipairs(payloads) do
      local bytes = call('GET', P .. entry[2]) or '\192'
      behind[#behind + 1] = cmsgpack.pack(index[entry[1]]) .. '\198' .. count32(#bytes)
      behind[#behind + 1] = bytes
    end
  end
  behind[#behind + 1] = listened() and '\195' or '\194'
  return before, concat(behind)
end

-- The message in one piece, put together in one go, as it may be a megabyte.
local function message(turn, batch, payloads)
  local before, behind = frame(turn, batch, payloads)
  return concat({ before, concat(batch), behind })
end

-- Puts one plain record behind others that wait in its common queue: then the queue is where it belongs already. Returns
-- whether there were any.
local function append(queue, record)
  local key = P .. 'queue:0:' .. queue
  if call('EXISTS', key) == 0 then return false end
  call('RPUSH', key, record)
  if listened() then emit_record('waiting', record) end
  return true
end

-- Hands one plain record, which is in no list yet, straight to an idle worker when nothing else waits: what pushing it and
-- handing over would come to, with half the commands. Returns whether there was such a worker.
local function hand_directly(queue, record)
  if call('EXISTS', KEYS[1]) == 1 or paused(queue) then return false end
  local longest = call('ZPOPMIN', P .. 'idle')
  if #longest == 0 then return false end
  local worker = longest[1]
  local me = P .. 'worker:' .. worker
  local number = call('HGET', me, 'idle')
  if not number then return false end
  call('SADD', P .. 'queues', queue)
  if listened() then emit_record('waiting', record) end
  local turn, batch = number .. '@' .. text(now_ms()), { record }
  call('RPUSH', P .. 'claims:' .. worker .. ':' .. turn, record)
  call('HSET', me, 'open', turn, 'holes', 0)
  call('RPUSH', P .. 'wake:' .. worker .. ':' .. number, message(turn, batch, {}))
  return true
end
