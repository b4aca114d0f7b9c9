-- What the scripts share that add jobs. Included by those that say so, behind `queues`.

-- The queues that are known to be among all queues; and, while jobs are added, which makes no others, the buckets.
local known_queues, buckets = {}, nil

local function all_buckets() return call('ZRANGE', P .. 'buckets', 0, -1) end

local function know(queue)
  if not known_queues[queue] then call('SADD', P .. 'queues', queue) end
  known_queues[queue] = true
end

-- The outcome of an earlier run must not be taken for that of the one that begins.
local function forget_outcome(id)
  for _, name in ipairs(buckets or all_buckets()) do
    local key = P .. 'outcomes:' .. name
    local bytes = call('HSTRLEN', key, id)
    if call('HDEL', key, id) == 1 then
      for _, field in ipairs({ 'n', 'n:' .. name }) do call('HINCRBY', P .. 'results', field, -1) end
      for _, field in ipairs({ 'b', 'b:' .. name }) do call('HINCRBY', P .. 'results', field, -bytes) end
    end
  end
end

-- Refuses jobs that `add_jobs` could not add to the last.
local function insist_on_jobs(first, stop)
  local take = strict_reader(first, stop)
  local at, _ = first, nil
  while at < stop do
    local kind = take()
    if kind == 'group' then
      take()
      if not is_priority((take())) then refuse('no priority') end
      local number = whole((take()))
      _, at = take(number)
    elseif kind == 'single' then
      take()
      whole_or_nothing((take()))
      _, at = take(2)
    else
      refuse('no kind of job')
    end
  end
end

-- Adds records whose ids nobody else can have, in ARGV[from .. to], to a queue. Returns whether there are any: a queue
-- with nothing in it is not to be on the ring.
local function add_group(queue, priority, from, to)
  if to < from then return false end
  know(queue)
  if listened() then
    for i = from, to do emit_record('waiting', ARGV[i]) end
  end
  push('RPUSH', queue, priority, ARGV, from, to)
  return true
end

-- Adds one job: `id` is what the user gave ('' for none), `due` the milliseconds from which it may run ('' for now),
-- `payload` what is kept outside ('' for none). Returns whether it was created, and whether something waits now.
local function add_single(id, due, payload, record)
  if id ~= '' and call('HEXISTS', P .. 'ids', id) == 1 then return false, false end
  local flags, made, queue = head(record)
  know(queue)
  if id ~= '' then
    call('HSET', P .. 'ids', id, queue)
    call('UNLINK', P .. 'log:' .. id)
    buckets = buckets or all_buckets()
    forget_outcome(id)
  end
  if payload ~= '' then call('SET', P .. payload_key(flags, made), payload) end
  if due ~= '' then
    delay('due', record, tonumber(due))
    return true, false
  end
  if listened() then emit_record('waiting', record) end
  push_one('RPUSH', record)
  return true, true
end

-- Adds the jobs in ARGV[first .. stop - 1], in the form that enqueue.lua tells. Returns for each single one '1' created
-- or '0', and whether something waits now.
local function add_jobs(first, stop)
  local take, created, waiting = reader(first, stop), {}, false
  local kind = take()
  while kind do
    if kind == 'group' then
      local queue, priority, number = take(), take(), tonumber((take()))
      local _, after = take(number)
      waiting = add_group(queue, priority, after - number, after - 1) or waiting
    else
      local id, due, payload, record = take(), take(), take(), take()
      local new, waits = add_single(id, due, payload, record)
      created[#created + 1] = new and '1' or '0'
      waiting = waiting or waits
    end
    kind = take()
  end
  buckets = nil
  return concat(created), waiting
end
