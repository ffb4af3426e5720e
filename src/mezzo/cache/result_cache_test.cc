#include "mezzo/cache/result_cache.h"

#include <atomic>
#include <future>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/base/sanitizers.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::cache {
namespace {

using Kind = ResultCache::Kind;
using Outcome = ResultCache::Outcome;
using runtime::Context;
using std::chrono::milliseconds;
using std::chrono::seconds;

class Number final : public Cached {
 public:
  explicit Number(std::uint64_t n, ByteCount size = 100) : number(n), size_(size) {}
  [[nodiscard]] ByteCount bytes() const override { return size_; }
  const std::uint64_t number;

 private:
  const ByteCount size_;
};

CachedRef Value(std::uint64_t n, ByteCount size = 100) { return std::make_shared<Number>(n, size); }
std::uint64_t NumberOf(const CachedRef& value) {
  const auto* number = dynamic_cast<const Number*>(value.get());
  return number == nullptr ? UINT64_MAX : number->number;
}
CacheKey Key(std::int64_t n) { return KeyBuilder("test").Integer(n).Finish(); }

class ResultCacheTest : public ::testing::Test {
 protected:
  explicit ResultCacheTest(ResultCache::Options options = {.jitter = 0})
      : tier_({.max_bytes = ByteCount{32} << 20}, clock_),
        cache_(options, tier_, clock_),
        model_(cache_.Model("m")) {}
  ~ResultCacheTest() override { loops_.Stop(); }

  Outcome Begin(const CacheKey& key) { return cache_.Begin(model_, key, rules_, clock_.Now()); }
  /// Follows on a loop.
  std::future<Result<Outcome>> Follow(Outcome joined, const Context& ctx = Context()) {
    auto promise = std::make_shared<std::promise<Result<Outcome>>>();
    auto future = promise->get_future();
    auto follower = std::make_shared<ResultCache::Follower>(std::move(*joined.follower));
    runtime::Loop& loop = loops_.loop(turn_++ % loops_.size());
    loop.Post([this, promise, follower, ctx] {
      runtime::Start(cache_.Follow(ctx, std::move(*follower)),
                     [promise](Result<Outcome> end) { promise->set_value(std::move(end)); });
    });
    return future;
  }
  void Fill(const CacheKey& key, std::uint64_t n, Duration cost = milliseconds(10)) {
    Outcome outcome = Begin(key);
    ASSERT_EQ(outcome.kind, Kind::kLead);
    outcome.ticket->Fill(Value(n), cost);
  }
  ResultCache::ModelStatistics Statistics() { return cache_.StatisticsOf(model_); }

  testing::ManualClock clock_;
  runtime::IoThreads loops_{2};
  std::size_t turn_ = 0;
  MemoryTier tier_;
  ResultCache cache_;
  ResultCache::ModelRef model_;
  Rules rules_{.ttl = seconds(60), .negative_ttl = seconds(5)};
};

TEST_F(ResultCacheTest, LeadsThenHitsUntilTheEndOfItsLife) {
  Fill(Key(1), 7);

  clock_.Advance(seconds(30));
  const Outcome hit = Begin(Key(1));
  EXPECT_EQ(hit.kind, Kind::kHit);
  EXPECT_EQ(NumberOf(hit.value), 7U);
  EXPECT_EQ(hit.age, seconds(30));
  EXPECT_FALSE(hit.ticket.has_value());
  EXPECT_EQ(Statistics().saved, milliseconds(10));

  clock_.Advance(seconds(30));
  EXPECT_EQ(Begin(Key(1)).kind, Kind::kLead);
  EXPECT_EQ(cache_.flights(), 0U) << "the ticket that was dropped took its flight along";
}

TEST_F(ResultCacheTest, TenThousandJoinersShareOneExecution) {
  Outcome lead = Begin(Key(1));
  ASSERT_EQ(lead.kind, Kind::kLead);
  std::vector<std::future<Result<Outcome>>> joined;
  joined.reserve(10'000);
  for (int i = 0; i < 10'000; ++i) {
    Outcome outcome = Begin(Key(1));
    ASSERT_EQ(outcome.kind, Kind::kJoin);
    joined.push_back(Follow(std::move(outcome)));
  }

  lead.ticket->Fill(Value(3), milliseconds(1));

  for (auto& future : joined) {
    const Result<Outcome> end = future.get();
    ASSERT_TRUE(end.ok());
    ASSERT_EQ(end->kind, Kind::kJoin);
    ASSERT_EQ(NumberOf(end->value), 3U);
  }
  EXPECT_EQ(Statistics().misses, 1U);
  EXPECT_EQ(Statistics().joins, 10'000U);
  EXPECT_EQ(Statistics().saved, seconds(10));
  EXPECT_EQ(cache_.flights(), 0U);
}

TEST_F(ResultCacheTest, RacingCallersExecuteOnce) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> executions{0};
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        const CacheKey key = Key(round);
        ready.fetch_add(1);
        while (ready.load() < 4) std::this_thread::yield();
        for (int i = 0; i < 3; ++i) {
          Outcome outcome = Begin(key);
          if (outcome.kind != Kind::kLead) continue;
          executions.fetch_add(1);
          outcome.ticket->Fill(Value(1), Duration(1));
        }
      });
    }
    for (auto& thread : threads) thread.join();
    ASSERT_EQ(executions.load(), 1);
  }
}

TEST_F(ResultCacheTest, WhenTheLeaderGoesOneFollowerLeads) {
  std::optional<Outcome> lead = Begin(Key(1));
  std::vector<std::future<Result<Outcome>>> joined;
  joined.reserve(5);
  for (int i = 0; i < 5; ++i) joined.push_back(Follow(Begin(Key(1))));

  lead.reset();

  std::optional<Outcome> second;
  for (int tries = 0; tries < 1000 && !second.has_value(); ++tries) {
    for (auto& future : joined) {
      if (future.valid() && future.wait_for(milliseconds(5)) == std::future_status::ready) {
        second = std::move(future.get().value());
        break;
      }
    }
  }
  ASSERT_TRUE(second.has_value());
  ASSERT_EQ(second->kind, Kind::kLead);
  second->ticket->Fill(Value(4), milliseconds(1));
  int got = 0;
  for (auto& future : joined) {
    if (!future.valid()) continue;
    EXPECT_EQ(NumberOf(future.get()->value), 4U);
    ++got;
  }
  EXPECT_EQ(got, 4);
}

TEST_F(ResultCacheTest, AFollowerThatWasNotWaitingYetTakesTheLeadToo) {
  std::optional<Outcome> lead = Begin(Key(1));
  Outcome joined = Begin(Key(1));
  lead.reset();

  Result<Outcome> end = Follow(std::move(joined)).get();

  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->kind, Kind::kLead);
}

TEST_F(ResultCacheTest, ANewCallerTakesAVacantLead) {
  std::optional<Outcome> lead = Begin(Key(1));
  const Outcome joined = Begin(Key(1));  // Holds the flight, and does not wait.
  lead.reset();

  EXPECT_EQ(Begin(Key(1)).kind, Kind::kLead);
}

TEST_F(ResultCacheTest, TheLeadersOwnTroublePassesTheLeadOn) {
  for (const Code code : {Code::kCancelled, Code::kDeadlineExceeded, Code::kResourceExhausted}) {
    Outcome lead = Begin(Key(1));
    auto joined = Follow(Begin(Key(1)));
    lead.ticket->Fail(Error(code, "test", "test"));
    EXPECT_EQ(joined.get()->kind, Kind::kLead);
  }
}

TEST_F(ResultCacheTest, FollowersShareErrorsAndOnlyLastingOnesAreKept) {
  Outcome lead = Begin(Key(1));
  auto joined = Follow(Begin(Key(1)));
  lead.ticket->Fail(Internal("test", "broken"));
  EXPECT_EQ(joined.get().error().message(), "broken");
  EXPECT_EQ(Begin(Key(1)).kind, Kind::kLead);

  lead = Begin(Key(2));
  joined = Follow(Begin(Key(2)));
  lead.ticket->Fail(InvalidArgument("test", "bad shape"));
  EXPECT_EQ(joined.get().error().message(), "bad shape");
  const Outcome hit = Begin(Key(2));
  EXPECT_EQ(hit.kind, Kind::kHit);
  EXPECT_EQ(hit.value, nullptr);
  EXPECT_EQ(hit.error->message(), "bad shape");
  EXPECT_EQ(Statistics().negative, 1U);
  clock_.Advance(seconds(5));
  EXPECT_EQ(Begin(Key(2)).kind, Kind::kLead);
}

TEST_F(ResultCacheTest, FollowersWaitNoLongerThanTheirOwnDeadlineAndLeaveWhenCancelled) {
  Outcome lead = Begin(Key(1));
  const Context late = Context().WithDeadline(std::chrono::steady_clock::now() + milliseconds(10));
  EXPECT_EQ(Follow(Begin(Key(1)), late).get().error().reason(), "deadline");

  const Context left;
  auto joined = Follow(Begin(Key(1)), left);
  left.Cancel();
  EXPECT_EQ(joined.get().error().reason(), "cancelled");

  auto stays = Follow(Begin(Key(1)));
  lead.ticket->Fill(Value(1), Duration(1));
  EXPECT_EQ(NumberOf(stays.get()->value), 1U);
}

TEST_F(ResultCacheTest, EveryFollowerEndsHoweverLeadersAndFollowersGo) {
  for (std::uint64_t seed = 1; seed <= (kSanitized ? 20 : 60); ++seed) {
    std::mt19937_64 random(seed);
    std::optional<Outcome> lead = Begin(Key(1));
    ASSERT_EQ(lead->kind, Kind::kLead) << "seed " << seed;
    std::vector<Context> contexts(20);
    std::vector<std::future<Result<Outcome>>> joined;
    for (Context& ctx : contexts) {
      if (random() % 4 == 0) {
        ctx = ctx.WithDeadline(std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 3000));
      }
      joined.push_back(Follow(Begin(Key(1)), ctx));
    }
    lead.reset();
    for (const Context& ctx : contexts) {
      if (random() % 3 == 0) ctx.Cancel();
    }
    int leads = 0;
    // Each new leader fails with its own trouble, too, until nobody is left.
    while (!joined.empty()) {
      for (std::size_t i = 0; i < joined.size(); ++i) {
        if (joined[i].wait_for(seconds(0)) != std::future_status::ready) continue;
        Result<Outcome> end = joined[i].get();
        if (end.ok()) {
          ASSERT_EQ(end->kind, Kind::kLead);
          ++leads;
        }
        joined.erase(joined.begin() + static_cast<std::ptrdiff_t>(i));
        break;
      }
    }
    EXPECT_EQ(cache_.flights(), 0U) << "seed " << seed;
    EXPECT_GT(leads, 0) << "seed " << seed;
  }
}

TEST_F(ResultCacheTest, StaleResultsAreServedWhileOneCallerComputesAnew) {
  rules_.stale_for = seconds(30);
  Fill(Key(1), 1);
  clock_.Advance(seconds(60));

  Outcome first = Begin(Key(1));
  const Outcome second = Begin(Key(1));
  EXPECT_EQ(first.kind, Kind::kStale);
  EXPECT_EQ(NumberOf(first.value), 1U);
  ASSERT_TRUE(first.ticket.has_value());
  EXPECT_EQ(second.kind, Kind::kStale);
  EXPECT_FALSE(second.ticket.has_value());

  first.ticket->Fill(Value(2), milliseconds(1));
  const Outcome third = Begin(Key(1));
  EXPECT_EQ(third.kind, Kind::kHit);
  EXPECT_EQ(NumberOf(third.value), 2U);
  EXPECT_EQ(Statistics().stale, 2U);
  EXPECT_EQ(Statistics().refreshes, 1U);

  clock_.Advance(seconds(90));
  EXPECT_EQ(Begin(Key(1)).kind, Kind::kLead);
}

TEST_F(ResultCacheTest, ARefreshThatFailsLeavesTheOldResult) {
  rules_.stale_for = seconds(30);
  Fill(Key(1), 1);
  clock_.Advance(seconds(61));

  Begin(Key(1)).ticket->Fail(Unavailable("test", "test"));

  EXPECT_EQ(NumberOf(Begin(Key(1)).value), 1U);
}

TEST_F(ResultCacheTest, EarlyRefreshComesWithTheProbabilityOfXFetch) {
  // At one cost before the end: e to the power of minus 1.
  int refreshes = 0;
  constexpr int kCaches = 2000;
  for (int i = 0; i < kCaches; ++i) {
    MemoryTier tier({.max_bytes = 64 << 10, .max_shards = 1}, clock_);
    ResultCache cache({.jitter = 0, .seed = static_cast<std::uint64_t>(i)}, tier, clock_);
    const auto model = cache.Model("m");
    const TimePoint start = clock_.Now();
    cache.Begin(model, Key(1), rules_, start).ticket->Fill(Value(1), seconds(1));
    const Outcome hit = cache.Begin(model, Key(1), rules_, start + seconds(59));
    ASSERT_EQ(hit.kind, Kind::kHit);
    if (hit.ticket.has_value()) ++refreshes;
  }
  EXPECT_NEAR(static_cast<double>(refreshes) / kCaches, 0.368, 0.04);
}

TEST_F(ResultCacheTest, LifetimesVaryByTheJitter) {
  MemoryTier tier({}, clock_);
  ResultCache cache({.jitter = 0.1, .beta = 0}, tier, clock_);
  const auto model = cache.Model("m");
  const TimePoint start = clock_.Now();
  for (int i = 0; i < 1000; ++i) cache.Begin(model, Key(i), rules_, start).ticket->Fill(Value(1), {});
  const auto alive = [&](Duration after) {
    clock_.SetTo(start + after);
    int hits = 0;
    for (int i = 0; i < 1000; ++i) {
      if (cache.Begin(model, Key(i), rules_, clock_.Now()).kind == Kind::kHit) ++hits;
    }
    return hits;
  };

  EXPECT_EQ(alive(seconds(53)), 1000);
  EXPECT_NEAR(alive(seconds(57)), 750, 60);
  EXPECT_NEAR(alive(seconds(63)), 250, 60);
  EXPECT_EQ(alive(seconds(67)), 0);
}

TEST_F(ResultCacheTest, EntriesThatExpireTogetherAreComputedAnewAtASteadyPace) {
  MemoryTier tier({}, clock_);
  ResultCache cache({}, tier, clock_);
  const auto model = cache.Model("m");
  rules_.stale_for = seconds(60);
  constexpr int kEntries = kSanitized ? 1000 : 6000;
  std::vector<CacheKey> keys;
  keys.reserve(kEntries);
  for (int i = 0; i < kEntries; ++i) keys.push_back(Key(i));
  for (const CacheKey& key : keys) {
    cache.Begin(model, key, rules_, clock_.Now()).ticket->Fill(Value(1), milliseconds(5));
  }

  // Every entry is asked for about twice a second, in four lifetimes; the executions of each ten seconds.
  std::vector<int> executions;
  std::mt19937_64 random(5);
  constexpr double kSteady = kEntries / 60.0;
  for (int tick = 0; tick < 240 * 10; ++tick) {
    if (tick % 100 == 0) executions.push_back(0);
    clock_.Advance(milliseconds(100));
    for (int i = 0; i < kEntries / 5; ++i) {
      Outcome outcome = cache.Begin(model, keys[random() % keys.size()], rules_, clock_.Now());
      if (outcome.ticket.has_value()) {
        outcome.ticket->Fill(Value(2), milliseconds(5));
        ++executions.back();
      }
      ASSERT_NE(outcome.kind, Kind::kLead) << "nothing was lost";
    }
  }
  int total = 0;
  for (const int count : executions) {
    EXPECT_LE(count, 1.2 * kSteady * 10);
    total += count;
  }
  EXPECT_GE(total, kSteady * 120) << "and they were computed anew";
}

// Epochs.

TEST_F(ResultCacheTest, ARisenEpochHidesWhatIsOlderAndDropsLateResults) {
  Fill(Key(1), 1);
  Outcome old = Begin(Key(2));

  const std::uint64_t epoch = cache_.RaiseEpoch(model_);

  Outcome fresh = Begin(Key(2));
  EXPECT_EQ(Begin(Key(1)).kind, Kind::kLead);
  EXPECT_EQ(fresh.kind, Kind::kLead) << "shares nothing with the older execution";
  EXPECT_EQ(fresh.ticket->epoch(), epoch);
  old.ticket->Fill(Value(1), Duration(1));
  EXPECT_EQ(Begin(Key(2)).kind, Kind::kJoin);
  fresh.ticket->Fill(Value(2), Duration(1));
  EXPECT_EQ(NumberOf(Begin(Key(2)).value), 2U);
  EXPECT_EQ(Statistics().outdated, 1U);
}

TEST_F(ResultCacheTest, EpochsOfOthersAreLearnt) {
  EXPECT_TRUE(cache_.LearnEpoch(model_, 10));
  EXPECT_FALSE(cache_.LearnEpoch(model_, 10));
  EXPECT_FALSE(cache_.LearnEpoch(model_, 9));
  EXPECT_EQ(cache_.RaiseEpoch(model_), 11U);
  EXPECT_EQ(cache_.RaiseEpoch(model_, 20), 20U);
  EXPECT_EQ(cache_.RaiseEpoch(model_, 20), 21U);
}

TEST_F(ResultCacheTest, NobodyGetsAnAnswerOlderThanTheReleaseBeforeTheQuestion) {
  rules_.stale_for = seconds(60);
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    const auto model = cache_.Model("m" + std::to_string(seed));
    std::uint64_t release = 1;
    struct Execution {
      std::uint64_t answer;  ///< The release that it began with.
      std::size_t key;
      ResultCache::Ticket ticket;
    };
    struct Question {
      std::uint64_t least;
      std::size_t key;
      std::future<Result<Outcome>> end;
    };
    std::vector<Execution> executions;
    std::vector<Question> questions;
    const auto settle = [&] {
      for (std::size_t i = 0; i < questions.size();) {
        Question& question = questions[i];
        if (question.end.wait_for(Duration(0)) != std::future_status::ready) {
          ++i;
          continue;
        }
        Result<Outcome> end = question.end.get();
        ASSERT_TRUE(end.ok());
        if (end->kind == Kind::kLead) {
          executions.push_back({release, question.key, std::move(*end->ticket)});
        } else {
          ASSERT_GE(NumberOf(end->value), question.least) << "seed " << seed;
        }
        questions.erase(questions.begin() + static_cast<std::ptrdiff_t>(i));
      }
    };
    for (int step = 0; step < 300; ++step) {
      switch (random() % 12) {
        case 0:
          ++release;
          if (random() % 4 == 0) {
            cache_.Purge(model);
          } else {
            cache_.RaiseEpoch(model);
          }
          break;
        case 1:
          clock_.Advance(seconds(random() % 40));
          break;
        case 2:
        case 3:
        case 4: {
          if (executions.empty()) break;
          const std::size_t i = random() % executions.size();
          Execution execution = std::move(executions[i]);
          executions.erase(executions.begin() + static_cast<std::ptrdiff_t>(i));
          // One in four leaders goes without an answer.
          if (random() % 4 != 0) execution.ticket.Fill(Value(execution.answer), Duration(1));
          break;
        }
        default: {
          const std::size_t k = random() % 3;
          const CacheKey key =
              KeyBuilder("release").Integer(static_cast<std::int64_t>(seed * 10 + k)).Finish();
          Outcome outcome = cache_.Begin(model, key, rules_, clock_.Now());
          if (outcome.kind == Kind::kHit || outcome.kind == Kind::kStale) {
            ASSERT_EQ(NumberOf(outcome.value), release) << "seed " << seed << " step " << step;
          }
          if (outcome.ticket.has_value()) executions.push_back({release, k, std::move(*outcome.ticket)});
          if (outcome.kind == Kind::kJoin) questions.push_back({release, k, Follow(std::move(outcome))});
        }
      }
      settle();
    }
    const auto give_up = std::chrono::steady_clock::now() + seconds(20);
    while (!executions.empty() || !questions.empty()) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "seed " << seed;
      for (Execution& execution : executions) execution.ticket.Fill(Value(execution.answer), Duration(1));
      executions.clear();
      settle();
      std::this_thread::yield();
    }
    ASSERT_EQ(cache_.flights(), 0U);
  }
}

TEST_F(ResultCacheTest, ThreadsNeverSeeAnOldAnswerAfterARelease) {
  std::atomic<std::uint64_t> serving{1};   // What the model answers.
  std::atomic<std::uint64_t> released{1};  // What RaiseEpoch() has returned for.
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<std::uint64_t> hits{0};
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (std::uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      std::vector<CacheKey> keys;
      keys.reserve(4);
      for (int i = 0; i < 4; ++i) keys.push_back(Key(i));
      while (!stop.load()) {
        const std::uint64_t least = released.load();
        Outcome outcome = Begin(keys[random() % 4]);
        if (outcome.kind == Kind::kHit) {
          hits.fetch_add(1);
          if (NumberOf(outcome.value) < least) wrong.fetch_add(1);
        }
        if (outcome.ticket.has_value()) outcome.ticket->Fill(Value(serving.load()), Duration(1));
      }
    });
  }
  for (std::uint64_t release = 2; release < (kSanitized ? 500 : 2000); ++release) {
    serving.store(release);
    cache_.RaiseEpoch(model_);
    released.store(release);
    if (release % 16 == 0) std::this_thread::yield();
  }
  while (hits.load() < 100) std::this_thread::yield();
  stop.store(true);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0U);
}

TEST_F(ResultCacheTest, WithoutTrustEverythingBypasses) {
  Fill(Key(1), 1);
  cache_.SetTrusted(false);
  EXPECT_EQ(Begin(Key(1)).kind, Kind::kBypass);
  EXPECT_EQ(Begin(Key(2)).kind, Kind::kBypass);
  EXPECT_EQ(Statistics().bypasses, 2U);

  cache_.SetTrusted(true);
  EXPECT_EQ(Begin(Key(1)).kind, Kind::kHit);
}

TEST_F(ResultCacheTest, PurgeTakesOneModelsEntriesAndPurgeAllTheRest) {
  const auto other = cache_.Model("other");
  Fill(Key(1), 1);
  cache_.Begin(other, Key(2), rules_, clock_.Now()).ticket->Fill(Value(2), Duration(1));
  EXPECT_EQ(Statistics().entries, 1U);
  EXPECT_GE(Statistics().bytes, 100U);

  EXPECT_EQ(cache_.Purge(model_), 1U);
  EXPECT_EQ(Begin(Key(1)).kind, Kind::kLead);
  EXPECT_EQ(cache_.Begin(other, Key(2), rules_, clock_.Now()).kind, Kind::kHit);
  EXPECT_EQ(cache_.PurgeAll(), 1U);
  EXPECT_EQ(cache_.Begin(other, Key(2), rules_, clock_.Now()).kind, Kind::kLead);
  EXPECT_EQ(tier_.statistics().entries, 0U);
  EXPECT_EQ(cache_.statistics().size(), 2U);
}

TEST_F(ResultCacheTest, ACorrectionReplacesAnAnswerAlsoOneThatIsBeingComputed) {
  Fill(Key(1), 1);
  EXPECT_TRUE(cache_.Replace(model_, Key(1), rules_, Value(10)));
  EXPECT_EQ(NumberOf(Begin(Key(1)).value), 10U);

  Outcome lead = Begin(Key(2));
  EXPECT_TRUE(cache_.Replace(model_, Key(2), rules_, Value(20)));
  lead.ticket->Fill(Value(2), Duration(1));
  EXPECT_EQ(NumberOf(Begin(Key(2)).value), 20U);
}

TEST_F(ResultCacheTest, SingleFlightAloneKeepsNothing) {
  rules_ = {.single_flight_only = true};
  Outcome lead = Begin(Key(1));
  auto joined = Follow(Begin(Key(1)));
  lead.ticket->Fill(Value(1), Duration(1));

  EXPECT_EQ(NumberOf(joined.get()->value), 1U);
  EXPECT_EQ(Begin(Key(1)).kind, Kind::kLead);
  EXPECT_EQ(tier_.statistics().entries, 0U);
}

TEST_F(ResultCacheTest, LargeResultsAndThoseThatHaveExpiredAreNotKept) {
  rules_.max_entry_bytes = 1000;
  Begin(Key(1)).ticket->Fill(Value(1, 1001), Duration(1));
  EXPECT_EQ(Begin(Key(1)).kind, Kind::kLead);

  Begin(Key(2)).ticket->Fill(Value(1), Duration(1), clock_.Now() + seconds(3));
  EXPECT_EQ(Begin(Key(2)).kind, Kind::kHit);
  clock_.Advance(seconds(3));
  EXPECT_EQ(Begin(Key(2)).kind, Kind::kLead);
}

class ResultCacheBounds : public ResultCacheTest {
 protected:
  ResultCacheBounds()
      : ResultCacheTest({.max_models = 1, .max_flights = 2, .max_followers = 1, .jitter = 0}) {}
};

TEST_F(ResultCacheBounds, BeyondThemCallersComputeForThemselves) {
  EXPECT_EQ(cache_.Model("second"), nullptr);
  EXPECT_EQ(cache_.Begin(nullptr, Key(1), rules_, clock_.Now()).kind, Kind::kBypass);

  const Outcome first = Begin(Key(1));
  {
    const Outcome second = Begin(Key(2));
    EXPECT_EQ(Begin(Key(3)).kind, Kind::kBypass);
    const Outcome follower = Begin(Key(1));
    EXPECT_EQ(follower.kind, Kind::kJoin);
    EXPECT_EQ(Begin(Key(1)).kind, Kind::kBypass);
  }
  EXPECT_EQ(Begin(Key(3)).kind, Kind::kLead);
  EXPECT_EQ(Begin(Key(1)).kind, Kind::kJoin);
}

}  // namespace
}  // namespace mezzo::cache
