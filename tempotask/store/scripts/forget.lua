#!lua flags=allow-oom
-- include: outcomes
--
-- Lets go of outcomes that nobody will ask for any more: who mapped over these inputs has been handed the results.
--
-- KEYS  the ring
-- ARGV  ids ...
-- reply 1 if there are sheets left to look into: call again; or 0
--
-- Safe to send twice: what is gone is gone.

local wanted, seen = {}, {}
for _, id in ipairs(ARGV) do
  if not seen[id] then wanted[#wanted + 1], seen[id] = id, true end
end
if #wanted > 4 * CHUNK then refuse('too many ids') end
-- Who was told of all jobs of a turn at once has not asked, and their outcomes are still in one piece.
local more = #wanted > 0 and has_sheets() and spread_sheets(seen)
for _, name in ipairs(#wanted > 0 and call('ZRANGE', P .. 'buckets', 0, -1) or {}) do
  local key, found, bytes = P .. 'outcomes:' .. name, {}, 0
  for i, outcome in ipairs(call('HMGET', key, unpack(wanted))) do
    if outcome then
      found[#found + 1] = wanted[i]
      bytes = bytes + #outcome
    end
  end
  if #found > 0 then
    call('HDEL', key, unpack(found))
    count_outcomes(name, -#found, -bytes)
  end
end
return more and 1 or 0
