#include "mezzo/drivers/redis/redis_store.h"

#include <memory>
#include <string>
#include <thread>

#include "mezzo/storage/testing/kv_store_suite.h"
#include "mezzo/storage/testing/redis_server.h"
#include "mezzo/storage/testing/token_store_suite.h"

namespace mezzo::storage::testing {
namespace {

using drivers::RedisStore;
using ::testing::HasSubstr;
using ::testing::Not;

/// One server for all tests of this file, emptied for each of them.
RedisServer& Server() {
  static RedisServer server;
  return server;
}

class RedisHarness {
 public:
  RedisHarness() { Server().FlushAll(); }
  KvStore& store() { return *first_; }
  KvStore& another() { return *second_; }
  static void Pass(Duration time) { std::this_thread::sleep_for(time); }
  static void Lose() { Server().FlushAll(); }

 private:
  static std::unique_ptr<RedisStore> Open(const Clock& clock) {
    // Other builds use this machine too.
    return *RedisStore::Open({.url = Server().Url(),
                              .connect_timeout = std::chrono::seconds(10),
                              .command_timeout = std::chrono::seconds(10)},
                             clock);
  }
  const RealClock clock_;
  std::unique_ptr<RedisStore> first_ = Open(clock_);
  std::unique_ptr<RedisStore> second_ = Open(clock_);
};
class RedisTokenHarness {
 public:
  TokenStore& store() { return dynamic_cast<TokenStore&>(both_.store()); }
  static void Pass(Duration time) { std::this_thread::sleep_for(time); }

 private:
  RedisHarness both_;
};
MEZZO_KV_STORE_SUITE(Redis, RedisHarness);
MEZZO_TOKEN_STORE_SUITE(Redis, RedisTokenHarness);

TEST(RedisStoreUrl, IsReadOrRefusedWithoutBeingShown) {
  for (const std::string good :
       {"redis://h", "redis://h:1", "redis://h/", "redis://h:65535/15", "redis://u:p@h",
        "redis://:p%40%2f@10.0.0.1:6379/2", "redis://[::1]:6379/0"}) {
    EXPECT_EQ(Reason(RedisStore::Check({.url = good})), "") << good;
  }
  for (const std::string bad :
       {"", "h:1", "http://h", "rediss://u:hush@h", "redis://", "redis://h:0", "redis://h:65536",
        "redis://h:x", "redis://h:", "redis://h/x", "redis://h/-1", "redis://hush@h", "redis://u:@h",
        "redis://u:hush%4@h", "redis://u:hush@h h", "redis://[::1", "redis://[::1]x", "redis://u:hu/sh@h"}) {
    const auto checked = RedisStore::Check({.url = bad});
    EXPECT_EQ(Reason(checked), "kv_bad_url") << bad;
    EXPECT_THAT(Message(checked), Not(HasSubstr("hush")));
  }
  EXPECT_THAT(Message(RedisStore::Check({.url = "rediss://h"})), HasSubstr("TLS"));
  EXPECT_EQ(Reason(RedisStore::Check({.url = "redis://h", .prefix = "a b"})), "kv_bad_key");
}

TEST(RedisStoreLogin, AWrongPasswordIsUnavailableAndNotShown) {
  const RealClock clock;
  const auto store = *RedisStore::Open({.url = "redis://:hush@127.0.0.1:" + std::to_string(Server().port()),
                                        .connect_timeout = std::chrono::seconds(10),
                                        .command_timeout = std::chrono::seconds(10)},
                                       clock);
  const auto got = runtime::SyncWait(store->Get(runtime::Context(), {"a"}));
  EXPECT_EQ(Reason(got), "kv_unavailable");
  EXPECT_THAT(Message(got), HasSubstr("WRONGPASS"));
  EXPECT_THAT(Message(got), Not(HasSubstr("hush")));
}

TEST(RedisStoreValues, OfAnotherTypeAreAFailureNotACrash) {
  RedisHarness harness;
  ASSERT_THAT(Server().Ask("RPUSH mezzo:list 1"), HasSubstr(":1"));
  EXPECT_EQ(Reason(runtime::SyncWait(
                harness.store().Acquire(runtime::Context(), "list", "o", std::chrono::seconds(1)))),
            "kv_failed");
  EXPECT_EQ(*runtime::SyncWait(harness.store().Get(runtime::Context(), {"list"})),
            (std::vector<std::optional<std::string>>{std::nullopt}));
}

TEST(RedisStoreScripts, AreSentAgainWhenRedisForgotThem) {
  RedisHarness harness;
  auto& tokens = dynamic_cast<TokenStore&>(harness.store());
  const TokenStore::TokenRequest one{.key = "b", .want = 1, .per_second = 0.01, .burst = 5};
  for (int i = 1; i <= 3; ++i) {
    const auto got = runtime::SyncWait(tokens.TakeTokens(runtime::Context(), {one}));
    ASSERT_EQ(Reason(got), "");
    EXPECT_EQ(got->front().left, 5 - i);
    ASSERT_THAT(Server().Ask("SCRIPT FLUSH"), HasSubstr("OK"));
  }
}

TEST(RedisStorePipeline, ManyCallersShareFewConnections) {
  RedisHarness harness;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string key = std::to_string(t) + ":" + std::to_string(i);
        const bool set =
            runtime::SyncWait(harness.store().Set(runtime::Context(), key, key, std::chrono::minutes(1)))
                .ok();
        const auto got = runtime::SyncWait(harness.store().Get(runtime::Context(), {key}));
        if (!set || !got.ok() || got->front() != key) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(dynamic_cast<RedisStore&>(harness.store()).connects(), 2U);
}

}  // namespace
}  // namespace mezzo::storage::testing
