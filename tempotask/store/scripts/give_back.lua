#!lua flags=allow-oom
-- include: batches queues adding outcomes endings cancelling settle
--
-- Returns claimed jobs that did not start to the front of their queues: after a steal, a death, a shutdown, a sweep.
--
-- KEYS  the ring
-- ARGV  worker, then
--       'tail', turn, from          what the worker holds from that index on; nothing if its open turn is another
--       'all', most outcomes, most bytes of them, turn, number, indices,    all it holds, and the worker is forgotten.
--              number of replaced, and for each: index, record,             The verdict on those indices counts if
--              then as `settle` reads it                                    all are still held under that turn; of
--                                                                           others, those that are not are not replaced
-- reply {jobs given back, '1' if the verdict counted else '0'}; {-1} for a worker that nobody knows
--
-- claimed -> waiting at the front, cancelled if it was withdrawn, or settled by the verdict. A second one finds nothing.

-- Everything that refers to a worker goes; its claims must be given back by now.
local function forget_worker(worker, idle)
  local whose = listened() and (call('HGET', P .. 'workers', worker) or call('HGET', P .. 'lost', worker))
  call('HDEL', P .. 'workers', worker)
  call('HDEL', P .. 'lost', worker)
  call('ZREM', P .. 'idle', worker)
  call('DEL', P .. 'worker:' .. worker)
  if idle then call('DEL', P .. 'wake:' .. worker .. ':' .. idle) end
  if whose then emit('worker', 'b', cmsgpack.pack({ worker, whose, 'gone' })) end
end

at_least(4)
if ARGV[2] == 'tail' then
  whole(ARGV[4])
elseif ARGV[2] == 'all' then
  if not tonumber(ARGV[3]) or not tonumber(ARGV[4]) then refuse('no number') end
  local take = strict_reader(6, #ARGV + 1)
  for _ = 1, whole((take())) do whole((take())) end
  for _ = 1, whole((take())) do
    whole((take()))
    take()
  end
  local _, at = take(0)
  insist_on_settlement(at)
else
  refuse('neither tail nor all')
end

local worker, mode, front = ARGV[1], ARGV[2], 0
local me = P .. 'worker:' .. worker
if call('EXISTS', me) == 0 then
  forget_worker(worker)
  return { -1 }
end
local state = call('HMGET', me, 'open', 'idle')
local open, idle = state[1] or '', state[2]
local claims = P .. 'claims:' .. worker .. ':' .. open

-- The last one first, so that they stand in their old order. Returns how many were holes.
local function to_front(records)
  local held = {}
  for _, record in ipairs(records) do
    if record ~= '' then held[#held + 1] = record end
  end
  local left = without_withdrawn(held)
  for i = #left, 1, -1 do push_one('LPUSH', left[i]) end
  front = #left
  return #records - #held
end

if mode == 'tail' then
  local turn, from = ARGV[3], tonumber(ARGV[4])
  if open == '' or open ~= turn then return { 0, '0' } end
  local holes = to_front(call('LRANGE', claims, from, -1))
  if from == 0 then
    call('DEL', claims)
    call('HSET', me, 'open', '', 'holes', 0)
  else
    call('LTRIM', claims, 0, from - 1)
    if holes > 0 then call('HINCRBY', me, 'holes', -holes) end
  end
  hand_over()
  return { front, '0' }
end

local most, most_bytes, turn = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local records, take = call('LRANGE', claims, 0, -1), reader(6)
local judged, counts = {}, turn ~= '' and turn == open
for i = 1, tonumber((take())) do
  judged[i] = tonumber((take())) + 1
  if (records[judged[i]] or '') == '' then counts = false end
end
if counts then
  local held = { unpack(records) }
  for _, i in ipairs(judged) do records[i] = '' end
  local replaced = tonumber((take()))
  counts = #judged + replaced > 0
  for _ = 1, replaced do
    local index, record = tonumber((take())) + 1, take()
    if (held[index] or '') ~= '' then
      records[index] = record
      if listened() then emit_record('stalled', record) end
    end
  end
  settle(take, now_ms(), most, most_bytes)
end
to_front(records)
call('DEL', claims)
forget_worker(worker, idle)
hand_over()
return { front, counts and '1' or '0' }
