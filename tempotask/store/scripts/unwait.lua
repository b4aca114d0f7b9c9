#!lua flags=allow-oom
-- include: outcomes
--
-- A client does not wait for these jobs any longer.
--
-- KEYS  the ring
-- ARGV  client, ids ...
-- reply those of the ids that it was waiting for

local gone = {}
for i = 2, #ARGV do
  local others = call('HGET', P .. 'waiters', ARGV[i])
  if others then
    local left = {}
    for client in string.gmatch(others, '%S+') do
      if client == ARGV[1] then gone[#gone + 1] = ARGV[i] else left[#left + 1] = client end
    end
    set_waiters(ARGV[i], others, left)
  end
end
return gone
