-- What those scripts share whose calls have an id: one that is sent twice, because its reply was lost, is done once and
-- gets the first answer again. Such a call begins with its id, where it is noted, and for how many milliseconds it is
-- remembered. Included by those that say so.

at_least(3)
whole(ARGV[3])
local remembered = P .. 'calls:' .. ARGV[2]

-- What this call was answered before, if that was noted.
local answer = call('HGET', remembered, ARGV[1])

-- A write in any case: who waits until what was done is on disk, or at a replica, waits for the last write of its own
-- connection, and that which did it may have been another one.
if answer then call('PEXPIRE', remembered, ARGV[3]) end

local function note(text)
  call('HSET', remembered, ARGV[1], text)
  call('PEXPIRE', remembered, ARGV[3])
end
