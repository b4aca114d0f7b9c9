#!lua flags=allow-oom
-- Looks for one job, in steps that never hold the server up. A job can move against the direction of the look (given
-- back to the front, promoted, tried again), so a mark is set first, and those moves change it.
--
-- KEYS  the ring
-- ARGV  id, then 'mark' | 'unmark', mark | 'list', key, from, to | 'set', key, from, to
-- reply mark: the mark, a number that each such move makes higher; unmark: '1' if the job moved since, else '0';
--       list, set: the record, or ''
--
-- Lists are read from the tail (from and to are negative): heads are popped and tails appended, so nothing is missed.

local id, what = ARGV[1], ARGV[2]
if what == 'mark' then
  -- Several may look for the same job: the number goes on for all of them, and none is begun with twice.
  local t = call('TIME')
  call('HSETNX', P .. 'wanted', id, text(t[1] * 1000000 + t[2]))
  call('PEXPIRE', P .. 'wanted', 30000)
  return call('HGET', P .. 'wanted', id)
end
if what == 'unmark' then
  -- A mark that expired, or that another one's unmarking took away, saw nothing: that counts as moved.
  local still = call('HGET', P .. 'wanted', id) == ARGV[3]
  call('HDEL', P .. 'wanted', id)
  return still and '0' or '1'
end
local command = what == 'list' and 'LRANGE' or 'ZREVRANGE'
for _, record in ipairs(call(command, P .. ARGV[3], ARGV[4], ARGV[5])) do
  if string.find(record, id, 1, true) then
    local _, found = head(record)
    if found == id then return record end
  end
end
return ''
