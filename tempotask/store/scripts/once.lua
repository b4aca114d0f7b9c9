-- What those scripts share whose calls have an id: one that is sent twice, because its reply was lost, is done once and
-- gets the first answer again. Such a call begins with its id, the second it was made in, and for how many milliseconds
-- it is remembered. Included by those that say so.

local remembered = P .. 'calls:' .. ARGV[2]

-- What this call was answered before, if that was noted.
local answer = call('HGET', remembered, ARGV[1])

local function note(text)
  call('HSET', remembered, ARGV[1], text)
  call('PEXPIRE', remembered, ARGV[3], 'NX')
end
