#!lua flags=allow-oom
-- include: batches queues outcomes
--
-- Puts right what `check` found, where that needs no guessing. Each looks again first: what has changed since is left.
--
-- KEYS  the ring
-- ARGV  'ring' | 'queue', queue                  'kept', queue, status         'priority', queue, priority
--       'count', queue, field                    'worker' | 'holes' | 'idle', worker
--       'claims' | 'wake', worker, turn          'lease' | 'orders', supervisor
--       'bucket', name       'totals'            'id' | 'live' | 'waiter' | 'firing', id
--       'given', id, queue                       'payload' | 'expire', name of a key
-- reply what was done, in words; '' for nothing

local what, name, more = ARGV[1], ARGV[2], ARGV[3]
local mend = {}

function mend.ring()
  call('LREM', KEYS[1], 0, name)
  if not holds_any(name) or paused(name) then return 'taken off' end
  call('RPUSH', KEYS[1], name)
  hand_over()
  return 'there once now'
end

function mend.priority()
  local key = P .. 'priorities:' .. name
  if call('EXISTS', queue_key(name, more)) == 0 then return call('ZREM', key, more) == 1 and 'taken out' or '' end
  if not priorities(name, 1) and call('EXISTS', queue_key(name, '0')) == 1 then call('ZADD', key, 0, '0') end
  call('ZADD', key, more, more)
  -- It waited where nobody looked.
  mend.ring()
  return 'put in'
end

function mend.queue() return call('SADD', P .. 'queues', name) == 1 and 'put in' or '' end

local function set_count(field, number)
  call('HSET', P .. 'counts:' .. name, field, number)
  return 'counted: ' .. number
end

local function is_of(record)
  local _, _, queue = head(record)
  return queue == name
end

local function count_set(key)
  local number, first = 0, 0
  repeat
    local records = call('ZRANGE', P .. key, first, first + CHUNK - 1)
    for _, record in ipairs(records) do
      if is_of(record) then number = number + 1 end
    end
    first = first + CHUNK
  until #records < CHUNK
  return number
end

local function count_parked(kind)
  local counted = {}
  local number, cursor, reply = 0, '0', nil
  repeat
    reply = call('HSCAN', P .. 'parked', cursor, 'COUNT', CHUNK)
    cursor = reply[1]
    for i = 2, #reply[2], 2 do
      local own, record = string.match(reply[2][i], '^(%a)%d* (.*)$')
      if own == kind and is_of(record) and not counted[reply[2][i - 1]] then
        counted[reply[2][i - 1]] = true
        number = number + 1
      end
    end
  until cursor == '0'
  return number
end

local function count_holes()
  local number = 0
  for _, priority in ipairs(priorities(name) or { '0' }) do
    local first = 0
    repeat
      local records = call('LRANGE', queue_key(name, priority), first, first + CHUNK - 1)
      for _, record in ipairs(records) do
        if record == '' then number = number + 1 end
      end
      first = first + CHUNK
    until #records < CHUNK
  end
  return number
end

local counted = {
  delayed = function() return count_set('due') + count_parked('D') end,
  retries = function() return count_set('retries') + count_parked('R') end,
  parked = function() return count_parked('W') end,
  holes = count_holes,
}

function mend.count() return set_count(more, counted[more]()) end

function mend.kept()
  local number, last, first = 0, 0, 0
  repeat
    local pages = call('LRANGE', P .. 'history:' .. name .. ':' .. more, first, first + 15)
    for _, page in ipairs(pages) do
      last = page_head(page)
      number = number + last
    end
    first = first + 16
  until #pages == 0
  local said = tonumber(call('HGET', P .. 'counts:' .. name, more .. ':trimmed') or 0) or 0
  local trimmed = math.max(0, math.min(said, last))
  if trimmed ~= said then set_count(more .. ':trimmed', trimmed) end
  return set_count(more .. ':kept', number - trimmed)
end

function mend.totals()
  local results, n, b = call('HGETALL', P .. 'results'), 0, 0
  for i = 1, #results, 2 do
    if sub(results[i], 1, 2) == 'n:' then n = n + results[i + 1] end
    if sub(results[i], 1, 2) == 'b:' then b = b + results[i + 1] end
  end
  call('HSET', P .. 'results', 'n', n, 'b', b)
  return 'counted: ' .. n .. ' outcomes, ' .. b .. ' bytes'
end

function mend.bucket()
  local results, key, sheets = P .. 'results', P .. 'outcomes:' .. name, P .. 'sheets:' .. name
  if call('EXISTS', key, sheets) > 0 then
    call('ZADD', P .. 'buckets', string.match(name, '%d+$'), name)
  elseif not call('ZSCORE', P .. 'buckets', name) then
    local open = 'open:' .. string.match(name, '^%d*')
    if call('HGET', results, open) == name then call('HDEL', results, open) end
    call('HDEL', results, 'n:' .. name, 'b:' .. name)
    return mend.totals()
  end
  local number, bytes, cursor = call('HLEN', key), 0, '0'
  repeat
    local reply = call('HSCAN', key, cursor, 'COUNT', CHUNK)
    cursor = reply[1]
    for i = 2, #reply[2], 2 do bytes = bytes + #reply[2][i] end
  until cursor == '0'
  for i = 0, call('LLEN', sheets) - 1 do
    local more, more_bytes = sheet_head(call('LINDEX', sheets, i))
    number, bytes = number + more, bytes + more_bytes
  end
  call('HSET', results, 'n:' .. name, number, 'b:' .. name, bytes)
  return mend.totals()
end

local function is_known(worker)
  return call('HEXISTS', P .. 'workers', worker) == 1 or call('HEXISTS', P .. 'lost', worker) == 1
end

function mend.worker()
  if is_known(name) then return '' end
  call('DEL', P .. 'worker:' .. name)
  return 'let go'
end

function mend.holes()
  local open, holes = call('HGET', P .. 'worker:' .. name, 'open') or '', 0
  for _, record in ipairs(call('LRANGE', P .. 'claims:' .. name .. ':' .. open, 0, -1)) do
    if record == '' then holes = holes + 1 end
  end
  call('HSET', P .. 'worker:' .. name, 'holes', holes)
  return 'counted: ' .. holes
end

function mend.idle()
  local state = call('HMGET', P .. 'worker:' .. name, 'supervisor', 'open', 'idle')
  if state[1] and (state[2] or '') == '' and state[3] then return '' end
  return call('ZREM', P .. 'idle', name) == 1 and 'taken off' or ''
end

function mend.claims()
  if is_known(name) and call('HGET', P .. 'worker:' .. name, 'open') == more then return '' end
  local key, number = P .. 'claims:' .. name .. ':' .. more, 0
  local records = call('LRANGE', key, 0, -1)
  for i = #records, 1, -1 do
    if records[i] ~= '' then
      push_one('LPUSH', records[i])
      number = number + 1
    end
  end
  call('DEL', key)
  hand_over()
  return 'given back: ' .. number
end

function mend.wake()
  if call('HGET', P .. 'worker:' .. name, 'idle') == more then return '' end
  return call('DEL', P .. 'wake:' .. name .. ':' .. more) == 1 and 'let go' or ''
end

-- One that ran out long ago: whoever sees it takes that host's place (sweep.lua).
function mend.lease() return call('HSETNX', P .. 'leases', name, '1') == 1 and 'to be swept now' or '' end

function mend.orders()
  if call('HEXISTS', P .. 'supervisors', name) == 1 then return '' end
  return call('DEL', P .. 'orders:' .. name) == 1 and 'let go' or ''
end

function mend.id()
  if sub(call('HGET', P .. 'schedules', name) or '', 1, 1) == 'a' then return '' end
  return call('HDEL', P .. 'ids', name) == 1 and 'let go' or ''
end

function mend.live() return call('HDEL', P .. 'live', name) == 1 and 'let go' or '' end

function mend.given() return call('HSETNX', P .. 'ids', name, more) == 1 and 'put in' or '' end

-- Its number is that of one run, which nobody knows.
function mend.payload() return call('UNLINK', P .. name) == 1 and 'let go' or '' end

function mend.firing()
  local state = call('HGET', P .. 'schedules', name)
  if not state then return call('ZREM', P .. 'firings', name) == 1 and 'taken out' or '' end
  local due = string.match(state, '^%S+ (%d+)')
  if not due then return '' end
  return call('ZADD', P .. 'firings', 'NX', due, name) == 1 and 'put in' or ''
end

-- If somebody waits after all, that client asks again before long.
function mend.waiter() return call('HDEL', P .. 'waiters', name) == 1 and 'let go' or '' end

function mend.expire()
  if call('PTTL', P .. name) ~= -1 then return '' end
  call('PEXPIRE', P .. name, 120000)
  return 'expires now'
end

return mend[what]()
