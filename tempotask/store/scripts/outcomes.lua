-- What the scripts share that keep outcomes, or ask for them. Included by those that say so.

local function drop_bucket(name)
  local results = P .. 'results'
  local held = call('HMGET', results, 'n:' .. name, 'b:' .. name)
  -- Not with a minus sign alone: that of no outcomes would be "-0", which Redis takes for no number.
  call('HINCRBY', results, 'n', 0 - (held[1] or 0))
  call('HINCRBY', results, 'b', 0 - (held[2] or 0))
  local open = 'open:' .. string.match(name, '^%d+')
  if call('HGET', results, open) == name then call('HDEL', results, open) end
  call('HDEL', results, 'n:' .. name, 'b:' .. name)
  call('ZREM', P .. 'buckets', name)
  call('UNLINK', P .. 'outcomes:' .. name, P .. 'sheets:' .. name)
end

-- Lets go of buckets that have expired, a few a call; what they hold is freed in the background.
local function drop_expired(now)
  local dropped = 0
  for _, name in ipairs(call('ZRANGE', P .. 'buckets', 0, -1)) do
    if dropped < 10 and tonumber(string.match(name, '^%d+')) < now then
      drop_bucket(name)
      dropped = dropped + 1
    end
  end
end

-- The bucket for outcomes kept so long: all that expire in the same slice of time share a hash, and a slice that
-- grows too large is cut, so that the oldest can be let go when there are too many. Who makes a bucket lets go of more:
-- where outcomes are kept for a second, there are a dozen new ones a second.
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
  drop_expired(now)
  local number = call('HINCRBY', results, 'number', 1)
  name = expiry .. '.' .. number
  call('ZADD', P .. 'buckets', number, name)
  call('HSET', results, 'open:' .. expiry, name, 'n:' .. name, 0, 'b:' .. name, 0)
  return name
end

-- So many outcomes of so many bytes more are in that bucket. Returns how many there are in all.
local function count_outcomes(name, added, bytes)
  local results = P .. 'results'
  call('HINCRBY', results, 'n:' .. name, added)
  call('HINCRBY', results, 'b:' .. name, bytes)
  return call('HINCRBY', results, 'n', added), call('HINCRBY', results, 'b', bytes)
end

-- The same of outcomes that are new. most and most_bytes bound what a namespace keeps: beyond them the oldest buckets
-- go.
local function count_new(name, added, bytes, most, most_bytes)
  local all, all_bytes = count_outcomes(name, added, bytes)
  while all > most or all_bytes > most_bytes do
    local results, oldest = P .. 'results', call('ZRANGE', P .. 'buckets', 0, 0)[1]
    if not oldest or oldest == name then break end
    drop_bucket(oldest)
    all, all_bytes = tonumber(call('HGET', results, 'n')), tonumber(call('HGET', results, 'b'))
  end
end

-- Puts outcomes, given as id, outcome, id, outcome, into the hash of a bucket. Returns how many were not there before,
-- and their bytes.
local function spread(name, list)
  local bytes, added = 0, 0
  for i = 2, #list, 2 do bytes = bytes + #list[i] end
  for first = 1, #list, CHUNK do
    added = added + call('HSET', P .. 'outcomes:' .. name, unpack(list, first, math.min(first + CHUNK - 1, #list)))
  end
  return added, bytes
end

-- Stores outcomes, given as id, outcome, id, outcome, for keep milliseconds.
local function store_outcomes(list, keep, now, most, most_bytes)
  local name = bucket(keep, now, most, most_bytes)
  local added, bytes = spread(name, list)
  count_new(name, added, bytes, most, most_bytes)
end

-- How many outcomes a sheet has (sheets.py), and how many bytes they are.
local function sheet_head(sheet)
  if #sheet < 8 then return 0, 0 end
  local number, bytes = struct.unpack('>I4I4', sheet)
  return number, bytes
end

local function is_sheet(sheet)
  local number, bytes = sheet_head(sheet)
  return number > 0 and bytes >= number and #sheet >= 10 + number + bytes
end

-- What stands in a sheet before its outcomes: ids, the length of each outcome, and where they begin; nil for what is no
-- sheet.
local function read_sheet(sheet)
  local well, at, ids, lengths = pcall(cmsgpack.unpack_limit, sheet, 2, 8)
  if not well or type(ids) ~= 'table' or type(lengths) ~= 'table' or #ids ~= #lengths then return nil end
  return ids, lengths, at
end

-- What a sheet holds: id, outcome, id, outcome ...; nil for what is no sheet.
local function open_sheet(sheet)
  local ids, lengths, at = read_sheet(sheet)
  if not ids then return nil end
  local list = {}
  for i, id in ipairs(ids) do
    local length = lengths[i]
    if type(id) ~= 'string' or type(length) ~= 'number' then return nil end
    list[2 * i - 1], list[2 * i] = id, sub(sheet, at + 1, at + length)
    at = at + length
  end
  return list
end

-- Which of these jobs stand in a hash: its values, or nil where none does.
local function those_in(hash, ids)
  if call('EXISTS', P .. hash) == 0 then return nil end
  local values = call('HMGET', P .. hash, unpack(ids))
  for _, value in ipairs(values) do
    if value then return values end
  end
  return nil
end

-- Notes who still waits for a job, of those who did.
local function set_waiters(id, before, clients)
  local after = concat(clients, ' ')
  if after == '' then
    call('HDEL', P .. 'waiters', id)
  elseif after ~= before then
    call('HSET', P .. 'waiters', id, after)
  end
end

-- The client that waits for all of these jobs, if only one does.
local function only_waiter(waiting)
  local client = waiting[1]
  if not client or string.find(client, ' ', 1, true) then return nil end
  for _, other in ipairs(waiting) do
    if other ~= client then return nil end
  end
  return client
end

-- How the ends in a sheet are noted: 'kept' in one piece; 'told' in one piece to the client that waits for all of them,
-- which comes second, the ids third; or 'single', one by one, where users gave the ids, where jobs have told something
-- while they ran, where several wait, or where somebody has just asked for others.
local function manner(sheet)
  if call('EXISTS', P .. 'asked', P .. 'waiters', P .. 'ids', P .. 'live') == 0 then return 'kept' end
  local ids = read_sheet(sheet)
  if not ids or #ids == 0 or those_in('ids', ids) or those_in('live', ids) then return 'single' end
  local waiting = those_in('waiters', ids)
  local client = waiting and only_waiter(waiting)
  -- Who was told hardly asks.
  if client and #ids > 1 and #sheet <= LARGEST_TOLD then return 'told', client, ids end
  if waiting or call('EXISTS', P .. 'asked') == 1 then return 'single' end
  return 'kept'
end

-- Keeps the outcomes of jobs in one piece.
local function keep_sheet(sheet, keep, now, most, most_bytes)
  local name, number, bytes = bucket(keep, now, most, most_bytes), sheet_head(sheet)
  call('RPUSH', P .. 'sheets:' .. name, sheet)
  count_new(name, number, bytes, most, most_bytes)
end

local function has_sheets()
  local keys = call('ZRANGE', P .. 'buckets', 0, -1)
  for i, name in ipairs(keys) do keys[i] = P .. 'sheets:' .. name end
  for first = 1, #keys, CHUNK do
    if call('EXISTS', unpack(keys, first, math.min(first + CHUNK - 1, #keys))) > 0 then return true end
  end
  return false
end

-- How these jobs ended, as far as it does not stand in sheets: of each the outcome, or '' of one that has not ended.
local function spread_outcomes_of(ids)
  local answers, missing, running = {}, {}, {}
  if #ids > 0 and call('EXISTS', P .. 'ids') == 1 then running = call('HMGET', P .. 'ids', unpack(ids)) end
  for i = 1, #ids do
    answers[i] = ''
    -- An id that a user gave may have an outcome of an earlier run.
    if not running[i] then missing[#missing + 1] = i end
  end
  local now = now_ms()
  for _, name in ipairs(call('ZREVRANGE', P .. 'buckets', 0, -1)) do
    if #missing == 0 then break end
    if tonumber(string.match(name, '^%d+')) >= now then
      local sought, left = {}, {}
      for j, i in ipairs(missing) do sought[j] = ids[i] end
      for j, outcome in ipairs(call('HMGET', P .. 'outcomes:' .. name, unpack(sought))) do
        if outcome then answers[missing[j]] = outcome else left[#left + 1] = missing[j] end
      end
      missing = left
    end
  end
  return answers
end

-- What is left of outcomes, given as id, outcome, id, outcome, without those of `unwanted`, a set of ids.
local function without(list, unwanted)
  local left = {}
  for i = 1, #list, 2 do
    if not unwanted[list[i]] then left[#left + 1], left[#left + 2] = list[i], list[i + 1] end
  end
  return left
end

-- Spreads sheets, a bounded number of outcomes a call; without those of `unwanted`, a set of ids, if it is given. Returns
-- whether there are more.
local function spread_sheets(unwanted)
  local left, left_bytes = 4000, 1048576
  for _, name in ipairs(call('ZREVRANGE', P .. 'buckets', 0, -1)) do
    local sheet = call('LPOP', P .. 'sheets:' .. name)
    while sheet do
      local number, bytes = sheet_head(sheet)
      local list = open_sheet(sheet) or {}
      if unwanted then list = without(list, unwanted) end
      local added, size = spread(name, list)
      -- What can't be read, or is not wanted, is let go, and does not count any more.
      if added ~= number or size ~= bytes then count_outcomes(name, added - number, size - bytes) end
      left, left_bytes = left - number, left_bytes - bytes
      if left <= 0 or left_bytes <= 0 then return true end
      sheet = call('LPOP', P .. 'sheets:' .. name)
    end
  end
  return false
end
