-- Ends jobs that were taken out of their place before they ended by themselves, and the terms of that. Included by those
-- that say so, behind `endings`.
--
-- Terms are `deleted` (else cancelled jobs are remembered), most outcomes, most bytes of them, how long a cancelled job's
-- outcome is kept, how many cancelled jobs a queue's history keeps, and what is written around records, MessagePack:
-- outcome begin, outcome end (an `Outcome` but for queue and name), page begin (a `Page` up to its jobs), job begin, job
-- end (a `Finished` but for its record).

-- Queue and name of a record, as they stand there; or what stands for them where they can't be read.
local function queue_and_name(record)
  local stops, at, _ = {}, 2, nil
  for i = 1, 5 do
    _, at = span(record, at)
    if not at then
      local _, _, own_queue = head(record)
      return cmsgpack.pack(own_queue) .. '\160'
    end
    stops[i] = at
  end
  return sub(record, stops[2], stops[3] - 1) .. sub(record, stops[4], stops[5] - 1)
end

-- What goes with a job, as pages name it (endings.lua).
local function belongings(record)
  local flags, own = head(record)
  local names = {}
  if string.find(flags, 'p', 1, true) then names[1] = payload_key(flags, own) end
  if call('EXISTS', P .. 'log:' .. own) == 1 then names[#names + 1] = 'log@' .. text(now_ms()) .. ':' .. own end
  return names
end

local function let_go_of(record)
  for _, name in ipairs(belongings(record)) do let_go(name) end
end

-- Of jobs that ran for a while, by their ids: since when, and the rest: how far they were, what they added.
local ran = {}

-- A job end begins with when it started and ends with progress and children, all of them nil.
local function job_of(record, terms)
  local _, own = head(record)
  local told = ran[own]
  if not told then return terms.job_begin .. record .. terms.job_end end
  local stop = terms.job_end
  return terms.job_begin .. record .. told.started .. sub(stop, 2, -3) .. told.rest
end

-- No more of them than the history keeps; '' for none.
local function page_of(records, terms)
  local jobs, outside = {}, {}
  for i, record in ipairs(records) do
    if i > terms.limit then
      let_go_of(record)
    else
      jobs[i] = job_of(record, terms)
      for _, key in ipairs(belongings(record)) do outside[#outside + 1] = key end
    end
  end
  if #jobs == 0 then return '' end
  local keys = concat(outside, ' ')
  local head_of_page = struct.pack('>I2I4', #jobs, #keys) .. keys
  return head_of_page .. terms.page_begin .. '\221' .. count32(#jobs) .. concat(jobs)
end

-- What was taken out of its place ends: who waits is told, and a cancelled job is remembered.
local function finish(records, terms)
  local endings, by_queue, told = {}, {}, listened()
  for _, record in ipairs(records) do
    local _, own, own_queue = head(record)
    endings[#endings + 1] = own
    endings[#endings + 1] = terms.outcome_begin .. queue_and_name(record) .. terms.outcome_end
    by_queue[own_queue] = by_queue[own_queue] or {}
    table.insert(by_queue[own_queue], record)
    if told then emit_record('cancelled', record) end
  end
  if #records > 0 then end_jobs(endings, terms.deleted and 0 or terms.keep, now_ms(), terms.most, terms.most_bytes) end
  if terms.deleted then
    for _, record in ipairs(records) do let_go_of(record) end
    return
  end
  for own_queue, some in pairs(by_queue) do
    -- What can't be read would make its page so too.
    local page = own_queue ~= UNREADABLE and page_of(some, terms) or ''
    remember(own_queue, 'cancelled', #some, terms.limit, page)
  end
end

-- Jobs may also be cancelled by how their ids begin, up to the last '-', before they are where that can be done: what a
-- worker holds then, and gives back later or would have tried again, is cancelled as it comes. The terms are kept under
-- that beginning.

local function withdraw(beginning, terms)
  call('SET', P .. 'withdrawn:' .. sub(beginning, 1, -2), cmsgpack.pack(terms), 'PX', text(terms.keep))
end

-- Of records that are given back, or tried again, in their order: ends those that were withdrawn. Returns the others.
local function without_withdrawn(records)
  local known, ended, left = {}, {}, {}
  for _, record in ipairs(records) do
    local _, own = head(record)
    local beginning = string.match(own, '^(.+)%-')
    if beginning and known[beginning] == nil then known[beginning] = call('GET', P .. 'withdrawn:' .. beginning) end
    if beginning and known[beginning] then
      ended[beginning] = ended[beginning] or {}
      table.insert(ended[beginning], record)
    else
      left[#left + 1] = record
    end
  end
  for beginning, some in pairs(ended) do
    local terms = cmsgpack.unpack(known[beginning])
    -- Behind the start, nil, stands the end, a double: it is now, and not when these were withdrawn.
    terms.job_end = sub(terms.job_end, 1, 2) .. struct.pack('>d', now_ms() / 1000) .. sub(terms.job_end, 11)
    finish(some, terms)
  end
  return left
end
