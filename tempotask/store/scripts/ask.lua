#!lua flags=allow-oom
-- include: outcomes
--
-- How did these jobs end? Asking and registering as one who waits is one step, so that no ending falls between.
--
-- KEYS  the ring
-- ARGV  client ('' to ask only), ids ...
-- reply {1}: ask again, as there are sheets left to spread; or {0, ...}, for each id its outcome, or '' when it has not
--       ended as far as anybody knows: the client is told then

at_least(1)
if has_sheets() then
  -- No more of them for a while, so that asking comes to an end.
  call('SET', P .. 'asked', '1', 'PX', ASKED_MS)
  if spread_sheets() then return { 1 } end
end

local client, answers = ARGV[1], spread_outcomes_of({ unpack(ARGV, 2) })

-- Notes that this client waits for these ids, beside others who do.
local function wait_for(ids)
  local noted = {}
  for j, others in ipairs(call('HMGET', P .. 'waiters', unpack(ids))) do
    if not others then
      others = client
    elseif not string.find(' ' .. others .. ' ', ' ' .. client .. ' ', 1, true) then
      others = others .. ' ' .. client
    end
    noted[#noted + 1], noted[#noted + 2] = ids[j], others
  end
  call('HSET', P .. 'waiters', unpack(noted))
end

local unknown = {}
for i = 2, #ARGV do
  if answers[i - 1] == '' then unknown[#unknown + 1] = ARGV[i] end
end
if client ~= '' and #unknown > 0 then
  wait_for(unknown)
  call('SET', P .. 'client:' .. client, '1', 'PX', CLIENT_MS)
end
return { 0, unpack(answers) }
