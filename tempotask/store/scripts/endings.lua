-- What the scripts share that end jobs: outcomes, who waits for them, history. Included by those that say so.

-- Tells those who wait for a job how it ended. A large outcome is left to be asked for.
local function tell(id, outcome)
  local clients = call('HGET', P .. 'waiters', id)
  if not clients then return false end
  call('HDEL', P .. 'waiters', id)
  for client in string.gmatch(clients, '%S+') do
    local key = P .. 'waits:' .. client
    -- One element, so that a client that is cut off between two does not take the one for the other.
    call('RPUSH', key, id .. ' ' .. (#outcome <= 4096 and outcome or ''))
    call('PEXPIRE', key, NOTICE_MS)
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

-- Ends jobs, given as id, outcome, id, outcome in list[from .. to]: tells who waits, keeps the outcomes, lets go of
-- the ids that users gave, and of what the jobs said while they ran.
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
  for _, hash in ipairs({ 'ids', 'live' }) do
    if call('EXISTS', P .. hash) == 1 then
      for i = from, to, 2 do call('HDEL', P .. hash, list[i]) end
    end
  end
  if keep > 0 then
    store_outcomes(list, from, to, keep, now, most, most_bytes)
  elseif #told > 0 then
    -- Kept for nobody but those who were just told: the push may be lost on its way.
    store_outcomes(told, 1, #told, NOTICE_MS, now, most, most_bytes)
  end
end

-- Lets go of keys that belong to finished jobs: payloads outside, logs.
local function let_go(name)
  -- An id that a user gave may be in use again, its log with it.
  local id = string.match(name, '^log:(.*)')
  if not id or call('HEXISTS', P .. 'ids', id) == 0 then call('UNLINK', P .. name) end
end

-- Lets go of the last pages of a history as long as none of their jobs counts any more. Returns how many of the jobs
-- on the page that is the last now do not.
local function trim(key, trimmed)
  while trimmed > 0 do
    local last = call('LINDEX', key, -1)
    if not last then return 0 end
    local jobs, outside = page_head(last)
    if jobs > trimmed then break end
    call('RPOP', key)
    for name in string.gmatch(outside, '%S+') do let_go(name) end
    trimmed = trimmed - jobs
  end
  return trimmed
end

-- Puts a page of finished jobs in front of a queue's history, of which the newest `limit` jobs are kept. At constant
-- cost: the last page stays as it is while one of its jobs is kept, and `<status>:trimmed` says of how many of its
-- jobs, the oldest, that is not so.
local function remember(queue, status, number, limit, page)
  if queue == UNREADABLE then call('SADD', P .. 'queues', queue) end
  local counts, key = P .. 'counts:' .. queue, P .. 'history:' .. queue .. ':' .. status
  call('HINCRBY', counts, status, number)
  if page == '' and call('EXISTS', key) == 0 then return end
  local state = call('HMGET', counts, status .. ':kept', status .. ':trimmed')
  local kept, trimmed = tonumber(state[1] or 0), tonumber(state[2] or 0)
  if page ~= '' then
    call('LPUSH', key, page)
    kept = kept + (page_head(page))
  end
  if kept > limit then
    trimmed = trim(key, trimmed + kept - limit)
    kept = limit
  end
  call('HSET', counts, status .. ':kept', kept, status .. ':trimmed', trimmed)
end
