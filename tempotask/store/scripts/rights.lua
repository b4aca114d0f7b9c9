#!lua flags=allow-oom,no-writes
-- What the user of this connection may not do: asked before anything is changed, since a script that is refused a
-- command half-way has done the other half.
--
-- KEYS  the ring
-- ARGV  -
-- reply what its rule lacks, as a rule spells it: '+lpos', or '~' when it may not touch the keys of this namespace; and
--       '!lpos' for what the server itself lacks, where somebody has switched it off
--
-- This script may write nothing, so that of each command nothing but the look at the rights happens: the server makes
-- that look before it finds that the command would write. The table names every command that a script calls.

local key = P .. 'rights'
local commands = {
  { 'DBSIZE' }, { 'SCAN', '0', 'COUNT', '1' }, { 'TIME' },
  { 'DEL', key }, { 'EXISTS', key }, { 'PEXPIRE', key, '1' }, { 'PTTL', key }, { 'TYPE', key }, { 'UNLINK', key },
  { 'GET', key }, { 'GETRANGE', key, '0', '0' }, { 'INCRBY', key, '1' }, { 'SET', key, '' }, { 'STRLEN', key },
  { 'HDEL', key, '' }, { 'HEXISTS', key, '' }, { 'HGET', key, '' }, { 'HGETALL', key }, { 'HINCRBY', key, '', '1' },
  { 'HKEYS', key }, { 'HLEN', key }, { 'HMGET', key, '' }, { 'HRANDFIELD', key }, { 'HSCAN', key, '0' },
  { 'HSET', key, '', '' },
  { 'HSETNX', key, '', '' }, { 'HSTRLEN', key, '' }, { 'HVALS', key },
  { 'LINDEX', key, '0' }, { 'LLEN', key }, { 'LPOP', key }, { 'LPOS', key, '' }, { 'LPUSH', key, '' },
  { 'LRANGE', key, '0', '0' }, { 'LREM', key, '0', '' }, { 'LSET', key, '0', '' }, { 'LTRIM', key, '0', '0' },
  { 'RPOP', key }, { 'RPUSH', key, '' },
  { 'SADD', key, '' }, { 'SCARD', key }, { 'SISMEMBER', key, '' }, { 'SREM', key, '' }, { 'SSCAN', key, '0' },
  { 'XADD', key, '*', '', '' }, { 'XREVRANGE', key, '+', '-' },
  { 'ZADD', key, '0', '' }, { 'ZCARD', key }, { 'ZPOPMIN', key }, { 'ZRANGE', key, '0', '0' },
  { 'ZRANGEBYSCORE', key, '0', '0' }, { 'ZREM', key, '' }, { 'ZREMRANGEBYSCORE', key, '0', '0' },
  { 'ZREVRANGE', key, '0', '0' }, { 'ZSCORE', key, '' },
}

local lacking = {}
for _, command in ipairs(commands) do
  local answer = redis.pcall(unpack(command))
  local refusal = type(answer) == 'table' and answer.err or ''
  -- In the words of newer servers, and of Redis 7.0.
  if string.find(refusal, 'ACL failure', 1, true) or string.find(refusal, 'user executing the script', 1, true) then
    if string.find(refusal, ' access ', 1, true) then return { '~' } end
    lacking[#lacking + 1] = '+' .. string.lower(command[1])
  elseif string.find(string.lower(refusal), '^[^ ]* ?unknown .*command') then
    lacking[#lacking + 1] = '!' .. string.lower(command[1])
  end
end
return lacking
