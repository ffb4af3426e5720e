#include <algorithm>
#include <random>
#include <string>

#include "mezzo/drivers/memory/memory_kv_store.h"
#include "mezzo/drivers/memory/memory_token_store.h"
#include "mezzo/storage/testing/kv_store_suite.h"
#include "mezzo/storage/testing/token_store_suite.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::storage::testing {
namespace {

using drivers::MemoryKvStore;
using drivers::MemoryTokenStore;
using mezzo::testing::ManualClock;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class MemoryKvHarness {
 public:
  KvStore& store() { return store_; }
  KvStore& another() { return store_; }
  void Pass(Duration time) { clock_.Advance(time); }
  void Lose() { store_.Clear(); }

 private:
  ManualClock clock_;
  MemoryKvStore store_{{}, clock_};
};
MEZZO_KV_STORE_SUITE(Memory, MemoryKvHarness);

class MemoryTokenHarness {
 public:
  TokenStore& store() { return store_; }
  void Pass(Duration time) { clock_.Advance(time); }

 private:
  ManualClock clock_;
  MemoryTokenStore store_{{}, clock_};
};
MEZZO_TOKEN_STORE_SUITE(Memory, MemoryTokenHarness);

std::string Set(KvStore& store, const std::string& key, const std::string& value) {
  return Reason(runtime::SyncWait(store.Set(runtime::Context(), key, value, seconds(60))));
}
bool Has(KvStore& store, const std::string& key) {
  return runtime::SyncWait(store.Get(runtime::Context(), {key}))->front().has_value();
}

TEST(MemoryKvStore, TheLongestUnusedGoesWhenBytesOrEntriesRunOut) {
  const ManualClock clock;
  MemoryKvStore store({.max_bytes = 30, .max_entries = 3}, clock);
  for (const std::string key : {"a", "b", "c"}) EXPECT_EQ(Set(store, key, "12345"), "");
  EXPECT_TRUE(Has(store, "a"));

  EXPECT_EQ(Set(store, "d", "12345"), "");
  EXPECT_TRUE(Has(store, "a"));
  EXPECT_FALSE(Has(store, "b")) << "entries";

  EXPECT_EQ(Set(store, "e", std::string(15, 'x')), "");
  EXPECT_FALSE(Has(store, "c")) << "bytes";
  EXPECT_LE(store.bytes(), 30U);
  EXPECT_EQ(Set(store, "f", std::string(31, 'x')), "") << "it is lost at once";
  EXPECT_EQ(store.entries(), 0U);
  EXPECT_EQ(store.bytes(), 0U);
}

TEST(MemoryKvStore, LeasesAreBoundedAndLostOnesGetANewFence) {
  ManualClock clock;
  MemoryKvStore store({.max_leases = 2}, clock);
  const auto acquire = [&](const std::string& key, Duration lifetime) {
    return *runtime::SyncWait(store.Acquire(runtime::Context(), key, "o", lifetime));
  };
  const auto first = acquire("a", seconds(1));
  acquire("b", seconds(5));
  acquire("c", seconds(5));

  const auto again = *runtime::SyncWait(store.Acquire(runtime::Context(), "a", "another", seconds(1)));
  EXPECT_TRUE(again.held);
  EXPECT_GT(again.fence, first.fence);
}

TEST(MemoryTokenStore, BoundedAndForgetsFullBuckets) {
  ManualClock clock;
  MemoryTokenStore store({.max_keys = 100}, clock);
  for (int i = 0; i < 1000; ++i) {
    const TokenStore::TokenRequest one{.key = std::to_string(i), .want = 1, .per_second = 1, .burst = 5};
    EXPECT_EQ(runtime::SyncWait(store.TakeTokens(runtime::Context(), {one}))->front().granted, 1);
  }
  EXPECT_EQ(store.keys(), 100U);
  clock.Advance(seconds(2));
  const TokenStore::TokenRequest look{.key = "x", .want = 0, .per_second = 1, .burst = 5};
  EXPECT_TRUE(runtime::SyncWait(store.TakeTokens(runtime::Context(), {look})).ok());
  EXPECT_EQ(store.keys(), 0U);
}

/// Over any span of time, a bucket gives at most its burst and what it fills with, and a patient caller gets
/// nearly that.
TEST(MemoryTokenStore, GivesTheRateAndTheBurstOverSeeds) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    ManualClock clock;
    MemoryTokenStore store({}, clock);
    const double rate = std::exp(std::uniform_real_distribution(std::log(0.5), std::log(20'000.0))(random));
    const auto burst = std::uniform_int_distribution<std::int64_t>(1, 500)(random);
    std::int64_t granted = 0;
    std::int64_t back = 0;
    const TimePoint begun = clock.Now();
    for (int i = 0; i < 2000; ++i) {
      const auto want = std::uniform_int_distribution<std::int64_t>(-3, 40)(random);
      const std::int64_t give = want < 0 ? -std::min(-want, granted - back) : want;
      const auto grant = runtime::SyncWait(store.TakeTokens(
          runtime::Context(), {{.key = "k", .want = give, .per_second = rate, .burst = burst}}));
      ASSERT_TRUE(grant.ok());
      granted += grant->front().granted;
      if (give < 0) back -= give;
      ASSERT_LE(grant->front().left, burst);
      clock.Advance(microseconds(std::uniform_int_distribution<std::int64_t>(0, 20'000)(random)));
      const double filled = rate * Seconds(clock.Now() - begun);
      // The tolerance counts whole microseconds a token: at high rates up to that much more at once.
      const double slack = static_cast<double>(burst) * (std::ceil(1e6 / rate) / (1e6 / rate) - 1) + 1;
      ASSERT_LE(static_cast<double>(granted - back), static_cast<double>(burst) + filled + slack)
          << "seed " << seed;
    }
    const std::int64_t before = granted;
    clock.Advance(seconds(1000));
    const auto rest = runtime::SyncWait(store.TakeTokens(
        runtime::Context(), {{.key = "k", .want = 1000, .per_second = rate, .burst = burst}}));
    EXPECT_EQ(rest->front().granted, burst) << "seed " << seed << ", after " << before;
  }
}

}  // namespace
}  // namespace mezzo::storage::testing
