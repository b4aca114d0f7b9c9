#!lua
-- include: queues
--
-- Adds jobs for a producer: all of them or none.
--
-- KEYS  the ring
-- ARGV  call id, the second it was made in, for how many milliseconds it is remembered, then, first in first out,
--       'group', queue, priority, number, records          whose ids nobody else can have
--       'single', id that the user gave ('' for none), milliseconds from which it may run ('' for now), payload kept
--                 outside ('' for none), record
-- reply for each single job '1' created or '0' one of that id has not finished; one string
--
-- nothing -> waiting or delayed. A call that is sent twice, because its reply was lost, adds once and gets the first
-- answer again. Not allowed at maxmemory: a full server takes no new jobs.

local remembered = P .. 'calls:' .. ARGV[2]
local answer = call('HGET', remembered, ARGV[1])
if answer then return answer end

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

local take, created, added = reader(4), {}, false

local function add_group()
  local queue, priority, number = take(), take(), tonumber((take()))
  local _, after = take(number)
  call('SADD', P .. 'queues', queue)
  -- Only when it is the whole call: one that comes with it may be more urgent.
  if number == 1 and #ARGV == 8 and hand_directly(ARGV[after - 1]) then return end
  push('RPUSH', queue, priority, ARGV, after - number, after - 1)
  added = true
end

local function add_single()
  local id, due, payload, record = take(), take(), take(), take()
  if id ~= '' and call('HEXISTS', P .. 'ids', id) == 1 then return '0' end
  local _, made, queue = head(record)
  call('SADD', P .. 'queues', queue)
  if id ~= '' then
    call('HSET', P .. 'ids', id, queue)
    forget_outcome(id)
  end
  if payload ~= '' then call('SET', P .. 'payload:' .. made, payload) end
  if due ~= '' then
    call('HINCRBY', P .. 'counts:' .. queue, 'delayed', 1)
    delay('due', record, tonumber(due))
  else
    push_one('RPUSH', record)
    added = true
  end
  return '1'
end

local kind = take()
while kind do
  if kind == 'group' then add_group() else created[#created + 1] = add_single() end
  kind = take()
end

answer = concat(created)
call('HSET', remembered, ARGV[1], answer)
call('PEXPIRE', remembered, ARGV[3], 'NX')
if added then hand_over(true) end
return answer
