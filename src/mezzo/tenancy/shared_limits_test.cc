#include "mezzo/tenancy/shared_limits.h"

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/storage/gcra.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::tenancy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using storage::TokenStore;
using testing::ManualClock;

CallerRef MakeCaller(const std::string& tenant, std::uint32_t index = 0) {
  auto made = std::make_shared<Tenant>();
  made->id = TenantId(tenant);
  made->index = index;
  auto caller = std::make_shared<Caller>();
  caller->tenant = std::move(made);
  return caller;
}

Limit Rate(double rate, double burst, std::uint8_t per = kPerAll) {
  return CheckLimit({.name = "r", .per = per, .kind = LimitKind::kRequests, .rate = rate, .burst = burst})
      .value();
}

/// A token store as a table, the same arithmetic as the drivers', without coroutines.
class Table {
 public:
  explicit Table(const Clock& clock) : clock_(clock) {}

  TokenStore::TokenGrant Take(const TokenStore::TokenRequest& request) {
    EXPECT_TRUE(storage::GcraLimit::IsValid(request.per_second, request.burst));
    const double now = Seconds(clock_.Now().time_since_epoch()) * 1e6;
    double& full_at = buckets_[request.key];
    const auto outcome = storage::GcraLimit::Of(request.per_second, request.burst)
                             .Take(full_at, std::floor(now), request.want);
    full_at = outcome.full_at;
    return {.granted = outcome.granted, .left = outcome.left};
  }
  TokenStore::PermitGrant Hold(const TokenStore::PermitRequest& request) {
    auto& hosts = permits_[request.key];
    std::int64_t others = 0;
    for (const auto& [host, held] : hosts) others += host == request.host ? 0 : held;
    std::int64_t& own = hosts[request.host];
    own = std::min(request.hold, std::max(own, std::max<std::int64_t>(0, request.limit - others)));
    return {.held = own, .free = std::max<std::int64_t>(0, request.limit - others - own)};
  }
  void Clear() {
    buckets_.clear();
    permits_.clear();
  }
  /// All buckets as empty as they can be.
  void Drain(const TokenStore::TokenRequest& like) {
    for (auto& [key, full_at] : buckets_) {
      auto request = like;
      request.key = key;
      request.want = 1'000'000;
      Take(request);
    }
  }

 private:
  const Clock& clock_;
  std::map<std::string, double> buckets_;
  std::map<std::string, std::map<std::string, std::int64_t>> permits_;
};

struct Host {
  Host(const std::string& name, const Clock& clock) : limiter({}, clock), sharing({}, name, limiter, clock) {}

  Limiter limiter;
  SharedLimits sharing;
  double per_second = 0;  // Asked by its callers.
  double owed = 0;        // Of calls still to be made.
  std::uint64_t admitted = 0;
  // The round that is under way.
  struct Flight {
    SharedLimits::Asking asking;
    TimePoint arrives{};
    TimePoint returns{};
    bool arrived = false;
    std::optional<SharedLimits::Answers> answers;
  };
  std::optional<Flight> flight;
};

/// Three hosts, one limit and one store, in steps of a millisecond.
class Fleet {
 public:
  explicit Fleet(const std::vector<Limit>& limits, unsigned seed = 1, std::size_t hosts = 3) : random_(seed) {
    for (std::size_t i = 0; i < hosts; ++i) {
      hosts_.push_back(std::make_unique<Host>("host-" + std::to_string(i), clock_));
      hosts_.back()->limiter.Replace(limits);
    }
  }

  void Run(Duration time) {
    for (const TimePoint end = clock_.Now() + time; clock_.Now() < end;) Step();
  }
  void Demand(const std::vector<double>& per_second) {
    for (std::size_t i = 0; i < hosts_.size(); ++i) hosts_[i]->per_second = per_second[i];
  }

  /// The least and the most that passed in any window of `width` from step `from` on, a second.
  std::pair<double, double> Windows(std::size_t from, std::size_t width) const {
    double sum = 0;
    double least = 1e18;
    double most = 0;
    for (std::size_t i = from; i < passed_.size(); ++i) {
      sum += passed_[i];
      if (i + 1 - from < width) continue;
      if (i + 1 - from > width) sum -= passed_[i - width];
      least = std::min(least, sum);
      most = std::max(most, sum);
    }
    const double scale = 1000.0 / static_cast<double>(width);
    return {least * scale, most * scale};
  }
  [[nodiscard]] std::size_t steps() const { return passed_.size(); }
  [[nodiscard]] std::uint64_t admitted() const {
    std::uint64_t all = 0;
    for (const auto& host : hosts_) all += host->admitted;
    return all;
  }

  bool Call(Host& host, LimitState* state = nullptr, double cost = 0) {
    const bool passed = host.limiter.Admit({.caller = *caller_, .model = "m", .cost_ms = cost}, state).ok();
    host.admitted += passed ? 1 : 0;
    return passed;
  }
  Host& host(std::size_t i) { return *hosts_[i]; }
  void SetLatency(Duration least, Duration most) { latency_ = {Seconds(least), Seconds(most)}; }

  ManualClock clock_;
  Table table_{clock_};
  bool store_up = true;

 private:
  void Step() {
    clock_.Advance(milliseconds(1));
    double passed = 0;
    for (const auto& host : hosts_) {
      Exchange(*host);
      host->owed += host->per_second / 1000 * std::uniform_real_distribution(0.5, 1.5)(random_);
      for (; host->owed >= 1; host->owed -= 1) passed += Call(*host) ? 1 : 0;
    }
    passed_.push_back(passed);
  }
  void Exchange(Host& host) {
    const TimePoint now = clock_.Now();
    if (!host.flight.has_value()) {
      auto asking = host.sharing.Next();
      if (!asking.has_value()) return;
      const auto one_way = [&] {
        return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(
            std::uniform_real_distribution(latency_.first, latency_.second)(random_)));
      };
      const TimePoint arrives = now + one_way();
      host.flight =
          Host::Flight{.asking = *std::move(asking), .arrives = arrives, .returns = arrives + one_way()};
    }
    Host::Flight& flight = *host.flight;
    if (!flight.arrived && now >= flight.arrives) {
      flight.arrived = true;
      if (store_up) {
        flight.answers.emplace();
        for (const auto& request : flight.asking.round.tokens) {
          flight.answers->tokens.push_back(table_.Take(request));
        }
        for (const auto& request : flight.asking.round.permits) {
          flight.answers->permits.push_back(table_.Hold(request));
        }
      }
    }
    const bool late = now >= flight.asking.at + milliseconds(100);
    const bool lost = flight.arrived && !flight.answers.has_value();
    if (!late && (now < flight.returns || lost)) return;
    Result<SharedLimits::Answers> answers = Unavailable("kv_unavailable", "gone");
    if (!late && flight.answers.has_value()) answers = *std::move(flight.answers);
    const SharedLimits::Asking asking = std::move(flight.asking);
    host.flight.reset();
    host.sharing.Answered(asking, std::move(answers));
  }

  std::mt19937 random_;
  std::pair<double, double> latency_ = {0.0002, 0.002};
  std::vector<std::unique_ptr<Host>> hosts_;
  CallerRef caller_ = MakeCaller("acme");
  std::vector<double> passed_;
};

constexpr std::size_t kTenSeconds = 10'000;

TEST(SharedLimits, ThreeHostsWithUnevenTrafficTakeTheRateAndNoMore) {
  for (unsigned seed = 1; seed <= 5; ++seed) {
    Fleet fleet({Rate(1000, 100)}, seed);
    fleet.SetLatency(milliseconds(0), milliseconds(4 * seed));
    fleet.Demand({2500, 300, 40});
    fleet.Run(seconds(16));
    const auto [least, most] = fleet.Windows(1000, kTenSeconds);
    EXPECT_GE(least, 950) << "seed " << seed;
    EXPECT_LE(most, 1050) << "seed " << seed;
  }
}

TEST(SharedLimits, ShiftingTrafficStrandsNothing) {
  for (unsigned seed = 1; seed <= 5; ++seed) {
    Fleet fleet({Rate(1000, 100)}, seed);
    std::mt19937 random(seed);
    for (int i = 0; i < 25; ++i) {
      std::vector<double> demand(3);
      for (double& one : demand) one = std::uniform_int_distribution(0, 3)(random) * 400;
      if (demand[0] + demand[1] + demand[2] < 1200) demand[random() % 3] = 1500;
      fleet.Demand(demand);
      fleet.Run(milliseconds(std::uniform_int_distribution(100, 2000)(random)));
    }
    const auto [least, most] = fleet.Windows(1000, kTenSeconds);
    EXPECT_GE(least, 950) << "seed " << seed;
    EXPECT_LE(most, 1050) << "seed " << seed;
  }
}

TEST(SharedLimits, AHostThatAsksForLittleIsNotStarved) {
  Fleet fleet({Rate(1000, 100)});
  fleet.Demand({3000, 3000, 20});
  fleet.Run(seconds(10));
  EXPECT_GE(fleet.host(2).admitted, 100u) << "of 200";
}

TEST(SharedLimits, BelowTheLimitNobodyIsRefused) {
  Fleet fleet({Rate(1000, 1000)});
  fleet.Demand({500, 250, 100});
  fleet.Run(seconds(10));
  EXPECT_EQ(fleet.host(0).limiter.refusals()[0], 0u);
  EXPECT_EQ(fleet.host(1).limiter.refusals()[0], 0u);
  EXPECT_EQ(fleet.host(2).limiter.refusals()[0], 0u);
}

TEST(SharedLimits, WithoutTheStoreHostsGoOnWithTheirSharesAndReturnWithoutABurst) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    Fleet fleet({Rate(1000, 1000)}, seed);
    fleet.Demand({2500, 800, 100});
    fleet.Run(seconds(6));
    const std::size_t killed = fleet.steps();
    fleet.store_up = false;
    fleet.Run(seconds(12));
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(fleet.host(i).sharing.mode(), SharingMode::kAlone);
      EXPECT_GT(fleet.host(i).sharing.failures(), 10u);
    }
    const std::size_t back = fleet.steps();
    fleet.store_up = true;
    fleet.table_.Clear();  // It comes back with full buckets.
    fleet.Run(seconds(14));
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(fleet.host(i).sharing.mode(), SharingMode::kShared);

    const auto [least, most] = fleet.Windows(killed - 1000, kTenSeconds);
    EXPECT_LE(most, 1300) << "seed " << seed;
    EXPECT_GE(least, 800) << "seed " << seed;
    const auto [alone_second, alone_most] = fleet.Windows(killed, 1000);
    EXPECT_GT(alone_second, 500) << "never shut, not even for a second; seed " << seed;
    EXPECT_LE(alone_most, 2000);
    const auto [again, again_most] = fleet.Windows(back, kTenSeconds);
    EXPECT_GE(again, 950) << "seed " << seed;
    EXPECT_LE(again_most, 1050) << "seed " << seed;
  }
}

TEST(SharedLimits, TrafficThatShiftsWhileTheStoreIsGoneStaysBounded) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    Fleet fleet({Rate(1000, 100)}, seed);
    fleet.Demand({3000, 10, 0});
    fleet.Run(seconds(8));
    const std::size_t killed = fleet.steps();
    fleet.store_up = false;
    fleet.Run(seconds(2));
    fleet.Demand({3000, 3000, 3000});
    fleet.Run(seconds(12));
    const auto before = fleet.host(2).admitted;
    fleet.Run(seconds(5));
    EXPECT_GT(fleet.host(2).admitted - before, 100u) << "a host that had nothing is not shut";
    const auto [least, most] = fleet.Windows(killed, kTenSeconds);
    EXPECT_LE(most, 1300) << "seed " << seed;
    EXPECT_GE(least, 800) << "seed " << seed;
  }
}

TEST(SharedLimits, TenHostsOfDifferentLoadHoldTheLimitToo) {
  Fleet fleet({Rate(1000, 100)}, 7, 10);
  fleet.Demand({900, 500, 300, 200, 100, 50, 20, 10, 5, 1});
  fleet.Run(seconds(13));
  const auto [least, most] = fleet.Windows(1000, kTenSeconds);
  EXPECT_GE(least, 950);
  EXPECT_LE(most, 1050);
  const std::size_t killed = fleet.steps();
  fleet.store_up = false;
  fleet.Run(seconds(12));
  const auto [alone_least, alone_most] = fleet.Windows(killed, kTenSeconds);
  EXPECT_GE(alone_least, 800);
  EXPECT_LE(alone_most, 1300);
}

TEST(SharedLimits, AStoreThatComesAndGoesNeverOpensTheLimit) {
  for (unsigned seed = 1; seed <= 8; ++seed) {
    Fleet fleet({Rate(1000, 100)}, seed);
    fleet.Demand({2000, 700, 200});
    fleet.Run(seconds(4));
    std::mt19937 random(seed);
    for (int i = 0; i < 12; ++i) {
      fleet.store_up = !fleet.store_up;
      if (random() % 2 == 0) fleet.table_.Clear();
      fleet.Run(milliseconds(std::uniform_int_distribution(50, 3000)(random)));
    }
    const auto [least, most] = fleet.Windows(2000, kTenSeconds);
    EXPECT_LE(most, 1300) << "seed " << seed;
    EXPECT_GE(least, 700) << "seed " << seed;
  }
}

TEST(SharedLimits, AHostThatHasNeverSeenTheStoreIsNeitherShutNorOpen) {
  Fleet fleet({Rate(1000, 100)}, 1, 1);
  fleet.store_up = false;
  fleet.Demand({3000});
  fleet.Run(seconds(11));
  const auto [least, most] = fleet.Windows(1000, kTenSeconds);
  EXPECT_NEAR(least, 75, 5) << "0.3 of the limit over four hosts";
  EXPECT_NEAR(most, 75, 5);
  // Nor does it have a share to keep to when the store comes.
  fleet.store_up = true;
  fleet.Run(milliseconds(200));
  EXPECT_EQ(fleet.host(0).sharing.mode(), SharingMode::kShared);
  const std::size_t from = fleet.steps();
  fleet.Run(seconds(1));
  EXPECT_GE(fleet.Windows(from, 1000).first, 900);
}

TEST(SharedLimits, ASmallLimitIsCountedOverHostsAndABurstPassesAtOnce) {
  Fleet fleet({Rate(0.01, 25)});
  fleet.Run(seconds(1));
  int passed = 0;
  for (int i = 0; i < 40; ++i) passed += fleet.Call(fleet.host(0)) ? 1 : 0;
  EXPECT_GE(passed, 6) << "on credit, before the store has answered";
  EXPECT_LE(passed, 25);
  fleet.Run(milliseconds(100));
  for (int i = 0; i < 40; ++i) {
    passed += fleet.Call(fleet.host(0)) ? 1 : 0;
    fleet.Run(milliseconds(20));
  }
  EXPECT_EQ(passed, 25);
  LimitState state;
  EXPECT_FALSE(fleet.Call(fleet.host(0), &state));
  EXPECT_NEAR(Seconds(state.reset), 100, 3) << "until the next token comes";
  EXPECT_EQ(state.amount, 25);

  // Another host does not know that yet; what it lets through it owes, and so does the limit.
  int other = 0;
  for (int i = 0; i < 20; ++i) {
    other += fleet.Call(fleet.host(1)) ? 1 : 0;
    fleet.Run(milliseconds(50));
  }
  EXPECT_LE(other, 7);
  fleet.Run(seconds(250));
  EXPECT_FALSE(other > 2 && fleet.Call(fleet.host(1))) << "debts are paid first";
}

TEST(SharedLimits, TokensOfAHostWithoutTrafficGoBack) {
  Fleet fleet({Rate(200, 200)});
  fleet.Demand({400, 0, 0});
  fleet.Run(seconds(5));
  fleet.Demand({0, 0, 0});
  fleet.Run(seconds(3));
  const auto before = fleet.admitted();
  for (int i = 0; i < 4000; ++i) {
    fleet.Call(fleet.host(1));
    if (i % 100 == 0) fleet.Run(milliseconds(5));
  }
  EXPECT_NEAR(static_cast<double>(fleet.admitted() - before), 240, 15) << "the burst, and 0.2 s of the rate";
}

TEST(SharedLimits, CostIsPutRightAndDebtsHoldOverHosts) {
  Fleet fleet({CheckLimit({.name = "c", .kind = LimitKind::kCost, .rate = 100, .burst = 100}).value()});
  fleet.Run(seconds(1));
  CallerRef caller = MakeCaller("acme");
  {
    auto ticket = fleet.host(0).limiter.Admit({.caller = *caller, .model = "m", .cost_ms = 10});
    ASSERT_TRUE(ticket.ok());
    ticket->Settle(600);  // Five seconds over what there is.
  }
  fleet.Run(seconds(3));
  EXPECT_FALSE(fleet.Call(fleet.host(0), nullptr, 10));
  fleet.Run(milliseconds(2600));
  EXPECT_TRUE(fleet.Call(fleet.host(0), nullptr, 10));
  // What is dearer than the burst passes when nothing is owed and all is there.
  fleet.Run(seconds(3));
  EXPECT_TRUE(fleet.Call(fleet.host(1), nullptr, 400));
  EXPECT_FALSE(fleet.Call(fleet.host(1), nullptr, 1));
  // A large call within the burst does not starve beside small ones.
  fleet.Run(seconds(8));
  bool passed = false;
  for (int i = 0; i < 4000 && !passed; ++i) {
    fleet.Call(fleet.host(0), nullptr, 1);
    if (i % 5 == 0) passed = fleet.Call(fleet.host(2), nullptr, 60);
    fleet.Run(milliseconds(2));
  }
  EXPECT_TRUE(passed);
}

TEST(SharedLimits, TenantsAreCountedApartByNameAndNotByEachHostsNumbers) {
  Fleet fleet({Rate(0.01, 8, kPerTenant)});
  fleet.Run(seconds(1));
  const auto a0 = MakeCaller("a", 0), b0 = MakeCaller("b", 1);  // As host 0 numbers them.
  const auto a1 = MakeCaller("a", 1), b1 = MakeCaller("b", 0);  // As host 1 does.
  const auto use = [&](std::size_t host, const CallerRef& caller) {
    int passed = 0;
    for (int i = 0; i < 12; ++i) {
      passed += fleet.host(host).limiter.Admit({.caller = *caller, .model = "m"}).ok() ? 1 : 0;
      fleet.Run(milliseconds(30));
    }
    return passed;
  };
  EXPECT_EQ(use(0, a0), 8);
  EXPECT_LE(use(1, a1), 2) << "used up elsewhere";
  EXPECT_EQ(use(1, b1), 8);
  EXPECT_LE(use(0, b0), 2);
}

TEST(SharedLimits, ConcurrencyHoldsOverHosts) {
  Fleet fleet({CheckLimit({.name = "c", .kind = LimitKind::kConcurrency, .amount = 12}).value()});
  fleet.Run(seconds(1));
  const auto caller = MakeCaller("acme");
  std::vector<std::vector<LimitTicket>> running(3);
  std::mt19937 random(3);
  const auto count = [&] { return running[0].size() + running[1].size() + running[2].size(); };
  const auto churn = [&](int rounds, std::array<int, 3> weights, std::size_t* most) {
    for (int i = 0; i < rounds; ++i) {
      for (std::size_t h = 0; h < 3; ++h) {
        for (int n = 0; n < weights.at(h); ++n) {
          auto ticket = fleet.host(h).limiter.Admit({.caller = *caller, .model = "m"});
          if (ticket.ok()) running[h].push_back(*std::move(ticket));
        }
        if (!running[h].empty() && random() % 3 == 0) running[h].pop_back();
      }
      *most = std::max(*most, count());
      fleet.Run(milliseconds(5));
    }
  };
  std::size_t most = 0;
  churn(1000, {2, 1, 1}, &most);
  EXPECT_GE(count(), 9u) << "it can be reached";
  EXPECT_LE(most, 12u + 3u) << "a host that runs nothing lets one through before it asks";
  fleet.store_up = false;
  fleet.Run(milliseconds(300));
  most = 0;
  churn(1000, {2, 2, 2}, &most);
  EXPECT_LE(most, 15u) << "1.3 of it";
  EXPECT_GE(count(), 5u);
  fleet.store_up = true;
  fleet.table_.Clear();
  fleet.Run(seconds(3));
  churn(300, {1, 1, 1}, &most);
  most = 0;
  churn(1000, {1, 1, 1}, &most);
  EXPECT_LE(most, 14u);
  running.clear();
}

TEST(SharedLimits, MoreBucketsThanARoundHoldsAreAllServed) {
  Fleet fleet({Rate(0.01, 4, kPerTenant)}, 1, 2);
  fleet.Run(seconds(1));
  constexpr std::uint32_t kTenants = 3000;
  std::vector<CallerRef> callers;
  callers.reserve(kTenants);
  for (std::uint32_t i = 0; i < kTenants; ++i) callers.push_back(MakeCaller("t" + std::to_string(i), i));
  for (int round = 0; round < 6; ++round) {
    for (const auto& caller : callers) {
      (void)fleet.host(0).limiter.Admit({.caller = *caller, .model = "m"});
    }
    fleet.Run(milliseconds(300));
  }
  EXPECT_EQ(fleet.host(0).limiter.refusals()[0], 2 * kTenants) << "each had its four";
  int elsewhere = 0;
  for (const auto& caller : callers) {
    elsewhere += fleet.host(1).limiter.Admit({.caller = *caller, .model = "m"}).ok() ? 1 : 0;
  }
  fleet.Run(milliseconds(300));
  for (const auto& caller : callers) {
    EXPECT_FALSE(fleet.host(1).limiter.Admit({.caller = *caller, .model = "m"}).ok());
  }
  EXPECT_LE(elsewhere, static_cast<int>(kTenants)) << "one each on credit";
}

TEST(SharedLimits, AloneAndSharedTheArithmeticAgrees) {
  // The same calls against this process's limiter and against one bucket of a store, on whole microseconds.
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    const double rate = std::uniform_real_distribution(0.5, 5000.0)(random);
    const int burst = std::uniform_int_distribution(1, 50)(random);
    ManualClock clock;
    Limiter limiter({}, clock);
    limiter.Replace({Rate(rate, burst)});
    Table table(clock);
    const auto caller = MakeCaller("a");
    int local = 0;
    int stored = 0;
    for (int i = 0; i < 4000; ++i) {
      clock.Advance(std::chrono::microseconds(
          std::uniform_int_distribution(0, static_cast<int>(1.2e6 / rate) + 1)(random)));
      local += limiter.Admit({.caller = *caller, .model = "m"}).ok() ? 1 : 0;
      stored +=
          static_cast<int>(table.Take({.key = "k", .want = 1, .per_second = rate, .burst = burst}).granted);
      // Microseconds are coarser: at most one of them lost a take, and a call refused for it.
      const double lost = 2 + 2 * stored * 1e-6 * rate;
      ASSERT_NEAR(local, stored, lost) << "seed " << seed;
      ASSERT_GE(local, stored - 1) << "seed " << seed;
    }
  }
}

TEST(SharedLimits, CallsFromManyThreadsAndRoundsBesideThemCountEveryCall) {
  RealClock clock;
  Limiter limiter({}, clock);
  limiter.Share("host");
  limiter.Replace({Rate(1e-3, 2000, kPerTenant),
                   CheckLimit({.name = "c", .kind = LimitKind::kConcurrency, .amount = 1000}).value()});
  Table table(clock);
  std::atomic<int> passed{0};
  std::vector<std::jthread> threads;
  threads.reserve(3);
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&](const std::stop_token& stop) {
      const auto caller = MakeCaller("acme");
      for (int i = 0; !stop.stop_requested(); ++i) {
        auto ticket = limiter.Admit({.caller = *caller, .model = "m"});
        if (!ticket.ok()) continue;
        if (i % 10 == 0) {
          ticket->Refund();
        } else {
          passed.fetch_add(1);
        }
      }
    });
  }
  for (int i = 0; i < 400; ++i) {
    if (i == 200) limiter.SetView({.mode = SharingMode::kAlone, .since = clock.Now(), .hosts = 1});
    if (i == 250) limiter.SetView({.mode = SharingMode::kShared, .since = clock.Now(), .hosts = 1});
    const Limiter::Round round = limiter.BeginRound(i % 4 == 0, 1000);
    std::vector<TokenStore::TokenGrant> tokens;
    tokens.reserve(round.tokens.size());
    for (const auto& request : round.tokens) tokens.push_back(table.Take(request));
    std::vector<TokenStore::PermitGrant> permits;
    permits.reserve(round.permits.size());
    for (const auto& request : round.permits) permits.push_back(table.Hold(request));
    limiter.EndRound(round, &tokens, &permits);
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  threads.clear();  // Stops and joins them.
  EXPECT_GT(passed.load(), 1500);
  EXPECT_LE(passed.load(), 2000 + 2000) << "its burst, and its share of one while it was alone";
  EXPECT_EQ(limiter.buckets(), 2u);
}

TEST(SharedLimits, WhateverALimitIsAStoreCanCountIt) {
  ManualClock clock;
  for (const double rate : {1e-12, 1e-6, 0.3, 7.0, 1e6, 1e12, 1e15}) {
    for (const double burst : {1e-3, 1.0, 2.5, 1e6, 1e12, 1e15}) {
      SharedRate bucket("k");
      bucket.Set(rate, burst);
      ASSERT_FALSE(bucket.Look(clock.Now(), {}, 1).refused);
      bucket.Take(1);
      const auto request = bucket.Ask(clock.Now(), {});
      ASSERT_TRUE(request.has_value());
      EXPECT_EQ(request->want, 1) << "the debt";
      EXPECT_TRUE(storage::GcraLimit::IsValid(request->per_second, request->burst)) << rate << ", " << burst;
    }
  }
}

TEST(SharedLimits, ALimitThatChangesHoldsFromTheNextCallOn) {
  Fleet fleet({Rate(1000, 100)});
  fleet.Demand({1500, 1500, 100});
  fleet.Run(seconds(3));
  for (std::size_t i = 0; i < 3; ++i) fleet.host(i).limiter.Replace({Rate(200, 20)});
  fleet.Run(seconds(1));
  const std::size_t from = fleet.steps();
  fleet.Run(seconds(12));
  const auto [least, most] = fleet.Windows(from, kTenSeconds);
  EXPECT_GE(least, 190);
  EXPECT_LE(most, 210);
}

TEST(SharedLimits, ABurstPassesOneByOneWhateverTheRate) {
  for (const double rate : {1.5, 3.0, 7.0, 0.3, 700.0}) {
    ManualClock clock;
    Limiter limiter({}, clock);
    limiter.Replace({Rate(rate, 6)});
    const auto caller = MakeCaller("a");
    int passed = 0;
    while (passed < 10 && limiter.Admit({.caller = *caller, .model = "m"}).ok()) ++passed;
    EXPECT_EQ(passed, 6) << rate;
  }
}

}  // namespace
}  // namespace mezzo::tenancy
