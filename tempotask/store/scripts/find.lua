#!lua flags=allow-oom
-- include: outcomes
--
-- Looks for one job, in steps that never hold the server up. A job can move against the direction of the look (given
-- back to the front, promoted, tried again), so a mark is set first, and those moves change it.
--
-- KEYS  the ring
-- ARGV  id, then 'outcome' | 'mark' | 'unmark', mark | 'list', key, from, to | 'set', key, from, to | 'lists', most, key, ...
-- reply outcome: that of a job which has ended, unless it stands in a sheet; else '';
--       mark: the mark, which each such move changes; unmark: '1' if the job may have moved since, else '0';
--       list, set: the record, or ''; lists: {record, key}, or {'', key, ...}: those with more elements than `most`,
--       which were not looked at
--
-- Lists are read from the tail (from and to are negative): heads are popped and tails appended, so nothing is missed.
-- Who takes something off a tail, or out of the middle, changes all marks (`shifted`, queues.lua).

local id, what = ARGV[1], ARGV[2]
local wanted = P .. 'wanted'
-- How many look for it. No id has a space in it.
local lookers = ' ' .. id

-- How long a mark is kept after the last step of a look: who has been killed takes none away.
local MARK_MS = 30000

local function mark_now()
  return (call('HGET', wanted, id) or '') .. ' ' .. (call('HGET', wanted, SHIFTS) or '')
end

if what == 'outcome' then return spread_outcomes_of({ id })[1] end
if what == 'mark' then
  -- Several may look for the same job: the number goes on for all of them, and none is begun with twice.
  local t = call('TIME')
  call('HSETNX', wanted, id, text(t[1] * 1000000 + t[2]))
  call('HINCRBY', wanted, lookers, 1)
  call('PEXPIRE', wanted, MARK_MS)
  return mark_now()
end
if what == 'unmark' then
  -- A mark that has expired saw nothing: that counts as moved.
  local still = mark_now() == ARGV[3]
  if tonumber(call('HGET', wanted, lookers) or 0) > 1 then
    call('HINCRBY', wanted, lookers, -1)
  else
    call('HDEL', wanted, id, lookers)
  end
  return still and '0' or '1'
end

-- The record of the job among these, or ''.
local function sought(records)
  for _, record in ipairs(records) do
    if may_be(record, id) then
      local _, found = head(record)
      if found == id then return record end
    end
  end
  return ''
end

call('PEXPIRE', wanted, MARK_MS)
if what == 'list' then return sought(call('LRANGE', P .. ARGV[3], ARGV[4], ARGV[5])) end
if what == 'set' then return sought(call('ZREVRANGE', P .. ARGV[3], ARGV[4], ARGV[5])) end
local longer = { '' }
for i = 4, #ARGV do
  local key = P .. ARGV[i]
  if call('LLEN', key) > tonumber(ARGV[3]) then
    longer[#longer + 1] = ARGV[i]
  else
    local record = sought(call('LRANGE', key, 0, -1))
    if record ~= '' then return { record, ARGV[i] } end
  end
end
return longer
