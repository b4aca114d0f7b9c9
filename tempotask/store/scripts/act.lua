#!lua flags=allow-oom
-- include: once batches queues adding outcomes endings cancelling
--
-- Acts on jobs that have not finished, where they are: cancels, deletes, pauses or resumes those that fit.
--
-- KEYS  the ring
-- ARGV  call id, where it is noted, for how many milliseconds it is remembered, 'cancel' | 'delete' | 'pause' |
--       'resume', id (with a space behind it: what ids begin with), queue, name (each '' for any), most outcomes, most
--       bytes of them, how long a cancelled job's outcome is kept, how many cancelled jobs a queue's history keeps,
--       outcome begin, outcome end, page begin, job begin, job end (cancelling.lua), then the place:
--       'list', key, elements passed from the tail (`passed@cut`: as of when so many had been cut off it), elements to
--       look at
--       'set', 'due' | 'retries', members passed from the last, members to look at
--       'parked', cursor ('' with an id), how many, kinds: of `W`, `D` and `R` those that count
--       'claims', worker, page begin for what it holds
--       'later', where jobs are that workers hold now and give back within the time that outcomes are kept
-- reply number of jobs, where to go on ('' at the end)
--
-- waiting, delayed, parked, claimed -> cancelled, or gone; waiting, delayed <-> parked. A call that changed something
-- and is sent twice gets the first answer again. A job that waits leaves a hole, so that nothing moves under those who
-- look (find.lua), unless it is one of the last. Of a claimed job the claim is taken away in this very step, so its
-- result will be refused; the supervisor is told which job of which turn it was, and ends it if it runs.

if answer then return { string.match(answer, '^(%d+) (.*)$') } end

at_least(17)
for _, i in ipairs({ 10, 11 }) do whole(ARGV[i]) end
if not tonumber(ARGV[8]) or not tonumber(ARGV[9]) then refuse('no number') end
do
  local action, place = ARGV[4], ARGV[17]
  if place == 'list' or place == 'set' then
    at_least(20)
    whole((string.gsub(ARGV[19], place == 'list' and '@%d+$' or '$', '')))
    whole(ARGV[20])
    local known = ARGV[18] == 'due' or ARGV[18] == 'retries'
    if place == 'list' then known = string.find(ARGV[18], '^queue:[^:]*:.') end
    if not known or action == 'resume' then refuse('no such place') end
  elseif place == 'parked' then
    at_least(20)
    whole_or_nothing(ARGV[18])
    whole(ARGV[19])
    local one = ARGV[5] ~= '' and string.sub(ARGV[5], -1) ~= ' '
    if action == 'pause' or (ARGV[18] == '' and not one) then refuse('no such place') end
  elseif place == 'later' then
    if action ~= 'cancel' or not string.find(ARGV[5], '%- $') or whole(ARGV[10]) == 0 then refuse('no such place') end
  elseif place ~= 'claims' or #ARGV < 19 or action == 'pause' or action == 'resume' then
    refuse('no such place')
  end
  if action ~= 'cancel' and action ~= 'delete' and action ~= 'pause' and action ~= 'resume' then
    refuse('no such action')
  end
end

local action, id, queue, name = unpack(ARGV, 4, 7)
local terms = { deleted = action == 'delete' }
for i, term in ipairs({ 'most', 'most_bytes', 'keep', 'limit' }) do terms[term] = tonumber(ARGV[7 + i]) end
for i, term in ipairs({ 'outcome_begin', 'outcome_end', 'page_begin', 'job_begin', 'job_end' }) do
  terms[term] = ARGV[11 + i]
end

-- A call acts on so many jobs at most: finding a place in the middle of a list takes a while.
local MOST = 100

-- What ids begin with, if those of several jobs are meant; no id has a space in it.
local beginning = string.match(id, '^(.*) $')

local function fits(record)
  if record == '' or (id ~= '' and not may_be(record, beginning or id)) then return false end
  local _, own, own_queue, _, at = head(record)
  if beginning and sub(own, 1, #beginning) ~= beginning then return false end
  if (id ~= '' and not beginning and own ~= id) or (queue ~= '' and own_queue ~= queue) then return false end
  if name == '' then return true end
  local from, stop = span(record, at)
  return from ~= nil and sub(record, from, stop - 1) == name
end

local function park(kind, due, record)
  local _, own = head(record)
  call('HSET', P .. 'parked', own, kind .. due .. ' ' .. record)
end

local places = {}

-- Holes at the end of a list are not needed. Returns how many went.
local function drop_last_holes(key)
  local dropped = 0
  while dropped < 2000 and call('LINDEX', key, -1) == '' do
    call('RPOP', key)
    dropped = dropped + 1
  end
  return dropped
end

-- So many elements went off the tail of one of the lists of a queue.
local function cut_off(own_queue, number)
  if number == 0 then return end
  count(own_queue, 'cut', number)
  shifted()
end

-- After elements went, what refers to the list goes with the last of them.
local function tidy_list(key, priority, own_queue)
  if call('EXISTS', key) == 1 then return end
  call('ZREM', P .. 'priorities:' .. own_queue, priority)
  if not holds_any(own_queue) then call('LREM', KEYS[1], 1, own_queue) end
end

-- Elements passed from the tail, though others have cut it since.
local function still_passed(where, cut)
  local passed, before = string.match(where, '^(%d+)@?(%d*)$')
  return math.max(0, passed - (before ~= '' and cut - before or 0))
end

function places.list(name_of_key, where, number)
  local key, priority, own_queue = P .. name_of_key, string.match(name_of_key, '^queue:([^:]*):(.*)$')
  local cut = tonumber(call('HGET', P .. 'counts:' .. own_queue, 'cut') or 0)
  local passed = still_passed(where, cut)
  number = tonumber(number)
  local taken, looked, holes, dropped = {}, 0, 0, 0
  if id == '' and name == '' and (queue == '' or queue == own_queue) and action ~= 'pause' and passed == 0 then
    -- All of them: from the end, without a look.
    for _, record in ipairs(call('RPOP', key, number) or {}) do
      if record == '' then dropped = dropped + 1 else taken[#taken + 1] = record end
    end
    dropped = dropped + drop_last_holes(key)
    holes = -dropped
    cut_off(own_queue, #taken + dropped)
  else
    local records = call('LRANGE', key, -passed - number, -passed - 1)
    for i = #records, 1, -1 do
      if #taken == MOST then break end
      looked = looked + 1
      if fits(records[i]) then
        taken[#taken + 1] = records[i]
        call('LSET', key, -passed - looked, '')
      end
    end
    if #taken > 0 then
      dropped = drop_last_holes(key)
      cut_off(own_queue, dropped)
      holes = #taken - dropped - drop_holes(own_queue, priorities(own_queue))
    end
  end
  if holes ~= 0 then count(own_queue, 'holes', holes) end
  if action == 'pause' then
    for _, record in ipairs(taken) do park('W', '', record) end
    count(own_queue, 'parked', #taken)
  else
    finish(taken, terms)
  end
  tidy_list(key, priority, own_queue)
  local following = math.max(0, passed + looked - dropped)
  if following >= call('LLEN', key) then return #taken, '' end
  return #taken, following .. '@' .. (call('HGET', P .. 'counts:' .. own_queue, 'cut') or 0)
end

function places.set(name_of_key, passed, number)
  local key = P .. name_of_key
  passed, number = tonumber(passed), tonumber(number)
  local members, taken, looked = call('ZREVRANGE', key, passed, passed + number - 1), {}, 0
  for _, record in ipairs(members) do
    if #taken == MOST then break end
    looked = looked + 1
    if fits(record) then
      taken[#taken + 1] = record
      if action == 'pause' then
        park(name_of_key == 'due' and 'D' or 'R', text(call('ZSCORE', key, record)), record)
      else
        local _, _, own_queue = head(record)
        count(own_queue, COUNTED[name_of_key], -1)
      end
    end
  end
  if #taken > 0 then
    call('ZREM', key, unpack(taken))
    shifted()
  end
  if action ~= 'pause' then finish(taken, terms) end
  local following = passed + looked - #taken
  return #taken, following < call('ZCARD', key) and following or ''
end

local COUNTED_PARKED = { W = 'parked', D = 'delayed', R = 'retries' }

-- Back to where it came from, but behind what has come meanwhile.
local function resume(kind, due, record)
  if kind == 'W' then
    if listened() then emit_record('waiting', record) end
    push_one('RPUSH', record)
  else
    delay(kind == 'D' and 'due' or 'retries', record, tonumber(due) or now_ms())
  end
end

function places.parked(cursor, number, kinds)
  local key, entries, following = P .. 'parked', {}, '0'
  if id ~= '' and not beginning then
    entries = { id, call('HGET', key, id) or nil }
  else
    local reply = call('HSCAN', key, cursor, 'COUNT', number)
    following, entries = reply[1], reply[2]
  end
  local ended, acted = {}, 0
  for i = 2, #entries, 2 do
    local kind, due, record = string.match(entries[i], '^(%a)(%d*) (.*)$')
    -- Of many fields with the same hash one may come twice.
    local meant = kind and COUNTED_PARKED[kind] and string.find(kinds, kind, 1, true) and fits(record)
    if meant and call('HDEL', key, entries[i - 1]) == 1 then
      local _, _, own_queue = head(record)
      count(own_queue, COUNTED_PARKED[kind], -1)
      acted = acted + 1
      if action == 'resume' then resume(kind, due, record) else ended[#ended + 1] = record end
    end
  end
  finish(ended, terms)
  if action == 'resume' and acted > 0 then hand_over() end
  return acted, following ~= '0' and following or ''
end

-- How many bytes a MessagePack number takes, by its first.
local WIDTH = { [0xcc] = 2, [0xcd] = 3, [0xce] = 5, [0xcf] = 9 }

-- Looks what a job told of this start of it (say.lua): worker, attempt, started, progress, children. Returns whether
-- those who listen were told that it started.
local function told_of(record, start)
  local _, own = head(record)
  local live = call('HGET', P .. 'live', own)
  if not live or sub(live, 2, #start + 1) ~= start then return false end
  local _, at = span(live, #start + 3)
  -- What can't be read of it says at least whether it was told.
  if at then
    at = at + (WIDTH[byte(live, at)] or 1)
    local rest = sub(live, at + 9)
    -- Of an older worker, which does not tell of children.
    if byte(live, #start + 2) == 0x94 then rest = rest .. '\192' end
    ran[own] = { started = sub(live, at, at + 8), rest = rest }
  end
  return sub(live, 1, 1) == '2'
end

-- Tells those who listen that a job has started of which its worker has not come to say so: a `Happening` (events.py).
local function tell_start(record, worker)
  local _, own, own_queue, _, at = head(record)
  local from, stop = span(record, at)
  if not stop or not listened() then return end
  -- Behind its name come 9 bytes, when it was added, and then how many tries there were: few, so one byte.
  local tries = byte(record, stop + 9) or 0
  local name = sub(record, from, stop - 1)
  emit('started', 'b', cmsgpack.pack({ own, own_queue, name, now_ms() / 1000, tries < 128 and tries + 1 or 1, worker }))
end

function places.claims(worker, page_begin_of_worker)
  local me = P .. 'worker:' .. worker
  local state = call('HMGET', me, 'open', 'supervisor', 'idle')
  local open, supervisor, idle = state[1] or '', state[2], state[3]
  if open == '' then return 0, '' end
  local claims, taken = P .. 'claims:' .. worker .. ':' .. open, {}
  local wake = P .. 'wake:' .. worker .. ':' .. (idle or '')
  local handed = idle and call('EXISTS', wake) == 1
  -- What it has taken counts as begun.
  if not handed then terms.page_begin = page_begin_of_worker end
  local first = not handed
  for i, record in ipairs(call('LRANGE', claims, 0, -1)) do
    if fits(record) then
      taken[#taken + 1] = record
      local told = told_of(record, worker .. ' ' .. open .. ' ' .. (i - 1) .. '\n')
      -- Whether a worker has come to the others, only it knows.
      if first and not told then tell_start(record, worker) end
      call('LSET', claims, i - 1, '')
      if supervisor and not handed then
        order(supervisor, 'cancel ' .. worker .. ' ' .. open .. ' ' .. (i - 1) .. ' ' .. record)
      end
    end
    first = first and record == ''
  end
  if #taken > 0 then
    call('HINCRBY', me, 'holes', #taken)
    if handed then
      -- Nobody has seen it yet: instead a nudge, and the turn that follows delivers what is left.
      call('DEL', wake)
      call('RPUSH', wake, '')
    end
    finish(taken, terms)
  end
  return #taken, ''
end

function places.later()
  withdraw(beginning, terms)
  return 0, ''
end

local acted, following = places[ARGV[17]](unpack(ARGV, 18))
if acted > 0 then note(acted .. ' ' .. following) end
return { acted, tostring(following) }
