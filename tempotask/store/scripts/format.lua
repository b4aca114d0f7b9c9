#!lua flags=allow-oom
-- In which format is this namespace written?
--
-- KEYS  the ring
-- ARGV  the format of one who is about to change something, which is noted if there is none or an older one; '' of one
--       who only looks
-- reply the format that was there, '' for none (format.py)
--
-- No transition. What is newer, or no number, stays as it is.

at_least(1)
whole_or_nothing(ARGV[1])
local found = redis.pcall('GET', P .. 'format')
if type(found) == 'table' then
  -- Something else than a text is no format of ours either; all else, a right that our user lacks say, is no format.
  if string.find(found.err, 'WRONGTYPE', 1, true) then return 'unknown' end
  return found
end
if ARGV[1] ~= '' and (not found or (tonumber(found) or 1 / 0) < tonumber(ARGV[1])) then
  call('SET', P .. 'format', ARGV[1])
end
return found or ''
