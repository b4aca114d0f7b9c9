#!lua flags=allow-oom
-- include: outcomes
--
-- Lets go of outcomes that nobody will ask for any more: who mapped over these inputs has been handed the results.
--
-- KEYS  the ring
-- ARGV  ids ...
-- reply how many outcomes there were
--
-- Safe to send twice: what is gone is gone.

local wanted, seen, gone = {}, {}, 0
for _, id in ipairs(ARGV) do
  if not seen[id] then wanted[#wanted + 1], seen[id] = id, true end
end
if #wanted > 4 * CHUNK then refuse('too many ids') end
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
    gone = gone + #found
  end
end
return gone
