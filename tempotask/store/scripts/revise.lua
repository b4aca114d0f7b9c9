#!lua flags=allow-oom
-- include: queues adding endings
--
-- Rewrites one page of history: jobs of it are deleted, or wait again.
--
-- KEYS  the ring
-- ARGV  queue, status, the page as it was read, the page as it is to be ('' takes it out), by how many jobs it gets
--       shorter (an empty old page: none is touched), then each behind its number: ids whose outcomes are forgotten, keys that are let go (payloads outside,
--       logs), records that wait again, each behind '1' if a user gave its id, else ''
-- reply {1}, {0} when there is no such page (any more): look again; {-1, id} when that id is in use again: leave that
--       job where it is. Nothing was done in these cases.
--
-- finished -> gone, or -> waiting. The page is the fence: of two who rewrite the same one the second finds none.

local queue, status, old, new, fewer = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local key, take = P .. 'history:' .. queue .. ':' .. status, reader(6)

local function several(width)
  local number = tonumber((take()))
  local _, after = take(number * width)
  return after - number * width, after - 1
end
local first_id, last_id = several(1)
local first_key, last_key = several(1)
local first_record, last_record = several(2)

local index = old ~= '' and call('LPOS', key, old, 'RANK', -1)
if old ~= '' and not index then return { 0 } end
for i = first_record, last_record, 2 do
  if ARGV[i] == '1' then
    local _, id = head(ARGV[i + 1])
    if call('HEXISTS', P .. 'ids', id) == 1 then return { -1, id } end
  end
end

if index and new ~= '' then
  call('LSET', key, index, new)
elseif index then
  -- Lists let go by value: one that nothing else has.
  call('LSET', key, index, 'gone')
  call('LREM', key, -1, 'gone')
end
if fewer > 0 then count(queue, status .. ':kept', -fewer) end
for i = first_id, last_id do forget_outcome(ARGV[i]) end
for i = first_key, last_key do let_go(ARGV[i]) end
local told = listened()
for i = first_record, last_record, 2 do
  local record = ARGV[i + 1]
  local _, id, own_queue = head(record)
  if ARGV[i] == '1' then call('HSET', P .. 'ids', id, own_queue) end
  forget_outcome(id)
  if told then emit_record('waiting', record) end
  push_one('RPUSH', record)
end
if last_record > first_record then hand_over() end
return { 1 }
