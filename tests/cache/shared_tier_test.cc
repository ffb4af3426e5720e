#include "mezzo/cache/shared_tier.h"

#include <array>
#include <atomic>
#include <coroutine>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/cache/shared_tier_metrics.h"
#include "mezzo/drivers/memory/memory_kv_store.h"
#include "mezzo/observe/exposition.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/scope.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::cache {
namespace {

using runtime::Context;
using runtime::Task;
using std::chrono::milliseconds;
using std::chrono::seconds;
using storage::KvStore;
using Kind = SharedTier::Kind;

/// Time that passes when everybody waits: one thread, no sleep, the same course for the same seed.
class Time {
 public:
  testing::ManualClock clock;

  Task<Result<void>> Sleep(Context ctx, TimePoint when) {
    const TimePoint wake = std::min(when, ctx.deadline());
    co_await Pause{*this, wake};
    if (ctx.cancelled()) co_return Cancelled("cancelled", "cancelled");
    if (ctx.deadline() < when) co_return DeadlineExceeded("deadline", "late");
    co_return Result<void>();
  }
  /// Until nobody waits, or `limit`.
  void Run(Duration limit = std::chrono::hours(1)) {
    const TimePoint end = clock.Now() + limit;
    while (!waiting_.empty() && waiting_.begin()->first <= end) {
      const auto [when, handle] = *waiting_.begin();
      waiting_.erase(waiting_.begin());
      if (when > clock.Now()) clock.SetTo(when);
      handle.resume();
    }
  }

 private:
  struct Pause {
    Time& time;
    TimePoint when;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const { time.waiting_.emplace(when, handle); }
    void await_resume() const noexcept {}
  };
  std::multimap<TimePoint, std::coroutine_handle<>> waiting_;
};

/// A way to a store that fails at chosen calls, is slow, is cut, or lies.
class Link final : public KvStore {
 public:
  Link(KvStore& inner, Time& time) : inner_(inner), time_(time) {}

  int calls = 0;
  int fail_at = 0;             ///< The call of this number fails; 0: none.
  bool after = false;          ///< It fails after it was done.
  bool cut = false;            ///< All fail.
  Duration delay{};            ///< Of every call, before it is done.
  std::string* lie = nullptr;  ///< What Get() answers.

  Task<Result<std::vector<std::optional<std::string>>>> Get(Context ctx,
                                                            std::vector<std::string> keys) override {
    const bool fails = Fails();
    if (auto away = co_await Wait(ctx, fails)) co_return *std::move(away);
    auto found = co_await inner_.Get(ctx, std::move(keys));
    if (fails) co_return Away();
    if (found.ok() && lie != nullptr) (*found)[0] = *lie;
    co_return found;
  }
  Task<Result<void>> Set(Context ctx, std::string key, std::string value, Duration lifetime) override {
    co_return co_await inner_.Set(std::move(ctx), std::move(key), std::move(value), lifetime);
  }
  Task<Result<std::int64_t>> Erase(Context ctx, std::vector<std::string> keys) override {
    co_return co_await inner_.Erase(std::move(ctx), std::move(keys));
  }
  Task<Result<Lease>> Acquire(Context ctx, std::string key, std::string owner, Duration lifetime) override {
    const bool fails = Fails();
    if (auto away = co_await Wait(ctx, fails)) co_return *std::move(away);
    auto lease = co_await inner_.Acquire(ctx, std::move(key), std::move(owner), lifetime);
    if (fails) co_return Away();
    co_return lease;
  }
  Task<Result<bool>> SetAndRelease(Context ctx, std::string key, std::string value, Duration lifetime,
                                   std::string lease_key, std::uint64_t fence) override {
    const bool fails = Fails();
    if (auto away = co_await Wait(ctx, fails)) co_return *std::move(away);
    auto done = co_await inner_.SetAndRelease(ctx, std::move(key), std::move(value), lifetime,
                                              std::move(lease_key), fence);
    if (fails) co_return Away();
    co_return done;
  }
  Task<Result<bool>> Release(Context ctx, std::string lease_key, std::uint64_t fence) override {
    const bool fails = Fails();
    if (auto away = co_await Wait(ctx, fails)) co_return *std::move(away);
    auto done = co_await inner_.Release(ctx, std::move(lease_key), fence);
    if (fails) co_return Away();
    co_return done;
  }
  Task<Result<void>> Publish(Context ctx, std::string channel, std::string payload) override {
    return inner_.Publish(std::move(ctx), std::move(channel), std::move(payload));
  }
  std::shared_ptr<void> Subscribe(std::string channel, Listener listener) override {
    return inner_.Subscribe(std::move(channel), std::move(listener));
  }

 private:
  static Error Away() { return Unavailable("kv_unavailable", "injected"); }
  bool Fails() { return ++calls == fail_at; }
  /// The failure, when the call is not to be done.
  Task<std::optional<Error>> Wait(Context ctx, bool fails) {
    if (cut || (fails && !after)) co_return Away();
    if (delay <= Duration::zero()) co_return std::nullopt;
    const auto slept = co_await time_.Sleep(ctx, time_.clock.Now() + delay);
    if (!slept.ok()) co_return DeadlineExceeded("kv_timeout", "slow");
    co_return std::nullopt;
  }

  KvStore& inner_;
  Time& time_;
};

CacheKey Key(std::int64_t n) { return KeyBuilder("test").Integer(n).Finish(); }

struct Host {
  Host(KvStore& store, Time& time, runtime::BlockingPool& pool, int number, SharedTier::Options options = {})
      : link(store, time),
        tier(Named(std::move(options), number),
             {.store = link,
              .clock = time.clock,
              .waits = registry.NewHistogram("mezzo_test_wait_seconds", "Waits."),
              .pool = pool,
              .spawn =
                  [this](const SharedTier::Work& work) {
                    if (!spawns) return false;
                    runtime::Start(work(background), [](const Result<void>&) {});
                    return true;
                  },
              .sleep = [&time](Context ctx, TimePoint when) { return time.Sleep(std::move(ctx), when); }}) {}

  static SharedTier::Options Named(SharedTier::Options options, int number) {
    if (options.secret.empty()) options.secret = std::string(64, 'a');
    options.host = "host-" + std::to_string(number);
    options.seed = static_cast<std::uint64_t>(number);
    options.offload_from = UINT64_MAX;  // All on one thread.
    return options;
  }

  Link link;
  observe::Registry registry;
  Context background;
  bool spawns = true;
  SharedTier tier;
};

/// What became of a caller.
struct Call {
  std::optional<Kind> kind;
  std::string answer;
  std::optional<Error> error;
  bool waited = false;
  bool cancelled = false;
  TimePoint ended{};
};

class SharedTierTest : public ::testing::Test {
 protected:
  ~SharedTierTest() override {
    for (auto& host : hosts_) host->background.Cancel();
    time_.Run();
  }

  Host& AddHost(SharedTier::Options options = {}) {
    hosts_.push_back(
        std::make_unique<Host>(store_, time_, pool_, static_cast<int>(hosts_.size()), std::move(options)));
    return *hosts_.back();
  }
  /// A caller that computes `answer` in `run` when it has to.
  std::shared_ptr<Call> Ask(Host& host, CacheKey key, std::string answer, Duration run = milliseconds(10),
                            std::uint64_t epoch = 1, Context ctx = Context()) {
    auto call = std::make_shared<Call>();
    SharedTier::Question question{.key = std::move(key), .epoch = epoch, .predicted = predicted_};
    runtime::Start(Serve(std::move(ctx), &host, std::move(question), std::move(answer), run, call),
                   [](const Result<void>&) {});
    return call;
  }
  Task<Result<void>> Serve(Context ctx, Host* host, SharedTier::Question question, std::string answer,
                           Duration run, std::shared_ptr<Call> call) {
    auto begun = co_await host->tier.Begin(ctx, std::move(question));
    if (!begun.ok()) {
      call->cancelled = begun.error().code() == Code::kCancelled;
      co_return begun.error();
    }
    call->kind = begun->kind;
    call->waited = begun->waited;
    if (begun->kind == Kind::kFound) {
      call->answer = begun->payload;
      call->error = begun->error;
    } else {
      ++executions_;
      MEZZO_CO_TRY_VOID(co_await time_.Sleep(ctx, time_.clock.Now() + run));
      call->answer = answer;
      if (begun->lease) {
        auto encode = [answer] { return answer; };
        begun->lease->Store(std::move(encode), answer.size(), run, ttl_);
      }
    }
    call->ended = time_.clock.Now();
    co_return Result<void>();
  }

  /// What the store has under the name of the key in epoch 1.
  std::string Stored(const CacheKey& key) {
    const Sha256Digest realm = HmacSha256(std::string(64, 'a'), "realm");
    std::vector<std::string> names = {"cache:" + HexEncode(std::span(realm).first(8)) + ":" +
                                      HexEncode(key.Digest()) + ":1"};
    return runtime::SyncWait(store_.Get(Context(), std::move(names))).value()[0].value();
  }

  runtime::BlockingPool pool_{{.name = "test", .threads = 1, .max_queued = 16}};
  Time time_;
  drivers::MemoryKvStore store_{{}, time_.clock};
  std::vector<std::unique_ptr<Host>> hosts_;
  int executions_ = 0;
  Duration ttl_ = std::chrono::minutes(10);
  Duration predicted_ = milliseconds(10);
};

TEST_F(SharedTierTest, WhatOneHostComputedIsFoundByTheOthers) {
  Host& a = AddHost();
  Host& b = AddHost();
  const auto first = Ask(a, Key(1), "one");
  time_.Run(seconds(1));
  const auto second = Ask(b, Key(1), "never");
  const auto other = Ask(b, Key(2), "two");
  time_.Run(seconds(1));

  EXPECT_EQ(first->kind, Kind::kLead);
  EXPECT_EQ(second->kind, Kind::kFound);
  EXPECT_EQ(second->answer, "one");
  EXPECT_FALSE(second->waited);
  EXPECT_EQ(other->kind, Kind::kLead);
  EXPECT_EQ(b.tier.statistics().hits, 1U);
  EXPECT_EQ(a.tier.statistics().stored, 1U);
  EXPECT_EQ(a.tier.statistics().leases, 0U);
  EXPECT_GT(a.tier.statistics().bytes_written, 3U);
}

TEST_F(SharedTierTest, OfAllHostsOneComputesWhateverTheTimes) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    const auto upto = [&](int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); };
    const std::array<Host*, 3> hosts = {&AddHost(), &AddHost(), &AddHost()};
    for (Host* host : hosts) host->link.delay = milliseconds(upto(10));
    executions_ = 0;
    predicted_ = milliseconds(upto(200));
    const Duration run = milliseconds(1 + upto(8000));
    std::vector<std::shared_ptr<Call>> calls;
    calls.reserve(12);
    for (int i = 0; i < 12; ++i) {
      time_.Run(milliseconds(upto(20)));
      calls.push_back(Ask(*hosts[static_cast<std::size_t>(upto(3))], Key(static_cast<int>(seed)), "x", run));
    }
    time_.Run(seconds(200));
    EXPECT_EQ(executions_, 1) << "seed " << seed;
    for (const auto& call : calls) EXPECT_EQ(call->answer, "x") << "seed " << seed;
    hosts_.clear();
  }
}

TEST_F(SharedTierTest, WaitersHaveTheAnswerSoonAfterTheHolder) {
  Host& a = AddHost();
  Host& b = AddHost();
  const auto lead = Ask(a, Key(1), "x", seconds(20));
  const auto join = Ask(b, Key(1), "y");
  time_.Run(seconds(60));

  EXPECT_EQ(join->kind, Kind::kFound);
  EXPECT_TRUE(join->waited);
  EXPECT_EQ(join->answer, "x");
  EXPECT_LT(join->ended - lead->ended, milliseconds(100));
  EXPECT_EQ(b.tier.statistics().joins, 1U);
}

TEST_F(SharedTierTest, AHolderThatDiesIsFollowedByOneOfThoseWhoWait) {
  Host& dead = AddHost();
  Host& b = AddHost();
  Host& c = AddHost();
  const auto lost = Ask(dead, Key(1), "lost", std::chrono::hours(1));
  const auto second = Ask(b, Key(1), "x", milliseconds(50));
  const auto third = Ask(c, Key(1), "x", milliseconds(50));
  dead.link.cut = true;  // Nothing of it reaches the store any more.
  const TimePoint begun = time_.clock.Now();
  time_.Run(seconds(30));

  EXPECT_EQ(executions_, 2);
  EXPECT_EQ(second->answer, "x");
  EXPECT_EQ(third->answer, "x");
  EXPECT_LT(std::max(second->ended, third->ended) - begun, seconds(3)) << "a lease's life, and the run";
}

TEST_F(SharedTierTest, AHolderThatWasOvertakenDoesNotOverwrite) {
  Host& slow = AddHost();
  Host& b = AddHost();
  const auto overtaken = Ask(slow, Key(1), "old", seconds(10));
  slow.link.cut = true;
  time_.Run(seconds(4));
  const auto second = Ask(b, Key(1), "new");
  time_.Run(seconds(2));
  EXPECT_EQ(second->kind, Kind::kLead);
  slow.link.cut = false;  // It comes back before it has its result.
  time_.Run(seconds(30));

  EXPECT_EQ(overtaken->answer, "old") << "its own callers have what it computed";
  EXPECT_EQ(slow.tier.statistics().overtaken, 1U);
  EXPECT_EQ(Ask(b, Key(1), "never")->answer, "new");
}

TEST_F(SharedTierTest, ALeadThatIsGivenUpGoesToTheNextAtOnce) {
  Host& a = AddHost();
  Host& b = AddHost();
  const Context gone;
  const auto first = Ask(a, Key(1), "never", seconds(50), 1, gone);
  const auto second = Ask(b, Key(1), "x");
  gone.Cancel();
  // The caller hears of it at its next turn; here that is the end of its run.
  time_.Run(seconds(49));
  EXPECT_FALSE(second->kind.has_value());
  time_.Run(seconds(5));
  EXPECT_EQ(second->kind, Kind::kLead);
  EXPECT_TRUE(second->waited);
  EXPECT_EQ(a.tier.statistics().leases, 0U);
}

TEST_F(SharedTierTest, ErrorsAndRefusalsAreShared) {
  Host& a = AddHost();
  Host& b = AddHost();
  SharedTier::Question question{.key = Key(1), .epoch = 1};
  runtime::Start(a.tier.Begin(Context(), question), [](Result<SharedTier::Outcome> outcome) {
    ASSERT_EQ(outcome->kind, Kind::kLead);
    outcome->lease->StoreError(InvalidArgument("tensor_size", "too small"), milliseconds(1), seconds(10));
  });
  question.key = Key(2);
  runtime::Start(a.tier.Begin(Context(), question),
                 [](Result<SharedTier::Outcome> outcome) { outcome->lease->Refuse(seconds(10)); });

  const auto error = Ask(b, Key(1), "never");
  const auto refused = Ask(b, Key(2), "own");
  time_.Run(seconds(1));
  ASSERT_TRUE(error->error.has_value());
  EXPECT_EQ(error->error->ToString(), "INVALID_ARGUMENT tensor_size: too small");
  EXPECT_EQ(refused->kind, Kind::kAlone);
  EXPECT_EQ(refused->answer, "own");
  EXPECT_EQ(b.tier.statistics().refused, 1U);
  time_.clock.Advance(seconds(12));
  EXPECT_EQ(Ask(b, Key(1), "again")->kind, Kind::kLead) << "kept for its own time only";
}

TEST_F(SharedTierTest, OnlyTheSameEpochAndTheSameSecretAreServed) {
  Host& a = AddHost();
  Host& b = AddHost();
  Ask(a, Key(1), "one", milliseconds(1), 1);
  time_.Run(seconds(1));
  EXPECT_EQ(Ask(b, Key(1), "two", milliseconds(1), 2)->kind, Kind::kLead);
  time_.Run(seconds(1));
  const auto lagging = Ask(a, Key(1), "never", milliseconds(1), 1);
  const auto present = Ask(a, Key(1), "never", milliseconds(1), 2);
  EXPECT_EQ(lagging->answer, "one");
  EXPECT_EQ(present->answer, "two");
  Host& stranger = AddHost({.secret = std::string(64, 'b')});
  EXPECT_EQ(Ask(stranger, Key(1), "own", milliseconds(1), 1)->kind, Kind::kLead);
}

TEST_F(SharedTierTest, AnEntryUnderAnotherKeysNameIsCorrupt) {
  Host& a = AddHost();
  Ask(a, Key(1), "one");
  time_.Run(seconds(1));
  // The whole entry of key 1, as the store has it, is the answer to every question.
  std::string taken = Stored(Key(1));
  a.link.lie = &taken;
  const auto other = Ask(a, Key(2), "two");
  const auto epoch = Ask(a, Key(1), "three", milliseconds(1), 9);
  time_.Run(seconds(1));
  EXPECT_EQ(other->answer, "two");
  EXPECT_EQ(epoch->answer, "three");
  EXPECT_GE(a.tier.statistics().corrupt, 2U);
}

TEST_F(SharedTierTest, GarbledEntriesAreAbsent) {
  Host& a = AddHost();
  std::mt19937_64 random(3);
  for (int round = 0; round < 50; ++round) {
    std::string garbage;
    for (std::size_t i = random() % 200; i > 0; --i) garbage.push_back(static_cast<char>(random()));
    a.link.lie = &garbage;
    const auto call = Ask(a, Key(round), "computed");
    time_.Run(seconds(1));
    EXPECT_EQ(call->answer, "computed");
  }
  EXPECT_EQ(a.tier.statistics().corrupt, 100U) << "each lead looks twice";
}

TEST_F(SharedTierTest, AnEntryPastItsTimeIsNotServedWhateverTheStoreSays) {
  ttl_ = seconds(10);
  Host& a = AddHost();
  Ask(a, Key(1), "old");
  time_.Run(seconds(1));
  std::string kept = Stored(Key(1));
  time_.clock.Advance(seconds(12));
  a.link.lie = &kept;
  EXPECT_EQ(Ask(a, Key(1), "new")->kind, Kind::kLead);
}

TEST_F(SharedTierTest, ARefreshTakesOnlyWhatIsNew) {
  Host& a = AddHost();
  Ask(a, Key(1), "old");
  time_.Run(seconds(1));
  time_.clock.Advance(std::chrono::minutes(6));
  SharedTier::Question question{.key = Key(1), .epoch = 1, .min_left = std::chrono::minutes(5)};
  std::optional<Kind> kind;
  runtime::Start(a.tier.Begin(Context(), question),
                 [&](Result<SharedTier::Outcome> outcome) { kind = outcome->kind; });
  EXPECT_EQ(kind, Kind::kLead);
}

TEST_F(SharedTierTest, EveryCallOfTheStoreMayFail) {
  for (const bool after : {false, true}) {
    for (int victim = 0; victim < 3; ++victim) {
      int fail_at = 1;
      for (bool untouched = false; !untouched; ++fail_at) {
        const std::array<Host*, 3> hosts = {&AddHost(), &AddHost(), &AddHost()};
        Link& link = hosts[static_cast<std::size_t>(victim)]->link;
        link.fail_at = fail_at;
        link.after = after;
        executions_ = 0;
        const int name = 10'000 + victim * 1000 + fail_at * 2 + (after ? 1 : 0);
        std::vector<std::shared_ptr<Call>> calls;
        calls.reserve(hosts.size());
        for (Host* host : hosts) calls.push_back(Ask(*host, Key(name), "x", milliseconds(1700)));
        time_.Run(seconds(20));
        untouched = link.calls < fail_at;
        EXPECT_GE(executions_, 1);
        EXPECT_LE(executions_, untouched ? 1 : 3);
        for (const auto& call : calls) EXPECT_EQ(call->answer, "x") << victim << " " << fail_at;
        for (Host* host : hosts) {
          EXPECT_EQ(host->tier.statistics().leases, 0U);
          EXPECT_EQ(host->tier.statistics().pending, 0U);
        }
        hosts_.clear();
        ASSERT_LT(fail_at, 1000);
      }
      EXPECT_GT(fail_at, 5) << "victim " << victim;
    }
  }
}

TEST_F(SharedTierTest, AStoreThatIsAwayCostsNothingAndIsTriedAgain) {
  Host& a = AddHost();
  a.link.cut = true;
  for (int i = 0; i < 1000; ++i) {
    const auto call = Ask(a, Key(i), "alone", milliseconds(1));
    EXPECT_EQ(call->kind, Kind::kAlone);
  }
  EXPECT_EQ(a.link.calls, 5) << "then the breaker is open";
  EXPECT_FALSE(a.tier.statistics().healthy);
  EXPECT_EQ(a.tier.statistics().failures, 1000U);

  a.link.cut = false;
  time_.clock.Advance(seconds(1));
  EXPECT_EQ(Ask(a, Key(1), "x")->kind, Kind::kLead);
  time_.Run(seconds(1));
  EXPECT_TRUE(a.tier.statistics().healthy);
}

TEST_F(SharedTierTest, ASlowStoreCostsItsBudgetAFewTimes) {
  Host& a = AddHost();
  a.link.delay = seconds(1);
  const TimePoint begun = time_.clock.Now();
  int alone = 0;
  for (int i = 0; i < 100; ++i) {
    const auto call = Ask(a, Key(i), "alone", Duration::zero());
    time_.Run(milliseconds(50));
    EXPECT_EQ(call->answer, "alone");
    alone += call->kind == Kind::kAlone ? 1 : 0;
  }
  EXPECT_EQ(alone, 100);
  EXPECT_LE(a.link.calls, 5 + 10);
  EXPECT_LE(time_.clock.Now() - begun, seconds(5));
}

TEST_F(SharedTierTest, AWaiterGoesAloneWhileItsDeadlineAllowsIt) {
  Host& a = AddHost();
  Host& b = AddHost();
  predicted_ = milliseconds(100);
  Ask(a, Key(1), "late", seconds(30));
  const Context patient = Context().WithDeadline(time_.clock.Now() + seconds(2));
  const auto own = Ask(b, Key(1), "own", milliseconds(100), 1, patient);
  time_.Run(seconds(3));
  EXPECT_EQ(own->kind, Kind::kAlone);
  EXPECT_EQ(own->answer, "own") << "in time";
  EXPECT_EQ(b.tier.statistics().late, 1U);
}

TEST_F(SharedTierTest, ACallerThatIsCancelledWaitsNoLonger) {
  Host& a = AddHost();
  Host& b = AddHost();
  Ask(a, Key(1), "x", seconds(30));
  const Context gone;
  const auto call = Ask(b, Key(1), "never", seconds(1), 1, gone);
  time_.Run(seconds(1));
  gone.Cancel();
  time_.Run(seconds(1));
  EXPECT_TRUE(call->cancelled);
  EXPECT_FALSE(call->kind.has_value());
}

TEST_F(SharedTierTest, WhatCantBeStoredInTimeIsDropped) {
  Host& a = AddHost({.max_pending = 3, .writers = 1});
  std::vector<std::shared_ptr<Call>> calls;
  calls.reserve(20);
  for (int i = 0; i < 20; ++i) calls.push_back(Ask(a, Key(i), "x", milliseconds(10)));
  a.link.delay = milliseconds(20);  // From here on, so that writes pile up.
  time_.Run(seconds(30));
  for (const auto& call : calls) EXPECT_EQ(call->answer, "x");
  const auto statistics = a.tier.statistics();
  EXPECT_EQ(statistics.stored, 4U) << "one under way, and three that waited";
  EXPECT_EQ(statistics.dropped, 16U);
  EXPECT_EQ(statistics.leases, 0U);
}

TEST_F(SharedTierTest, WhatTheStoreFindsTooLargeIsRefused) {
  drivers::MemoryKvStore small({.max_value_bytes = 500}, time_.clock);
  Host a(small, time_, pool_, 50);
  Host b(small, time_, pool_, 51);
  const auto lead = Ask(a, Key(1), std::string(1000, 'x'));
  const auto other = Ask(b, Key(1), "own");
  time_.Run(seconds(1));
  EXPECT_EQ(lead->kind, Kind::kLead);
  EXPECT_EQ(other->kind, Kind::kAlone);
  EXPECT_EQ(other->answer, "own");
  time_.Run(seconds(1));
}

TEST_F(SharedTierTest, AServerThatEndsStoresNothingAndHoldsNothing) {
  Host& a = AddHost();
  a.spawns = false;
  const auto call = Ask(a, Key(1), "x");
  time_.Run(seconds(1));
  EXPECT_EQ(call->answer, "x");
  EXPECT_EQ(a.tier.statistics().leases, 0U);
  EXPECT_EQ(a.tier.statistics().pending, 0U);
}

TEST_F(SharedTierTest, AResultThatCouldNotBeStoredKeepsNobodyWaiting) {
  predicted_ = seconds(5);  // The lease lives 20 s.
  Host& a = AddHost();
  Host& b = AddHost();
  const auto lead = Ask(a, Key(1), "x", milliseconds(100));
  const auto other = Ask(b, Key(1), "x", milliseconds(100));
  a.link.fail_at = a.link.calls + 1;  // The storing.
  time_.Run(seconds(3));
  EXPECT_EQ(lead->answer, "x");
  EXPECT_EQ(other->kind, Kind::kLead);
  EXPECT_EQ(other->answer, "x");
  EXPECT_EQ(a.tier.statistics().dropped, 1U);
}

TEST_F(SharedTierTest, MetricsShowWhatItDid) {
  Host& a = AddHost();
  SharedTierMetrics metrics(a.registry, [&a] { return a.tier.statistics(); });
  Ask(a, Key(1), "x");
  time_.Run(seconds(1));
  Ask(a, Key(1), "never");
  const std::string page = observe::Render(a.registry, observe::ExpositionFormat::kOpenMetrics);
  EXPECT_NE(page.find("mezzo_cache_shared_calls_total{outcome=\"lead\"} 1"), std::string::npos) << page;
  EXPECT_NE(page.find("mezzo_cache_shared_calls_total{outcome=\"hit\"} 1"), std::string::npos);
  EXPECT_NE(page.find("mezzo_cache_shared_stores_total{outcome=\"stored\"} 1"), std::string::npos);
  EXPECT_NE(page.find("mezzo_cache_shared_breaker_open 0"), std::string::npos);
}

TEST_F(SharedTierTest, AStoreThatForgetsEverythingCostsARunMore) {
  Host& a = AddHost();
  Host& b = AddHost();
  const auto lead = Ask(a, Key(1), "x", seconds(1));
  const auto other = Ask(b, Key(1), "x", seconds(1));
  time_.Run(milliseconds(100));
  store_.Clear();
  time_.Run(seconds(30));
  EXPECT_EQ(lead->answer, "x");
  EXPECT_EQ(other->answer, "x");
  EXPECT_LE(executions_, 2);
  EXPECT_EQ(Ask(b, Key(1), "never")->answer, "x");
}

/// The same on threads, with real pauses and entries that are sealed in a pool.
TEST(SharedTierOnLoops, ManyCallersOfThreeHostsRunEachKeyOnce) {
  constexpr int kKeys = 8;
  constexpr int kCallers = 240;
  RealClock clock;
  drivers::MemoryKvStore store({}, clock);
  observe::Registry registry;
  runtime::BlockingPool pool({.name = "test", .threads = 2, .max_queued = 512});
  runtime::IoThreads loops(3);
  runtime::Scope callers;
  runtime::Scope background;
  std::vector<std::unique_ptr<SharedTier>> hosts;
  hosts.reserve(3);
  for (std::size_t i = 0; i < 3; ++i) {
    hosts.push_back(std::make_unique<SharedTier>(
        SharedTier::Options{.secret = std::string(64, 'a'),
                            .host = "host-" + std::to_string(i),
                            .call_timeout = seconds(10),
                            .min_lease = seconds(30),
                            .offload_from = 1},
        SharedTier::Ports{.store = store,
                          .clock = clock,
                          .waits = registry.NewHistogram("mezzo_test_wait_seconds", "Waits."),
                          .pool = pool,
                          .spawn = [&loops, &background, i](SharedTier::Work work) {
                            return background.Spawn(loops.loop(i), Context(), std::move(work));
                          }}));
  }
  std::array<std::atomic<int>, kKeys> runs{};
  std::atomic<int> right{0};
  struct Caller {
    static Task<Result<void>> Run(Context ctx, SharedTier* tier, int key, std::atomic<int>* ran,
                                  std::atomic<int>* right) {
      SharedTier::Question question{.key = Key(key), .epoch = 1};
      MEZZO_CO_TRY(SharedTier::Outcome outcome, co_await tier->Begin(ctx, std::move(question)));
      std::string answer(1000, static_cast<char>('a' + key));
      if (outcome.kind == Kind::kFound) {
        *right += outcome.payload == answer ? 1 : 0;
        co_return Result<void>();
      }
      *ran += 1;
      MEZZO_CO_TRY_VOID(co_await runtime::SleepUntil(ctx, RealClock().Now() + milliseconds(20)));
      *right += 1;
      if (outcome.lease) {
        outcome.lease->Store([answer] { return answer; }, answer.size(), milliseconds(20), seconds(600));
      }
      co_return Result<void>();
    }
  };
  for (int i = 0; i < kCallers; ++i) {
    const auto at = static_cast<std::size_t>(i % 3);
    const int key = i / 3 % kKeys;
    ASSERT_TRUE(callers.Spawn(loops.loop(at), Context(), [&, at, key](Context ctx) {
      return Caller::Run(std::move(ctx), hosts[at].get(), key, &runs[static_cast<std::size_t>(key)], &right);
    }));
  }
  const TimePoint limit = clock.Now() + seconds(120);
  while (callers.running() > 0 && clock.Now() < limit) std::this_thread::sleep_for(milliseconds(5));

  EXPECT_EQ(right.load(), kCallers);
  for (const auto& ran : runs) EXPECT_EQ(ran.load(), 1);
  EXPECT_TRUE(background.Stop(seconds(60)));
  EXPECT_TRUE(callers.Stop(seconds(60)));
  loops.Stop();
}

}  // namespace
}  // namespace mezzo::cache
