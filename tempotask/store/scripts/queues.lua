-- What the scripts share that move records: push, pop, claim, hand over. Included by those that say so, behind
-- `batches`.

-- A batch takes from at most so many queues, and no batch is larger: a claim is one command's arguments.
local QUEUES_A_BATCH, MOST_A_BATCH = 16, 1000

-- Keys of common queues: a claim needs each more than once, and the server hashes all bytes of a string that is made.
local common = {}

local function queue_key(queue, priority)
  if priority ~= '0' then return P .. 'queue:' .. priority .. ':' .. queue end
  local key = common[queue] or P .. 'queue:0:' .. queue
  common[queue] = key
  return key
end

-- The highest priorities that a queue uses, so many at most (all, if not told), highest first; nil for the common queue
-- that uses 0 only.
local function priorities(queue, most)
  local used = call('ZREVRANGE', P .. 'priorities:' .. queue, 0, (most or 0) - 1)
  if #used > 0 then return used end
end

-- How many records wait in a queue; where it uses more priorities than these, at least so many: one for each.
local function size(queue, used)
  if not used then return call('LLEN', queue_key(queue, '0')) end
  local sum = call('ZCARD', P .. 'priorities:' .. queue) - #used
  for _, priority in ipairs(used) do sum = sum + call('LLEN', queue_key(queue, priority)) end
  return sum
end

-- Whether any record waits in a queue, and whether it uses priorities. As a rule the first of its lists tells: those of
-- priorities in use hold some.
local function holds_any(queue)
  local first = priorities(queue, 1)
  if call('EXISTS', queue_key(queue, first and first[1] or '0')) == 1 then return true, first ~= nil end
  for _, priority in ipairs(first and priorities(queue) or {}) do
    if call('EXISTS', queue_key(queue, priority)) == 1 then return true, true end
  end
  return false, first ~= nil
end

-- Puts records of one queue and priority at its front (LPUSH, the last of them first in line) or back (RPUSH), and
-- the queue on the ring: it is there if and only if its lists are not empty and it is not paused.
local function push(command, queue, priority, records, from, to)
  if queue == UNREADABLE then call('SADD', P .. 'queues', queue) end
  local any, used = holds_any(queue)
  if not any and not paused(queue) then call('RPUSH', KEYS[1], queue) end
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

-- Whoever looks for any job has to look again: elements went, and others may be where it has looked already.
local function shifted()
  if call('EXISTS', P .. 'wanted') == 1 then call('HINCRBY', P .. 'wanted', SHIFTS, 1) end
end

local function push_one(command, record)
  local _, id, queue, priority = head(record)
  moved(id)
  push(command, queue, priority, { record }, 1, 1)
end

-- Takes up to count records off the front of a queue; none of one that is on the ring with nothing in it, as after
-- somebody deleted its list. The caller keeps the ring right.
local function pop(queue, used, count)
  if not used then return call('LPOP', queue_key(queue, '0'), count) or {} end
  local records = {}
  for _, priority in ipairs(used) do
    local key = queue_key(queue, priority)
    for _, record in ipairs(call('LPOP', key, count - #records) or {}) do records[#records + 1] = record end
    if call('EXISTS', key) == 0 then call('ZREM', P .. 'priorities:' .. queue, priority) end
    if #records == count then break end
  end
  return records
end

-- What `counts:<queue>` calls those that are in each of the sorted sets.
local COUNTED = { due = 'delayed', retries = 'retries' }

local function count(queue, field, by)
  call('HINCRBY', P .. 'counts:' .. queue, field, by)
end

local function order(supervisor, what)
  call('RPUSH', P .. 'orders:' .. supervisor, what)
  call('PEXPIRE', P .. 'orders:' .. supervisor, NOTICE_MS)
end

local function order_all(what)
  for _, supervisor in ipairs(call('HKEYS', P .. 'supervisors')) do order(supervisor, what) end
end

-- Tells the supervisors when this record is the first that will be due: with all workers idle nobody else looks.
local function delay(name, record, due)
  local _, id, queue = head(record)
  moved(id)
  call('ZADD', P .. name, due, record)
  count(queue, COUNTED[name], 1)
  if call('ZRANGE', P .. name, 0, 0)[1] == record then order_all('due ' .. text(due)) end
end

-- Delayed records and retries that are due go to the back of their queues, a bounded number a call.
-- Returns whether any did.
local function promote(now)
  local any = false
  for _, name in ipairs({ 'due', 'retries' }) do
    local due = call('ZRANGEBYSCORE', P .. name, '-inf', now, 'LIMIT', 0, 200)
    local told = #due > 0 and listened()
    for _, record in ipairs(due) do
      if told then emit_record('waiting', record) end
      push_one('RPUSH', record)
      local _, _, queue = head(record)
      count(queue, COUNTED[name], -1)
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

-- How many bytes these records are, if all are plain ones, with no flags and no hole among them; else nil.
local function plain_bytes(records)
  local bytes = 0
  for i = 1, #records do
    local record = records[i]
    if byte(record, 2) ~= 0xa0 then return nil end
    bytes = bytes + #record
  end
  return bytes
end

-- Cuts what a queue gave to what may run together: a job that crashed or was on a lost host runs alone, and a batch
-- has room for so many bytes. Holes are let go. Returns how many records stay, as the first ones; how many elements
-- that took; the room left; and whether the batch ends here.
local function fitting(records, before, room, payloads)
  local kept = 0
  for i, record in ipairs(records) do
    local bytes, alone, payload, hole = #record, false, nil, false
    if byte(record, 2) ~= 0xa0 then
      hole = record == ''
      if not hole then
        local flags, id = head(record)
        alone = string.find(flags, '[ch]') ~= nil
        if string.find(flags, 'p', 1, true) then
          payload = payload_key(flags, id)
          bytes = bytes + call('STRLEN', P .. payload)
        end
      end
    end
    if not hole then
      if (alone or bytes > room) and before + kept > 0 then return kept, i - 1, room, true end
      kept = kept + 1
      records[kept] = record
      room = room - bytes
      if payload then payloads[#payloads + 1] = { record, payload } end
      if alone then return kept, i, room, true end
    end
  end
  return kept, #records, room, false
end

-- Lets go of the holes at the front of a queue, a bounded number a call; returns how many.
local function drop_holes(queue, used)
  local dropped = 0
  for _, priority in ipairs(used or { '0' }) do
    local key, holes = queue_key(queue, priority), 100
    while holes == 100 and dropped < 2000 do
      local some = call('LRANGE', key, 0, 99)
      holes = 0
      while some[holes + 1] == '' do holes = holes + 1 end
      if holes > 0 then call('LTRIM', key, holes, -1) end
      dropped = dropped + holes
    end
    if call('EXISTS', key) == 1 then break end
    if used then call('ZREM', P .. 'priorities:' .. queue, priority) end
  end
  return dropped
end

-- Takes up to `share` records off the front of a queue; what does not fit stays there.
-- Returns them, how many elements are left, the room left, and whether the batch ends here.
local function take_part(queue, used, share, waiting, before, room, payloads)
  local part = pop(queue, used, math.min(share, waiting))
  local bytes = plain_bytes(part)
  if bytes and bytes <= room then return part, waiting - #part, room - bytes, false end
  local kept, gone, ended
  kept, gone, room, ended = fitting(part, before, room, payloads)
  local holes = gone - kept
  for i = #part, gone + 1, -1 do
    local record = part[i]
    if record == '' then
      holes = holes + 1
    else
      local _, _, _, priority = head(record)
      if not used then priority = '0' end
      call('LPUSH', queue_key(queue, priority), record)
      if used then call('ZADD', P .. 'priorities:' .. queue, priority, priority) end
    end
  end
  for i = #part, kept + 1, -1 do part[i] = nil end
  if holes > 0 then
    holes = holes + drop_holes(queue, used)
    count(queue, 'holes', -holes)
  end
  return part, waiting - kept - holes, room, ended
end

-- The first queues on the ring: their names, how many wait in each, the priorities of those that use any, as many as a
-- claim of so many jobs can come to, how many queues there are, and how many jobs wait in all, as far as can be told
-- from these.
local function look_at_ring(want)
  local ring, keys, sizes, used, backlog = KEYS[1], {}, {}, {}, 0
  local names = call('LRANGE', ring, 0, QUEUES_A_BATCH - 1)
  if #names == 0 then return names end
  for i, queue in ipairs(names) do keys[i] = P .. 'priorities:' .. queue end
  local plain = call('EXISTS', unpack(keys)) == 0
  for i, queue in ipairs(names) do
    if not plain then used[i] = priorities(queue, want) end
    sizes[i] = size(queue, used[i])
    backlog = backlog + sizes[i]
  end
  local queues = #names
  if queues == QUEUES_A_BATCH then
    queues = call('LLEN', ring)
    backlog = backlog * queues / #names
  end
  return names, sizes, used, queues, backlog
end

-- One part after the other.
local function joined(parts)
  local batch, number = {}, 0
  for _, part in ipairs(parts) do
    for j = 1, #part do batch[number + j] = part[j] end
    number = number + #part
  end
  return batch
end

-- One of each part, then the second of each, and so on.
local function interleaved(parts)
  local batch, number, longest = {}, 0, 0
  for _, part in ipairs(parts) do longest = math.max(longest, #part) end
  for j = 1, longest do
    for i = 1, #parts do
      local record = parts[i][j]
      if record then
        number = number + 1
        batch[number] = record
      end
    end
  end
  return batch
end

-- Claims a batch for a worker, round-robin over the ring, and stores it under the name of its turn.
-- Returns the records (none: there were only holes), which of them have a payload outside, and whether more waits;
-- nil when the ring is empty.
local function claim(worker, turn, want, room)
  local names, sizes, used, queues, backlog = look_at_ring(math.min(want, MOST_A_BATCH))
  if #names == 0 then return nil end
  -- Never more than the fair part of the backlog, or the last batch would keep others waiting for its owner.
  local most = 1
  if backlog > 1 then
    local fair = floor(backlog / (2 * call('HLEN', P .. 'workers')))
    most = math.max(1, math.min(want, MOST_A_BATCH, fair))
  end
  local taken = math.min(#names, most)
  for i = #names, taken + 1, -1 do sizes[i] = nil end
  local share = level(sizes, most)

  local ring, parts, total, payloads, more, behind, cursor = KEYS[1], {}, 0, {}, queues > taken, {}, nil
  for i = 1, taken do
    if total >= most then break end
    local part, left, ended, give = nil, nil, nil, share
    -- One that would keep little gives all, where not all queues can be in a batch anyhow: to come back costs more.
    if queues > #names and sizes[i] - share <= share / 4 then give = math.min(sizes[i], most - total) end
    part, left, room, ended = take_part(names[i], used[i], give, sizes[i], total, room, payloads)
    parts[i], total = part, total + #part
    if left > 0 then
      more = true
      -- A batch that ended before this queue's turn was over leaves the cursor on it, else it would starve.
      if ended and total > #part then cursor = names[i] else behind[#behind + 1] = names[i] end
    end
    if ended then
      more = more or i < #names
      break
    end
  end
  call('LPOP', ring, #parts)
  if #behind > 0 then call('RPUSH', ring, unpack(behind)) end
  if cursor then call('LPUSH', ring, cursor) end
  if total == 0 then return {}, payloads, more end

  -- Where not all queues can be in a batch, it makes no difference who of those that are comes first in it.
  local batch = #parts == 1 and parts[1] or queues > #names and joined(parts) or interleaved(parts)
  call('RPUSH', P .. 'claims:' .. worker .. ':' .. turn, unpack(batch))
  call('HSET', P .. 'worker:' .. worker, 'open', turn, 'holes', 0)
  return batch, payloads, more
end

-- Hands what waits over to idle workers: claims for each and pushes the batch itself onto the list it blocks on.
-- The name of the turn carries the time: after a restart with older state the same number could be given twice.
-- `more`: whether it is known that something waits.
local function hand_over(more)
  more = more or call('EXISTS', KEYS[1]) == 1
  while more do
    -- The one that is idle longest: a job that it has to leave to others comes around to them all.
    local longest = call('ZPOPMIN', P .. 'idle')
    if #longest == 0 then return end
    local worker = longest[1]
    local state = call('HMGET', P .. 'worker:' .. worker, 'idle', 'want', 'room')
    if state[1] then
      local turn = state[1] .. '@' .. text(now_ms())
      local batch, payloads
      batch, payloads, more = claim(worker, turn, tonumber(state[2]), tonumber(state[3]))
      if batch and #batch > 0 then
        call('RPUSH', P .. 'wake:' .. worker .. ':' .. state[1], message(turn, batch, payloads))
      elseif more then
        -- Nothing but holes so far: a nudge, so that this worker takes a turn and goes on.
        call('RPUSH', P .. 'wake:' .. worker .. ':' .. state[1], '')
      else
        call('ZADD', P .. 'idle', longest[2], worker)
      end
    end
  end
end
