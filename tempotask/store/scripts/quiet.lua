#!lua flags=allow-oom,no-writes
-- Is anything left that would run now?
--
-- KEYS  the ring
-- reply queues with waiting jobs, workers that hold claims, records between two tries, delayed records

local holding = 0
for _, name in ipairs({ 'workers', 'lost' }) do
  for _, worker in ipairs(call('HKEYS', P .. name)) do
    if (call('HGET', P .. 'worker:' .. worker, 'open') or '') ~= '' then holding = holding + 1 end
  end
end
return { call('LLEN', KEYS[1]), holding, call('ZCARD', P .. 'retries'), call('ZCARD', P .. 'due') }
