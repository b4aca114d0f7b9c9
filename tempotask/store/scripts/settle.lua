-- What `turn` and `give_back` share: how jobs ended. Included behind all that they include besides.

-- By their arguments' numbers: the outcomes of sheets that must be spread at once, as id, outcome, id, outcome ...; and
-- for sheets that are told as they are, who waits for them and their ids.
local opened, told_to = {}, {}

-- Refuses what `settle` could not read to its end, which begins at that argument.
local function insist_on_settlement(first)
  local take = strict_reader(first, #ARGV + 1)
  local function several(width)
    local number = whole((take()))
    local _, after = take(number * width)
    return after - number * width, after
  end
  for _ = 1, whole((take())) do
    whole((take()))
    local sheet, after = take()
    if not is_sheet(sheet) then refuse('no sheet of outcomes') end
    local way, client, ids = manner(sheet)
    if way == 'told' then told_to[after - 1] = { client, ids } end
    if way == 'single' then opened[after - 1] = open_sheet(sheet) or refuse('no sheet of outcomes') end
  end
  for _ = 1, whole((take())) do
    -- A try that was to begin some time ago begins now.
    whole((string.gsub(take(), '^%-', '')))
    take()
  end
  for _ = 1, whole((take())) do
    take(2)
    whole((take()))
    whole((take()))
    take()
  end
  several(1)
  insist_on_jobs(several(1))
  several(2)
  for _ = 1, whole((take())) do
    take()
    several(1)
  end
end

-- Reads what settlement.py's `Settlement.arguments` writes: sheets of outcomes by how long they are kept, retries with
-- their time, pages of history, keys that are let go, jobs that are added because these ended well, events, lines that
-- were logged by tries which are not the last. Returns whether something waits that did not before.
local function settle(take, now, most, most_bytes)
  for _ = 1, tonumber((take())) do
    local keep, sheet, after = tonumber((take())), take()
    local list, waits = opened[after - 1], told_to[after - 1]
    if waits then tell_sheet(waits[1], sheet, waits[2]) end
    if list then
      end_jobs(list, keep, now, most, most_bytes)
    else
      -- For who was just told it is kept in any case: the push may be lost on its way.
      local kept = waits and keep == 0 and NOTICE_MS or keep
      if kept > 0 then keep_sheet(sheet, kept, now, most, most_bytes) end
    end
  end
  local waiting, again, retried, pauses = false, {}, {}, {}
  for _ = 1, tonumber((take())) do
    local pause, record = take(), take()
    retried[#retried + 1], pauses[record] = record, tonumber(pause)
  end
  for _, record in ipairs(#retried > 0 and without_withdrawn(retried) or {}) do
    local pause = pauses[record]
    if pause > 0 then
      delay('retries', record, now + pause)
    else
      push_one('RPUSH', record)
      waiting, again[#again + 1] = true, record
    end
  end
  for _ = 1, tonumber((take())) do
    local queue, status, number, limit, page = take(), take(), take(), take(), take()
    remember(queue, status, tonumber(number), tonumber(limit), page)
  end
  for _ = 1, tonumber((take())) do call('UNLINK', P .. take()) end
  local children = tonumber((take()))
  if children > 0 then
    local _, after = take(children)
    local _, waits = add_jobs(after - children, after)
    waiting = waiting or waits
  end
  local events = tonumber((take()))
  if events > 0 then
    local told = listened()
    for _ = 1, events do
      local kind, blob = take(), take()
      if told then emit(kind, 'b', blob) end
    end
    -- Behind the news that they are tried again.
    for _, record in ipairs(told and again or {}) do emit_record('waiting', record) end
  end
  for _ = 1, tonumber((take())) do
    local id, lines = take(), tonumber((take()))
    local _, after = take(lines)
    add_lines(id, after - lines, after - 1)
  end
  return waiting
end
