#!lua flags=allow-oom
-- include: once batches queues adding outcomes endings
--
-- Rewrites one page of history: jobs of it are deleted, or wait again.
--
-- KEYS  the ring
-- ARGV  call id, where it is noted, for how many milliseconds it is remembered, queue, status, the page as it
--       was read ('': none is touched), the page as it is to be ('' takes it out), then each behind its number: the
--       places on the page, from 0, of the jobs that leave it; ids whose outcomes are forgotten; keys that are let go
--       (payloads outside, logs); records that wait again, each behind '1' if a user gave its id, else ''
-- reply {1}, {0} when there is no such page (any more): look again; {-1, id} when that id is in use again: leave that
--       job where it is; {-2} when there are sheets: ask, which spreads them, and send it again. Nothing was done in these
--       cases.
--
-- finished -> gone, or -> waiting. The page is the fence: of two who rewrite the same one the second finds none. A call
-- that is sent twice gets the first answer again.

if answer then return { 1 } end

at_least(7)
local queue, status, old, new = unpack(ARGV, 4, 7)
local key, take = P .. 'history:' .. queue .. ':' .. status, strict_reader(8, #ARGV + 1)

local function several(width)
  local number = whole((take()))
  local _, after = take(number * width)
  return after - number * width, after - 1
end
local first_place, last_place = several(1)
local first_id, last_id = several(1)
local first_key, last_key = several(1)
local first_record, last_record = several(2)

for i = first_place, last_place do whole(ARGV[i]) end

local index = old ~= '' and call('LPOS', key, old, 'RANK', -1)
if old ~= '' and not index then return { 0 } end
for i = first_record, last_record, 2 do
  if ARGV[i] == '1' then
    local _, id = head(ARGV[i + 1])
    if call('HEXISTS', P .. 'ids', id) == 1 then return { -1, id } end
  end
end
if has_sheets() then return { -2 } end

-- Of the jobs on the last page the oldest may count no longer (endings.lua).
local trimmed = 0
if index and index == call('LLEN', key) - 1 then
  trimmed = tonumber(call('HGET', P .. 'counts:' .. queue, status .. ':trimmed') or 0)
end
for i = first_place, last_place do
  count(queue, status .. (tonumber(ARGV[i]) < trimmed and ':trimmed' or ':kept'), -1)
end
if index and new ~= '' then
  call('LSET', key, index, new)
elseif index then
  -- Lists let go by value: one that nothing else has.
  call('LSET', key, index, 'gone')
  call('LREM', key, -1, 'gone')
  shifted()
end
for i = first_id, last_id do forget_outcome(ARGV[i]) end
for i = first_key, last_key do let_go(ARGV[i]) end
local told = listened()
for i = first_record, last_record, 2 do
  local record = ARGV[i + 1]
  local _, id, own_queue = head(record)
  if ARGV[i] == '1' then call('HSET', P .. 'ids', id, own_queue) end
  forget_outcome(id)
  if told then emit_record('waiting', record) end
  -- Who has it run again wants it, whatever was to be cancelled before (cancelling.lua).
  call('DEL', P .. 'withdrawn:' .. (string.match(id, '^(.+)%-') or ''))
  push_one('RPUSH', record)
end
if last_record > first_record then hand_over() end
note('1')
return { 1 }
