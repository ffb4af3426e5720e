#include "mezzo/drivers/redis/redis_store.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/drivers/redis/internal/redis_client.h"
#include "mezzo/drivers/redis/internal/redis_scripts.h"
#include "mezzo/drivers/redis/internal/redis_subscriber.h"
#include "mezzo/storage/kv_checks.h"

namespace mezzo::drivers {
namespace {

using internal::RedisClient;
using storage::CheckKvKey;
using storage::CheckKvKeys;
using storage::CheckKvValue;

std::string Milliseconds(Duration lifetime) {
  return std::to_string(storage::KvLifetime(lifetime) / std::chrono::milliseconds(1));
}

/// Errors that Redis answers with while it is as good as away.
bool MeansAway(std::string_view word) {
  static constexpr std::array<std::string_view, 12> kWords = {
      "LOADING",     "BUSY",     "MASTERDOWN", "READONLY", "OOM",    "MISCONF",
      "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "NOAUTH",   "NOPERM", "WRONGPASS"};
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

/// An answer that is no error.
Result<RedisClient::Answer> Accept(Result<RedisClient::Answer> answer) {
  if (!answer.ok() || answer->reply->type != REDIS_REPLY_ERROR) return answer;
  const std::string word = internal::ErrorWordOf(*answer->reply);
  if (MeansAway(word)) return Unavailable("kv_unavailable", "Redis answered " + word);
  return Internal("kv_failed", "Redis answered " + word);
}

/// Whoever answered that must not be believed any more.
Error Nonsense(RedisClient& client, const RedisClient::Answer& answer) {
  client.Distrust(answer.connection);
  return Internal("kv_failed", "an answer of Redis makes no sense");
}

bool IsListOf(const redisReply& reply, std::size_t count) {
  return reply.type == REDIS_REPLY_ARRAY && reply.elements == count;
}

}  // namespace

Result<void> RedisStore::Check(const Options& options) {
  MEZZO_TRY_VOID(internal::RedisTarget::Parse(options.url));
  constexpr std::size_t kMaxPrefix = 64;
  if (!options.prefix.empty()) MEZZO_TRY_VOID(CheckKvKey(options.prefix));
  if (options.prefix.size() > kMaxPrefix) {
    return InvalidArgument("kv_bad_key", "the prefix of Redis' keys has more than 64 bytes");
  }
  return {};
}

Result<std::unique_ptr<RedisStore>> RedisStore::Open(const Options& options, const Clock& clock) {
  MEZZO_TRY_VOID(Check(options));
  MEZZO_TRY(const internal::RedisTarget target, internal::RedisTarget::Parse(options.url));
  internal::RedisConnection::Options connection{.scripts = internal::AllRedisScripts()};
  auto client = std::make_unique<RedisClient>(RedisClient::Options{.target = target,
                                                                   .connection = connection,
                                                                   .connections = options.connections,
                                                                   .connect_timeout = options.connect_timeout,
                                                                   .command_timeout = options.command_timeout,
                                                                   .max_commands = options.max_commands},
                                              clock);
  connection.scripts.clear();
  auto subscriber = std::make_unique<internal::RedisSubscriber>(
      internal::RedisSubscriber::Options{.target = target,
                                         .connection = connection,
                                         .connect_timeout = options.connect_timeout,
                                         .ping_every = options.ping_every},
      clock);
  return std::unique_ptr<RedisStore>(new RedisStore(options, std::move(client), std::move(subscriber)));
}

RedisStore::RedisStore(Options options, std::unique_ptr<internal::RedisClient> client,
                       std::unique_ptr<internal::RedisSubscriber> subscriber)
    : options_(std::move(options)), client_(std::move(client)), subscriber_(std::move(subscriber)) {}

RedisStore::~RedisStore() = default;

bool RedisStore::healthy() const { return client_->healthy(); }
std::uint64_t RedisStore::connects() const { return client_->connects(); }

runtime::Task<Result<std::vector<std::optional<std::string>>>> RedisStore::Get(
    runtime::Context ctx, std::vector<std::string> keys) {
  using Values = std::vector<std::optional<std::string>>;
  MEZZO_CO_TRY_VOID(CheckKvKeys(keys));
  if (keys.empty()) co_return Values();
  std::vector<std::string> words = {"MGET"};
  for (const std::string& key : keys) words.push_back(Named(key));
  MEZZO_CO_TRY(const RedisClient::Answer answer,
               Accept(co_await client_->Call(std::move(ctx), std::move(words))));
  if (!IsListOf(*answer.reply, keys.size())) co_return Nonsense(*client_, answer);
  Values values(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const redisReply& value = *answer.reply->element[i];
    if (value.type == REDIS_REPLY_NIL) continue;
    if (value.type != REDIS_REPLY_STRING) co_return Nonsense(*client_, answer);
    values[i] = std::string(internal::TextOf(value));
  }
  co_return values;
}

runtime::Task<Result<void>> RedisStore::Set(runtime::Context ctx, std::string key, std::string value,
                                            Duration lifetime) {
  MEZZO_CO_TRY_VOID(CheckKvKey(key));
  MEZZO_CO_TRY_VOID(CheckKvValue(value.size(), options_.max_value_bytes));
  std::vector<std::string> words = {"SET", Named(key), std::move(value), "PX", Milliseconds(lifetime)};
  MEZZO_CO_TRY(const RedisClient::Answer answer,
               Accept(co_await client_->Call(std::move(ctx), std::move(words))));
  if (internal::TextOf(*answer.reply) != "OK") co_return Nonsense(*client_, answer);
  co_return Result<void>();
}

runtime::Task<Result<std::int64_t>> RedisStore::Erase(runtime::Context ctx, std::vector<std::string> keys) {
  MEZZO_CO_TRY_VOID(CheckKvKeys(keys));
  if (keys.empty()) co_return std::int64_t{0};
  std::vector<std::string> words = {"UNLINK"};
  for (const std::string& key : keys) words.push_back(Named(key));
  MEZZO_CO_TRY(const RedisClient::Answer answer,
               Accept(co_await client_->Call(std::move(ctx), std::move(words))));
  const redisReply& reply = *answer.reply;
  if (reply.type != REDIS_REPLY_INTEGER || reply.integer < 0 ||
      static_cast<std::size_t>(reply.integer) > keys.size()) {
    co_return Nonsense(*client_, answer);
  }
  co_return static_cast<std::int64_t>(reply.integer);
}

runtime::Task<Result<storage::KvStore::Lease>> RedisStore::Acquire(runtime::Context ctx, std::string key,
                                                                   std::string owner, Duration lifetime) {
  MEZZO_CO_TRY_VOID(CheckKvKey(key));
  MEZZO_CO_TRY_VOID(CheckKvKey(owner));
  std::vector<std::string> words = {"1", Named(key), std::move(owner), Milliseconds(lifetime)};
  MEZZO_CO_TRY(const RedisClient::Answer answer,
               Accept(co_await client_->CallScript(std::move(ctx), internal::kAcquire, std::move(words))));
  if (!IsListOf(*answer.reply, 3)) co_return Nonsense(*client_, answer);
  const redisReply& held = *answer.reply->element[0];
  const auto fence = ParseUint(internal::TextOf(*answer.reply->element[1]));
  const redisReply& left = *answer.reply->element[2];
  constexpr std::int64_t kLongest = std::int64_t{366} * 24 * 3600 * 1000;
  if (held.type != REDIS_REPLY_INTEGER || held.integer < 0 || held.integer > 1 || !fence || *fence == 0 ||
      left.type != REDIS_REPLY_INTEGER || left.integer < 0 || left.integer > kLongest) {
    co_return Nonsense(*client_, answer);
  }
  co_return Lease{
      .held = held.integer == 1, .fence = *fence, .left = std::chrono::milliseconds(left.integer)};
}

runtime::Task<Result<bool>> RedisStore::CallYesNo(runtime::Context ctx, std::size_t script,
                                                  std::vector<std::string> words) {
  MEZZO_CO_TRY(const RedisClient::Answer answer,
               Accept(co_await client_->CallScript(std::move(ctx), script, std::move(words))));
  const redisReply& reply = *answer.reply;
  if (reply.type != REDIS_REPLY_INTEGER || reply.integer < 0 || reply.integer > 1) {
    co_return Nonsense(*client_, answer);
  }
  co_return reply.integer == 1;
}

runtime::Task<Result<bool>> RedisStore::SetAndRelease(runtime::Context ctx, std::string key,
                                                      std::string value, Duration lifetime,
                                                      std::string lease_key, std::uint64_t fence) {
  MEZZO_CO_TRY_VOID(CheckKvKey(key));
  MEZZO_CO_TRY_VOID(CheckKvKey(lease_key));
  MEZZO_CO_TRY_VOID(CheckKvValue(value.size(), options_.max_value_bytes));
  std::vector<std::string> words = {
      "2", Named(key), Named(lease_key), std::move(value), Milliseconds(lifetime), std::to_string(fence)};
  co_return co_await CallYesNo(std::move(ctx), internal::kSetAndRelease, std::move(words));
}

runtime::Task<Result<bool>> RedisStore::Release(runtime::Context ctx, std::string lease_key,
                                                std::uint64_t fence) {
  MEZZO_CO_TRY_VOID(CheckKvKey(lease_key));
  std::vector<std::string> words = {"1", Named(lease_key), std::to_string(fence)};
  co_return co_await CallYesNo(std::move(ctx), internal::kRelease, std::move(words));
}

runtime::Task<Result<void>> RedisStore::Publish(runtime::Context ctx, std::string channel,
                                                std::string payload) {
  MEZZO_CO_TRY_VOID(CheckKvKey(channel));
  MEZZO_CO_TRY_VOID(CheckKvValue(payload.size(), options_.max_value_bytes));
  std::vector<std::string> words = {"PUBLISH", Named(channel), std::move(payload)};
  MEZZO_CO_TRY(const RedisClient::Answer answer,
               Accept(co_await client_->Call(std::move(ctx), std::move(words))));
  if (answer.reply->type != REDIS_REPLY_INTEGER) co_return Nonsense(*client_, answer);
  co_return Result<void>();
}

std::shared_ptr<void> RedisStore::Subscribe(std::string channel, Listener listener) {
  MEZZO_CHECK(storage::IsKvKey(channel));
  return subscriber_->Listen(Named(channel), std::move(listener));
}

runtime::Task<Result<std::vector<std::int64_t>>> RedisStore::CallNumbers(runtime::Context ctx,
                                                                         std::size_t script,
                                                                         std::vector<std::string> words,
                                                                         std::size_t count) {
  MEZZO_CO_TRY(const RedisClient::Answer answer,
               Accept(co_await client_->CallScript(std::move(ctx), script, std::move(words))));
  if (!IsListOf(*answer.reply, count)) co_return Nonsense(*client_, answer);
  std::vector<std::int64_t> numbers;
  numbers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const redisReply& number = *answer.reply->element[i];
    constexpr long long kMost = 2'000'000'000'000'000;
    if (number.type != REDIS_REPLY_INTEGER || number.integer < 0 || number.integer > kMost) {
      co_return Nonsense(*client_, answer);
    }
    numbers.push_back(number.integer);
  }
  co_return numbers;
}

runtime::Task<Result<std::vector<storage::TokenStore::TokenGrant>>> RedisStore::TakeTokens(
    runtime::Context ctx, std::vector<TokenRequest> requests) {
  MEZZO_CO_TRY_VOID(storage::CheckTokenRequests(requests));
  if (requests.empty()) co_return std::vector<TokenGrant>();
  std::vector<std::string> words = {std::to_string(requests.size())};
  for (const TokenRequest& request : requests) words.push_back(Named(request.key));
  for (const TokenRequest& request : requests) {
    words.push_back(std::to_string(request.want));
    words.push_back(fmt::format("{:.17g}", 1e6 / request.per_second));
    words.push_back(std::to_string(request.burst));
  }
  MEZZO_CO_TRY(
      const std::vector<std::int64_t> numbers,
      co_await CallNumbers(std::move(ctx), internal::kTakeTokens, std::move(words), 3 * requests.size()));
  std::vector<TokenGrant> grants;
  grants.reserve(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    // A lying store must not open a limit.
    const std::int64_t most = std::max<std::int64_t>(requests[i].want, 0);
    grants.push_back({.granted = std::min(numbers[3 * i], most),
                      .left = std::min(numbers[3 * i + 1], requests[i].burst),
                      .full_in = std::chrono::microseconds(numbers[3 * i + 2])});
  }
  co_return grants;
}

runtime::Task<Result<std::vector<storage::TokenStore::PermitGrant>>> RedisStore::HoldPermits(
    runtime::Context ctx, std::vector<PermitRequest> requests, Duration lifetime) {
  MEZZO_CO_TRY_VOID(storage::CheckPermitRequests(requests));
  if (requests.empty()) co_return std::vector<PermitGrant>();
  std::vector<std::string> words = {std::to_string(requests.size())};
  for (const PermitRequest& request : requests) words.push_back(Named(request.key));
  words.push_back(Milliseconds(lifetime));
  for (const PermitRequest& request : requests) {
    words.push_back(request.host);
    words.push_back(std::to_string(request.hold));
    words.push_back(std::to_string(request.limit));
  }
  MEZZO_CO_TRY(
      const std::vector<std::int64_t> numbers,
      co_await CallNumbers(std::move(ctx), internal::kHoldPermits, std::move(words), 2 * requests.size()));
  std::vector<PermitGrant> grants;
  grants.reserve(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    grants.push_back({.held = std::min(numbers[2 * i], requests[i].hold),
                      .free = std::min(numbers[2 * i + 1], requests[i].limit)});
  }
  co_return grants;
}

}  // namespace mezzo::drivers
