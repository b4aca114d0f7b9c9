-- What several scripts share; put in front of each one when it is loaded.
--
-- A script gets one key, the ring, and makes the others from its prefix (keys.py lists them). Every change of state
-- in a namespace happens in one of these scripts, so each is atomic: nobody ever sees half a move.

local P = string.sub(KEYS[1], 1, -5)
local byte, sub, floor, concat = string.byte, string.sub, math.floor, table.concat
local call = redis.call

-- A batch takes from at most so many queues, and a bulk push hands so many elements to one command.
local QUEUES_A_BATCH, CHUNK = 16, 1000

-- No batch is larger than this: a claim is one command's arguments.
local MOST_A_BATCH = 1000

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

local function queue_key(queue, priority)
  return P .. 'queue:' .. priority .. ':' .. queue
end

-- The priorities a queue uses, highest first; nil for the common queue that uses 0 only.
local function priorities(queue)
  local used = call('ZREVRANGE', P .. 'priorities:' .. queue, 0, -1)
  if #used > 0 then return used end
end

-- How many records wait in a queue.
local function size(queue, used)
  if not used then return call('LLEN', queue_key(queue, '0')) end
  local sum = 0
  for _, priority in ipairs(used) do sum = sum + call('LLEN', queue_key(queue, priority)) end
  return sum
end

-- Puts records of one queue and priority at its front (LPUSH, the last of them first in line) or back (RPUSH), and
-- the queue on the ring: it is there if and only if something waits in it.
local function push(command, queue, priority, records, from, to)
  local used = priorities(queue)
  if size(queue, used) == 0 then call('RPUSH', KEYS[1], queue) end
  if used or priority ~= '0' then
    local key = P .. 'priorities:' .. queue
    if not used and call('EXISTS', queue_key(queue, '0')) == 1 then call('ZADD', key, 0, '0') end
    call('ZADD', key, priority, priority)
  end
  local key = queue_key(queue, priority)
  for first = from, to, CHUNK do
    call(command, key, unpack(records, first, math.min(first + CHUNK - 1, to)))
  end
end

-- Whoever looks for this job has to look again: it moves against the direction of the look (find.lua).
local function moved(id)
  if call('EXISTS', P .. 'wanted') == 1 and call('HEXISTS', P .. 'wanted', id) == 1 then
    call('HINCRBY', P .. 'wanted', id, 1)
  end
end

local function push_one(command, record)
  local _, id, queue, priority = head(record)
  moved(id)
  push(command, queue, priority, { record }, 1, 1)
end

-- Takes up to count records off the front of a queue. The caller keeps the ring right.
local function pop(queue, used, count)
  if not used then return call('LPOP', queue_key(queue, '0'), count) end
  local records = {}
  for _, priority in ipairs(used) do
    local key = queue_key(queue, priority)
    for _, record in ipairs(call('LPOP', key, count - #records) or {}) do records[#records + 1] = record end
    if call('EXISTS', key) == 0 then call('ZREM', P .. 'priorities:' .. queue, priority) end
    if #records == count then break end
  end
  return records
end

-- Delayed records and retries that are due go to the back of their queues, a bounded number a call.
-- Returns whether any did.
local function promote(now)
  local any = false
  for _, name in ipairs({ 'due', 'retries' }) do
    local due = call('ZRANGEBYSCORE', P .. name, '-inf', now, 'LIMIT', 0, 200)
    for _, record in ipairs(due) do
      push_one('RPUSH', record)
      if name == 'due' then
        local _, _, queue = head(record)
        call('HINCRBY', P .. 'counts:' .. queue, 'delayed', -1)
      end
    end
    if #due > 0 then
      call('ZREM', P .. name, unpack(due))
      any = true
    end
  end
  return any
end

-- How many each of the first queues on the ring gives, so that all give the same, none more than it has, and all
-- together at most count: sizes filled to a common level, like connected vessels.
local function level(sizes, count)
  local ascending, left = { unpack(sizes) }, count
  table.sort(ascending)
  for i, s in ipairs(ascending) do
    local share = floor(left / (#sizes - i + 1))
    if s > share then return share end
    left = left - s
  end
  return count
end

-- Cuts what a queue gave to what may run together: a job that crashed or was on a lost host runs alone, and a batch
-- has room for so many bytes. Returns how many records stay, the room left, and whether the batch ends here.
local function fitting(records, before, room, payloads)
  for i, record in ipairs(records) do
    local bytes, alone, id = #record, false, nil
    if byte(record, 2) ~= 0xa0 then
      local flags
      flags, id = head(record)
      alone = string.find(flags, '[ch]') ~= nil
      if string.find(flags, 'p', 1, true) then bytes = bytes + call('STRLEN', P .. 'payload:' .. id) else id = nil end
    end
    local first = before == 0 and i == 1
    if (alone or bytes > room) and not first then return i - 1, room, true end
    room = room - bytes
    if id then payloads[#payloads + 1] = { record, id } end
    if alone then return 1, room, true end
  end
  return #records, room, false
end

-- Claims a batch for a worker, round-robin over the ring, and stores it under the name of its turn.
-- Returns the batch as one MessagePack array: turn, first fencing token, records, {index: payload kept outside};
-- or nil when nothing waits. See records.py, Batch.
local function claim(worker, turn, want, room)
  local ring = KEYS[1]
  local names = call('LRANGE', ring, 0, QUEUES_A_BATCH - 1)
  if #names == 0 then return nil end
  local sizes, used, backlog = {}, {}, 0
  for i, queue in ipairs(names) do
    used[i] = priorities(queue)
    sizes[i] = size(queue, used[i])
    backlog = backlog + sizes[i]
  end
  if #names == QUEUES_A_BATCH then backlog = backlog * call('LLEN', ring) / #names end
  -- Never more than the fair part of the backlog, or the last batch would keep others waiting for its owner.
  local count = math.max(1, math.min(want, MOST_A_BATCH, floor(backlog / (2 * call('HLEN', P .. 'workers')))))
  local taken = math.min(#names, count)
  for i = #names, taken + 1, -1 do sizes[i] = nil end
  local share = level(sizes, count)

  local parts, total, longest, payloads = {}, 0, 0, {}
  for i = 1, taken do
    local queue = names[i]
    local part = pop(queue, used[i], math.min(share, sizes[i]))
    local kept, ended
    kept, room, ended = fitting(part, total, room, payloads)
    for j = #part, kept + 1, -1 do
      local _, _, _, priority = head(part[j])
      call('LPUSH', queue_key(queue, priority), part[j])
      if used[i] then call('ZADD', P .. 'priorities:' .. queue, priority, priority) end
      part[j] = nil
    end
    call('LPOP', ring)
    if sizes[i] > kept then
      -- A batch that ended before this queue's turn was over leaves the cursor on it, else it would starve.
      call((ended and total > 0) and 'LPUSH' or 'RPUSH', ring, queue)
    end
    parts[i], total, longest = part, total + kept, math.max(longest, kept)
    if ended then break end
  end

  local batch = parts[1]
  if #parts > 1 then
    batch = {}
    for j = 1, longest do
      for i = 1, #parts do
        local record = parts[i][j]
        if record then batch[#batch + 1] = record end
      end
    end
  end
  local key = P .. 'claims:' .. worker .. ':' .. turn
  call('RPUSH', key, unpack(batch))
  call('HSET', P .. 'worker:' .. worker, 'open', turn, 'holes', 0)
  return batch, payloads
end

-- MessagePack of a string of any bytes; cmsgpack would call it text.
local function binary(bytes)
  return '\198' .. struct.pack('>I4', #bytes) .. bytes
end

-- The message that brings a batch to its worker.
local function message(turn, batch, payloads)
  local outside = ''
  if #payloads > 0 then
    local index, pairs_ = {}, {}
    for i, record in ipairs(batch) do index[record] = i - 1 end
    for i, entry in ipairs(payloads) do
      local bytes = call('GET', P .. 'payload:' .. entry[2]) or '\192'
      pairs_[i] = cmsgpack.pack(index[entry[1]]) .. binary(bytes)
    end
    outside = concat(pairs_)
  end
  local token = call('INCRBY', P .. 'tokens', #batch) - #batch + 1
  return '\148' .. cmsgpack.pack(turn) .. cmsgpack.pack(token)
    .. '\221' .. struct.pack('>I4', #batch) .. concat(batch)
    .. '\223' .. struct.pack('>I4', #payloads) .. outside
end

-- Hands what waits over to idle workers: claims for each and pushes the batch itself onto the list it blocks on.
-- The name of the turn carries the time: after a restart with older state the same number could be given twice.
local function hand_over()
  while call('EXISTS', KEYS[1]) == 1 do
    -- The one that is idle longest: a job that it has to leave to others comes around to them all.
    local longest = call('ZPOPMIN', P .. 'idle')
    if #longest == 0 then return end
    local worker = longest[1]
    local state = call('HMGET', P .. 'worker:' .. worker, 'idle', 'want', 'room')
    if state[1] then
      local turn = state[1] .. '@' .. text(now_ms())
      local batch, payloads = claim(worker, turn, tonumber(state[2]), tonumber(state[3]))
      call('RPUSH', P .. 'wake:' .. worker .. ':' .. state[1], message(turn, batch, payloads))
    end
  end
end

-- Tells those who wait for a job how it ended. A large outcome is left to be asked for.
local function tell(id, outcome)
  local clients = call('HGET', P .. 'waiters', id)
  if not clients then return false end
  call('HDEL', P .. 'waiters', id)
  for client in string.gmatch(clients, '%S+') do
    local key = P .. 'waits:' .. client
    call('RPUSH', key, id, #outcome <= 4096 and outcome or '')
    call('PEXPIRE', key, 60000)
  end
  return true
end

-- The bucket for outcomes kept so long: all that expire in the same slice of time share a hash, and a slice that
-- grows too large is cut, so that the oldest can be let go when there are too many.
local function bucket(keep, now, most, most_bytes)
  local width = 1
  while width * 20 <= keep do width = width * 2 end
  local expiry = text((floor((now + keep) / width) + 1) * width)
  local results = P .. 'results'
  local name = call('HGET', results, 'open:' .. expiry)
  if name then
    local held = call('HMGET', results, 'n:' .. name, 'b:' .. name)
    if tonumber(held[1]) * 16 < most and tonumber(held[2]) * 16 < most_bytes then return name end
  end
  local number = call('HINCRBY', results, 'number', 1)
  name = expiry .. '.' .. number
  call('ZADD', P .. 'buckets', number, name)
  call('HSET', results, 'open:' .. expiry, name, 'n:' .. name, 0, 'b:' .. name, 0)
  return name
end

local function drop_bucket(name)
  local results = P .. 'results'
  local held = call('HMGET', results, 'n:' .. name, 'b:' .. name)
  call('HINCRBY', results, 'n', -(held[1] or 0))
  call('HINCRBY', results, 'b', -(held[2] or 0))
  local open = 'open:' .. string.match(name, '^%d+')
  if call('HGET', results, open) == name then call('HDEL', results, open) end
  call('HDEL', results, 'n:' .. name, 'b:' .. name)
  call('ZREM', P .. 'buckets', name)
  call('UNLINK', P .. 'outcomes:' .. name)
end

-- Stores outcomes, given as id, outcome, id, outcome in list[from .. to], for keep milliseconds.
-- most and most_bytes bound what a namespace keeps: beyond them the oldest buckets go.
local function store_outcomes(list, from, to, keep, now, most, most_bytes)
  local results = P .. 'results'
  local name = bucket(keep, now, most, most_bytes)
  local bytes, added = 0, 0
  for i = from + 1, to, 2 do bytes = bytes + #list[i] end
  for first = from, to, CHUNK do
    added = added + call('HSET', P .. 'outcomes:' .. name, unpack(list, first, math.min(first + CHUNK - 1, to)))
  end
  call('HINCRBY', results, 'n:' .. name, added)
  call('HINCRBY', results, 'b:' .. name, bytes)
  local all, all_bytes = call('HINCRBY', results, 'n', added), call('HINCRBY', results, 'b', bytes)
  while all > most or all_bytes > most_bytes do
    local oldest = call('ZRANGE', P .. 'buckets', 0, 0)[1]
    if not oldest or oldest == name then break end
    drop_bucket(oldest)
    all, all_bytes = tonumber(call('HGET', results, 'n')), tonumber(call('HGET', results, 'b'))
  end
end

-- The outcome of an earlier run must not be taken for that of the one that begins.
local function forget_outcome(id)
  for _, name in ipairs(call('ZRANGE', P .. 'buckets', 0, -1)) do
    local key = P .. 'outcomes:' .. name
    local bytes = call('HSTRLEN', key, id)
    if call('HDEL', key, id) == 1 then
      for _, field in ipairs({ 'n', 'n:' .. name }) do call('HINCRBY', P .. 'results', field, -1) end
      for _, field in ipairs({ 'b', 'b:' .. name }) do call('HINCRBY', P .. 'results', field, -bytes) end
    end
  end
end

-- Tells the supervisors when this record is the first that will be due: with all workers idle nobody else looks.
local function delay(name, record, due)
  local _, id = head(record)
  moved(id)
  call('ZADD', P .. name, due, record)
  if call('ZRANGE', P .. name, 0, 0)[1] ~= record then return end
  for _, supervisor in ipairs(call('HKEYS', P .. 'supervisors')) do
    call('RPUSH', P .. 'orders:' .. supervisor, 'due ' .. text(due))
    call('PEXPIRE', P .. 'orders:' .. supervisor, 60000)
  end
end

-- Ends jobs, given as id, outcome, id, outcome in list[from .. to]: tells who waits, keeps the outcomes, lets go of
-- the ids that users gave.
local function end_jobs(list, from, to, keep, now, most, most_bytes)
  local told = {}
  if call('EXISTS', P .. 'waiters') == 1 then
    for i = from, to, 2 do
      if tell(list[i], list[i + 1]) then
        told[#told + 1] = list[i]
        told[#told + 1] = list[i + 1]
      end
    end
  end
  if call('EXISTS', P .. 'ids') == 1 then
    for i = from, to, 2 do call('HDEL', P .. 'ids', list[i]) end
  end
  if keep > 0 then
    store_outcomes(list, from, to, keep, now, most, most_bytes)
  elseif #told > 0 then
    -- Kept for nobody but those who were just told: the push may be lost on its way.
    store_outcomes(told, 1, #told, 60000, now, most, most_bytes)
  end
end

-- Puts a page of finished jobs in front of a queue's history and trims it by rank. Readers show no more than the
-- limit, so whole pages are let go, at constant cost. A page begins with how many jobs it holds and how long the
-- list is of those whose payload stays outside with them (records.py, encode_page).
local function remember(queue, status, number, limit, page)
  local counts = P .. 'counts:' .. queue
  call('HINCRBY', counts, status, number)
  if page == '' then return end
  local key, kept = P .. 'history:' .. queue .. ':' .. status, status .. ':kept'
  call('LPUSH', key, page)
  local total = call('HINCRBY', counts, kept, byte(page, 1) * 256 + byte(page, 2))
  while total > limit do
    local last = call('LINDEX', key, -1)
    local jobs = byte(last, 1) * 256 + byte(last, 2)
    if total - jobs < limit then break end
    call('RPOP', key)
    for id in string.gmatch(sub(last, 5, 4 + byte(last, 3) * 256 + byte(last, 4)), '%S+') do
      -- A user's id may be in use again, its payload with it.
      if call('HEXISTS', P .. 'ids', id) == 0 then call('UNLINK', P .. 'payload:' .. id) end
    end
    total = call('HINCRBY', counts, kept, -jobs)
  end
end

-- Everything that refers to a worker goes; its claims must be given back by now.
local function forget_worker(worker, idle)
  call('HDEL', P .. 'workers', worker)
  call('HDEL', P .. 'lost', worker)
  call('ZREM', P .. 'idle', worker)
  call('DEL', P .. 'worker:' .. worker)
  if idle then call('DEL', P .. 'wake:' .. worker .. ':' .. idle) end
end

-- Reads arguments one after the other.
local function reader(at)
  return function(count)
    at = at + (count or 1)
    return ARGV[at - 1], at
  end
end

-- How jobs ended, as store.py's `Settlement.arguments` writes it: endings by how long they are kept, retries with
-- their time, pages of history, payloads that are let go. Returns whether something waits that did not before.
local function settle(take, now, most, most_bytes)
  for _ = 1, tonumber((take())) do
    local keep, number = tonumber((take())), tonumber((take()))
    local _, after = take(2 * number)
    end_jobs(ARGV, after - 2 * number, after - 1, keep, now, most, most_bytes)
  end
  local waiting = false
  for _ = 1, tonumber((take())) do
    local pause, record = tonumber((take())), take()
    if pause > 0 then
      delay('retries', record, now + pause)
    else
      push_one('RPUSH', record)
      waiting = true
    end
  end
  for _ = 1, tonumber((take())) do
    local queue, status, number, limit, page = take(), take(), take(), take(), take()
    remember(queue, status, tonumber(number), tonumber(limit), page)
  end
  for _ = 1, tonumber((take())) do call('UNLINK', P .. 'payload:' .. take()) end
  return waiting
end
