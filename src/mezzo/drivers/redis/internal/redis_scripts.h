#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace mezzo::drivers::internal {

/// The Lua that runs inside Redis, each script in one step. All times are Redis' own. Numbers beyond what Lua
/// prints in full are made texts with %.0f; all fit a double exactly.
enum RedisScript : std::size_t { kAcquire, kSetAndRelease, kRelease, kTakeTokens, kHoldPermits };

/// KEYS[1]: lease. ARGV: owner, lifetime (ms). Answers held (1 or 0), fence, ms left. A fence is the time of
/// its lease in microseconds, so that it grows also when Redis has lost everything.
inline constexpr const char* kAcquireScript = R"(
local lease = redis.call('HMGET', KEYS[1], 'owner', 'fence')
local fence = lease[2]
if lease[1] and lease[1] ~= ARGV[1] then
  return {0, fence, redis.call('PTTL', KEYS[1])}
end
if not lease[1] then
  local t = redis.call('TIME')
  fence = string.format('%.0f', t[1] * 1000000 + t[2])
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fence', fence)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, fence, tonumber(ARGV[2])}
)";

/// KEYS: value, lease. ARGV: value, lifetime (ms), fence. Answers 1 when done, else 0.
inline constexpr const char* kSetAndReleaseScript = R"(
if redis.call('HGET', KEYS[2], 'fence') ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return 1
)";

/// KEYS[1]: lease. ARGV[1]: fence. Answers 1 when done, else 0.
inline constexpr const char* kReleaseScript = R"(
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
)";

/// storage::GcraLimit. KEYS: buckets. ARGV, three of each: want, period (microseconds a token), burst.
/// Answers three of each: granted, left, microseconds until it is full.
inline constexpr const char* kTakeTokensScript = R"(
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local answer = {}
for i, key in ipairs(KEYS) do
  local want, period, burst = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local tolerance = burst * math.ceil(period)
  local ahead = math.max((tonumber(redis.call('GET', key) or 0)) - now, 0)
  local function free()
    return math.max(math.min(math.floor((tolerance - ahead) / period), burst), 0)
  end
  local granted = 0
  if want < 0 then
    ahead = math.max(ahead - math.floor(-want * period), 0)
  else
    granted = math.min(want, free())
    ahead = ahead + math.ceil(granted * period)
  end
  if ahead > 0 then
    redis.call('SET', key, string.format('%.0f', now + ahead), 'PX', string.format('%.0f', math.ceil(ahead / 1000)))
  else
    redis.call('DEL', key)
  end
  answer[#answer + 1] = granted
  answer[#answer + 1] = free()
  answer[#answer + 1] = ahead
end
return answer
)";

/// KEYS: permits, a hash of "held end" by host. ARGV[1]: lifetime (ms); then three of each key: host, hold,
/// limit. Answers two of each: held, free.
inline constexpr const char* kHoldPermitsScript = R"(
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lifetime = tonumber(ARGV[1])
local answer = {}
for i, key in ipairs(KEYS) do
  local host, hold, limit = ARGV[3 * i - 1], tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local own, others, last = 0, 0, now
  local all = redis.call('HGETALL', key)
  for j = 1, #all, 2 do
    local held, ends = string.match(all[j + 1], '^(%d+) (%d+)$')
    if not held or tonumber(ends) <= now then
      redis.call('HDEL', key, all[j])
    elseif all[j] == host then
      own = tonumber(held)
    else
      others = others + tonumber(held)
      last = math.max(last, tonumber(ends))
    end
  end
  local held = math.min(hold, math.max(own, limit - others, 0))
  if held > 0 then
    redis.call('HSET', key, host, string.format('%.0f %.0f', held, now + lifetime))
    last = math.max(last, now + lifetime)
  else
    redis.call('HDEL', key, host)
  end
  if last > now then redis.call('PEXPIRE', key, string.format('%.0f', last - now)) end
  answer[#answer + 1] = held
  answer[#answer + 1] = math.max(limit - others - held, 0)
end
return answer
)";

/// In the order of RedisScript.
inline std::vector<std::string> AllRedisScripts() {
  return {kAcquireScript, kSetAndReleaseScript, kReleaseScript, kTakeTokensScript, kHoldPermitsScript};
}

}  // namespace mezzo::drivers::internal
