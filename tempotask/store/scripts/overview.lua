#!lua flags=allow-oom,no-writes
-- include: batches queues
--
-- How some queues and all supervisors stand, as one look of somebody who looks again and again: one command a look,
-- however many queues there are. Nothing is read that is not shown.
--
-- KEYS  the ring
-- ARGV  failed jobs that are wanted of a queue, at most; then for each queue: its name, and the mark of the last look
-- reply {the server's milliseconds,
--       {supervisor, how its workers stand ('': it has not said), ...},
--       for each queue {1 if it is paused, records in its lists, {field, count, ...}, mark,
--                       {the beginning of each list's first record, up to its time},
--                       1 if all of the history follows, pages of failed jobs, the newest first ...}}
--
-- The pages are left out while a queue's mark is that of the last look: no job has failed, and none has left the history.

local MOST_BYTES = 262144

local most = whole(ARGV[1])

-- A hole may be in front.
local function first(key)
  for _, record in ipairs(call('LRANGE', key, 0, 1)) do
    if record ~= '' then
      local _, _, _, _, at = head(record)
      local _, stop = span(record, at)
      return stop and '\150' .. sub(record, 2, stop + 8) or ''
    end
  end
end

local function add_pages(told, queue)
  local jobs, bytes, number = 0, 0, 0
  while jobs < most and bytes < MOST_BYTES do
    local page = call('LINDEX', P .. 'history:' .. queue .. ':failed', number)
    if not page then
      told[6] = 1
      return
    end
    jobs, bytes, number = jobs + page_head(page), bytes + #page, number + 1
    told[#told + 1] = page
  end
end

local function look_at(queue, known)
  local counts, firsts, waiting = call('HGETALL', P .. 'counts:' .. queue), {}, 0
  local failed, kept = '0', '0'
  for i = 1, #counts, 2 do
    if counts[i] == 'failed' then failed = counts[i + 1] end
    if counts[i] == 'failed:kept' then kept = counts[i + 1] end
  end
  for _, priority in ipairs(priorities(queue) or { '0' }) do
    local key = queue_key(queue, priority)
    local length = call('LLEN', key)
    waiting = waiting + length
    if length > 0 then firsts[#firsts + 1] = first(key) end
  end
  local told = { paused(queue) and 1 or 0, waiting, counts, failed .. '/' .. kept, firsts, 0 }
  if told[4] ~= known then add_pages(told, queue) end
  return told
end

local supervisors = {}
for _, supervisor in ipairs(call('HKEYS', P .. 'supervisors')) do
  supervisors[#supervisors + 1] = supervisor
  supervisors[#supervisors + 1] = call('GET', P .. 'standing:' .. supervisor) or ''
end
local reply = { now_ms(), supervisors }
for i = 2, #ARGV - 1, 2 do reply[#reply + 1] = look_at(ARGV[i], ARGV[i + 1]) end
return reply
