#!lua flags=allow-oom
-- include: batches queues adding outcomes endings cancelling settle
--
-- A worker's turn: settle the finished batch, promote what is due, claim the next one. One round trip a batch.
--
-- KEYS  the ring
-- ARGV  worker, number of this sending, want (most jobs; 0: settle only), room (bytes), most outcomes, most bytes of
--       them, '1' if the results bring their events else '', then the results: turn whose claims they are of ('' for
--       none), first index, end (exclusive), how many between them are known to be taken away and their indices, then
--       as `settle` reads it
-- reply {'jobs', before, behind, record, ...}
--                            claimed, or delivered again: what was left in the worker's claims (see claim); as pieces
--                            of the message (see frame)
--       {'again'}            there were only holes so far: take another turn
--       {'idle'}             nothing waits: the worker is on the idle list, and blocks on wake:<worker>:<number>
--       {'settled'}          want was 0
--       {'refused', i, ...}  nothing was done: these results are of claims that were taken away; send without them
--       {'listened'}         nothing was done: somebody listens to events; send again and bring them
--       {'stale', number}    nothing was done: a later sending was here before; send again under a higher number
--       {'gone'}             the worker is not registered (any more): it ends, and its results count for nothing
--
-- claimed -> settled, or -> waiting again (a retry); waiting -> claimed. What settles names worker, turn and index,
-- and what the server does not hold under that name is refused: so a job is settled once, however late, doubled or
-- cut off its worker is.

at_least(11)
for _, i in ipairs({ 2, 3, 4, 9, 10, 11 }) do whole(ARGV[i]) end
local worker, number, want, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local most, most_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local told = ARGV[7]
local turn, first, stop, missing = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local me = P .. 'worker:' .. worker
if not most or not most_bytes or first > stop or stop > MOST_A_BATCH or missing > stop - first then
  refuse('no part of a batch')
end
for i = 12, 11 + missing do whole(ARGV[i]) end
insist_on_settlement(12 + missing)

local state = call('HMGET', me, 'supervisor', 'turn', 'open', 'holes', 'idle')
local supervisor, last, idle = state[1], tonumber(state[2] or 0), state[5]
local open, holes = state[3] or '', tonumber(state[4] or 0)
if not supervisor then return { 'gone' } end
if number <= last then return { 'stale', last } end

local claims = P .. 'claims:' .. worker .. ':' .. open
local mine = turn ~= '' and turn == open

-- Claims that the worker knows to be taken away. A server that came back with an older state may hold them again.
local known = {}
for i = 1, missing do known[tonumber(ARGV[11 + i])] = true end

-- The results of claims that were taken away, as the reply tells them; not of those that the worker knows of.
local function refused()
  local taken, records = { 'refused' }, call('LRANGE', claims, first, stop - 1)
  for i = first, stop - 1 do
    if (records[i - first + 1] or '') == '' and not known[i] then taken[#taken + 1] = i end
  end
  return taken
end

-- Closes the open claims and returns what is left of them. With want = 0 they stay open, and what was settled leaves
-- holes in them.
local function unsettled()
  if open == '' then return {} end
  local length, left = call('LLEN', claims), {}
  local all = mine and first == 0 and stop >= length
  if all and missing > 0 then
    for i, record in ipairs(call('LRANGE', claims, 0, -1)) do
      if known[i - 1] and record ~= '' then all = false end
    end
  end
  if not all and want == 0 then
    if mine then
      for i = first, math.min(stop, length) - 1 do
        if not known[i] then call('LSET', claims, i, '') end
      end
      call('HINCRBY', me, 'holes', stop - first - missing)
    end
    return left
  end
  if not all then
    for i, record in ipairs(call('LRANGE', claims, 0, -1)) do
      local settled = mine and i > first and i <= stop and not known[i - 1]
      if record ~= '' and not settled then left[#left + 1] = record end
    end
  end
  call('DEL', claims)
  call('HSET', me, 'open', '', 'holes', 0)
  return left
end

-- Claims the same records under the name of this turn. Returns which of them have a payload outside.
local function claim_again(name, records)
  local payloads = {}
  call('RPUSH', P .. 'claims:' .. worker .. ':' .. name, unpack(records))
  call('HSET', me, 'open', name)
  for _, record in ipairs(records) do
    local flags, id = head(record)
    if string.find(flags, 'p', 1, true) then payloads[#payloads + 1] = { record, payload_key(flags, id) } end
  end
  return payloads
end

-- As `claim`, past a bounded number of holes.
local function claim_next(name)
  local batch, payloads, more
  for _ = 1, 10 do
    batch, payloads, more = claim(worker, name, want, room)
    if not batch or #batch > 0 or not more then break end
  end
  return batch, payloads, more
end

-- Refuse.
if mine and (holes > 0 or missing > 0 or call('LLEN', claims) < stop) then
  local taken = refused()
  if #taken > 1 then
    call('HSET', me, 'turn', number)
    call('INCRBY', P .. 'refused', #taken - 1)
    return taken
  end
end
call('HSET', me, 'turn', number)
if mine and told == '' and listened() then return { 'listened' } end
if idle then
  call('HDEL', me, 'idle', 'want', 'room')
  call('ZREM', P .. 'idle', worker)
  call('DEL', P .. 'wake:' .. worker .. ':' .. idle)
end

-- Settle.
local now, waiting = now_ms(), false
if mine then
  waiting = settle(reader(12 + missing), now, most, most_bytes)
elseif turn ~= '' then
  call('INCRBY', P .. 'refused', stop - first - missing)
end
local left = unsettled()
if want == 0 then
  if waiting then hand_over() end
  return { 'settled' }
end

-- Claim.
if promote(now) then waiting = true end
local name, batch, payloads, more = text(number), left, nil, nil
if #left > 0 then
  payloads = claim_again(name, left)
else
  batch, payloads, more = claim_next(name)
  if batch and #batch == 0 and more then
    if waiting then hand_over(true) end
    return { 'again' }
  end
end
if batch and #batch > 0 then
  if waiting then hand_over() end
  -- In pieces: to put them together here means to copy and to hash them more than once.
  local before, behind = frame(name, batch, payloads)
  return { 'jobs', before, behind, unpack(batch) }
end
call('HSET', me, 'idle', number, 'want', want, 'room', room)
call('ZADD', P .. 'idle', now, worker)
return { 'idle' }
