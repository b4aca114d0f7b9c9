-- What the scripts share that end jobs: who waits for them, history. Included behind `outcomes`.

-- Whether an outcome is told whole. Of a large one a client that falls behind is only told that there is one, for its
-- list would grow without end; it asks, and may come too late where few outcomes are kept.
local function is_told_whole(outcome, client, ahead)
  return #outcome <= 4096 or (call('LLEN', P .. 'waits:' .. client) + ahead + 1) * #outcome <= MOST_TOLD
end

-- Tells those who wait for jobs, given as id, outcome, id, outcome, how they ended. Returns those that somebody waited
-- for, likewise.
local function tell(list)
  local told, news = {}, {}
  for first = 0, #list - 1, 2 * CHUNK do
    local ids, ended = {}, {}
    for i = first + 1, math.min(first + 2 * CHUNK, #list), 2 do ids[#ids + 1] = list[i] end
    for j, clients in ipairs(call('HMGET', P .. 'waiters', unpack(ids))) do
      if clients then
        local id, outcome = ids[j], list[first + 2 * j]
        ended[#ended + 1] = id
        told[#told + 1], told[#told + 2] = id, outcome
        for client in string.gmatch(clients, '%S+') do
          local lines = news[client] or {}
          news[client] = lines
          -- One element, so that a client that is cut off between two does not take the one for the other.
          lines[#lines + 1] = id .. ' ' .. (is_told_whole(outcome, client, #lines) and outcome or '')
        end
      end
    end
    if #ended > 0 then call('HDEL', P .. 'waiters', unpack(ended)) end
  end
  for client, lines in pairs(news) do
    local key = P .. 'waits:' .. client
    for first = 1, #lines, CHUNK do
      call('RPUSH', key, unpack(lines, first, math.min(first + CHUNK - 1, #lines)))
    end
    call('PEXPIRE', key, NOTICE_MS)
  end
  return told
end

-- The same for the client that waits for all jobs of a sheet, which it gets as it is: to take it apart is for the client.
local function tell_sheet(client, sheet, ids)
  local key = P .. 'waits:' .. client
  call('HDEL', P .. 'waiters', unpack(ids))
  call('RPUSH', key, sheet)
  call('PEXPIRE', key, NOTICE_MS)
end

-- Ends jobs, given as id, outcome, id, outcome: tells who waits, keeps the outcomes, lets go of
-- the ids that users gave, and of what the jobs said while they ran.
local function end_jobs(list, keep, now, most, most_bytes)
  local told = call('EXISTS', P .. 'waiters') == 1 and tell(list) or {}
  for _, hash in ipairs({ 'ids', 'live' }) do
    if call('EXISTS', P .. hash) == 1 then
      for i = 1, #list, 2 do call('HDEL', P .. hash, list[i]) end
    end
  end
  if keep > 0 then
    store_outcomes(list, keep, now, most, most_bytes)
  elseif #told > 0 then
    -- Kept for nobody but those who were just told: the push may be lost on its way.
    store_outcomes(told, NOTICE_MS, now, most, most_bytes)
  end
end

-- Whether a log has a line of later than that, in milliseconds. A line is MessagePack: when, a double; and what.
local function goes_on(log, ended)
  local last = call('LINDEX', log, -1)
  return last and #last >= 10 and struct.unpack('>d', sub(last, 3, 10)) * 1000 > ended
end

-- Lets go of what belongs to finished jobs: payloads outside, by their keys, and logs, each as `log@<when its job
-- ended>:<id>`. An id that a user gave may have come again, and the log is that of its newest run.
local function let_go(name)
  local ended, id = string.match(name, '^log@(%d+):(.*)')
  if not ended then
    call('UNLINK', P .. name)
  elseif call('HEXISTS', P .. 'ids', id) == 0 and not goes_on(P .. 'log:' .. id, tonumber(ended)) then
    call('UNLINK', P .. 'log:' .. id)
  end
end

-- Lets go of the last pages of a history as long as none of their jobs counts any more. Returns how many of the jobs
-- on the page that is the last now do not.
local function trim(key, trimmed)
  while trimmed > 0 do
    local last = call('LINDEX', key, -1)
    if not last then return 0 end
    local jobs, outside = page_head(last)
    if jobs > trimmed then break end
    call('RPOP', key)
    for name in string.gmatch(outside, '%S+') do let_go(name) end
    trimmed = trimmed - jobs
  end
  return trimmed
end

-- Puts a page of finished jobs in front of a queue's history, of which the newest `limit` jobs are kept. At constant
-- cost: the last page stays as it is while one of its jobs is kept, and `<status>:trimmed` says of how many of its
-- jobs, the oldest, that is not so.
local function remember(queue, status, number, limit, page)
  if queue == UNREADABLE then call('SADD', P .. 'queues', queue) end
  local counts, key = P .. 'counts:' .. queue, P .. 'history:' .. queue .. ':' .. status
  call('HINCRBY', counts, status, number)
  if page == '' and call('EXISTS', key) == 0 then return end
  local state = call('HMGET', counts, status .. ':kept', status .. ':trimmed')
  local kept, trimmed = tonumber(state[1] or 0), tonumber(state[2] or 0)
  if page ~= '' then
    call('LPUSH', key, page)
    kept = kept + (page_head(page))
  end
  if kept > limit then
    trimmed = trim(key, trimmed + kept - limit)
    kept = limit
  end
  call('HSET', counts, status .. ':kept', kept, status .. ':trimmed', trimmed)
end
