#include "mezzo/tenancy/limiter.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/testing/manual_clock.h"

namespace mezzo::tenancy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::ManualClock;

CallerRef MakeCaller(const std::string& tenant, std::uint32_t index, const std::string& key = "",
                     std::uint32_t key_index = 0, const std::string& project = "") {
  auto made = std::make_shared<Tenant>();
  made->id = TenantId(tenant);
  made->index = index;
  auto caller = std::make_shared<Caller>();
  caller->tenant = std::move(made);
  caller->key = KeyId(key);
  caller->key_index = key_index;
  caller->project = ProjectId(project);
  return caller;
}

Limit Checked(Limit limit) {
  auto checked = CheckLimit(std::move(limit));
  EXPECT_TRUE(checked.ok()) << checked.error().ToString();
  return *std::move(checked);
}
Limit Rate(const std::string& name, double rate, double burst, std::uint8_t per = kPerAll,
           LimitKind kind = LimitKind::kRequests) {
  return Checked({.name = name, .per = per, .kind = kind, .rate = rate, .burst = burst});
}
Limit Amount(const std::string& name, LimitKind kind, double amount, std::uint8_t per = kPerAll) {
  return Checked({.name = name, .per = per, .kind = kind, .amount = amount});
}

class LimiterTest : public ::testing::Test {
 protected:
  Result<LimitTicket> Admit(const CallerRef& caller, std::string_view model = "m", double cost = 0,
                            LimitState* state = nullptr) {
    return limiter_.Admit({.caller = *caller, .model = model, .cost_ms = cost}, state);
  }
  /// How many calls at once are let through now; they are forgotten at once.
  int Burst(const CallerRef& caller, std::string_view model = "m", int most = 1000) {
    int admitted = 0;
    while (admitted < most && Admit(caller, model).ok()) ++admitted;
    return admitted;
  }

  ManualClock clock_;
  Limiter limiter_{{}, clock_};
  CallerRef alice_ = MakeCaller("alice", 0, "ka", 1, "shop");
  CallerRef bob_ = MakeCaller("bob", 1, "kb", 2);
};

TEST_F(LimiterTest, WithoutLimitsEverythingPassesAndNothingIsCounted) {
  LimitState state;
  EXPECT_TRUE(Admit(alice_, "m", 5, &state)->empty());
  EXPECT_FALSE(state.met());
  EXPECT_EQ(limiter_.buckets(), 0u);
}

TEST_F(LimiterTest, ARateLetsItsBurstThroughAndThenItsRate) {
  limiter_.Replace({Rate("r", 10, 3)});
  EXPECT_EQ(Burst(alice_), 3);

  LimitState state;
  const auto refused = Admit(bob_, "m", 0, &state);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason(), "rate_limited");
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(refused.error().retry_after(), Duration(milliseconds(100)));
  EXPECT_THAT(refused.error().message(), HasSubstr("limit 'r' is used up: 10 requests a second, 3 at once"));
  EXPECT_TRUE(state.refused);
  EXPECT_EQ(state.name, "r");
  EXPECT_EQ(state.amount, 3);
  EXPECT_EQ(state.remaining, 0);
  EXPECT_EQ(state.reset, Duration(milliseconds(100)));
  EXPECT_EQ(limiter_.refusals()[0], 2u);

  clock_.Advance(milliseconds(99));
  EXPECT_EQ(Burst(bob_), 0);
  clock_.Advance(milliseconds(1));
  EXPECT_EQ(Burst(bob_), 1) << "it may come back exactly when it was told to";
}

TEST_F(LimiterTest, OverAnyWindowAtMostTheRateAndTheBurstPass) {
  for (std::uint32_t seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    const double rate = std::uniform_real_distribution(0.5, 500.0)(random);
    const double burst = std::uniform_int_distribution(1, 40)(random);
    limiter_.Replace({Rate("seed-" + std::to_string(seed), rate, burst)});
    std::deque<double> admitted;  // Times, in seconds.
    std::exponential_distribution<double> gap(rate * 3);
    const TimePoint start = clock_.Now();
    double busy = 0;  // Seconds without the pauses, in which a burst is saved up.
    std::size_t asked = 0;
    for (; asked < 3000; ++asked) {
      const bool pause = asked % 500 == 0;
      const double wait = pause ? gap(random) * 200 : gap(random);
      if (!pause) busy += wait;
      clock_.Advance(FromSeconds(wait));
      if (Admit(alice_).ok()) admitted.push_back(Seconds(clock_.Now() - start));
    }
    ASSERT_LT(admitted.size(), asked);
    // Little is wasted: of a demand of three times the rate, a burst of one lets 3/(3 + 1) of it through.
    EXPECT_GE(static_cast<double>(admitted.size()), rate * busy * 0.7) << seed;
    for (std::size_t i = 0; i < admitted.size(); ++i) {
      for (std::size_t j = i; j < admitted.size(); j += 1 + (j - i) / 8) {
        const double window = admitted[j] - admitted[i];
        ASSERT_LE(static_cast<double>(j - i + 1), rate * window + burst + 1e-3) << seed;
      }
    }
  }
}

TEST_F(LimiterTest, NothingIsTakenWhenOneOfSeveralRefuses) {
  limiter_.Replace({Rate("wide", 1, 100), Rate("narrow", 1, 2, kPerTenant),
                    Amount("day", LimitKind::kDailyRequests, 50),
                    Amount("room", LimitKind::kConcurrency, 9)});
  EXPECT_EQ(Burst(alice_), 2);
  for (int i = 0; i < 30; ++i) EXPECT_FALSE(Admit(alice_).ok());

  LimitState state;
  std::vector<LimitTicket> held;
  for (int i = 0; i < 2; ++i) held.push_back(*Admit(bob_, "m", 0, &state));
  limiter_.Replace({Rate("wide", 1, 100), Amount("day", LimitKind::kDailyRequests, 50)});
  ASSERT_TRUE(Admit(bob_, "m", 0, &state).ok());
  EXPECT_EQ(state.name, "day");
  EXPECT_EQ(state.remaining, 50 - 5) << "2 of alice, 3 of bob, and none of the refused";
  EXPECT_EQ(Burst(bob_), 45);
}

TEST_F(LimiterTest, ARefusalNamesTheLimitThatMakesTheCallerWaitLongest) {
  limiter_.Replace(
      {Rate("fast", 100, 1), Rate("slow", 0.1, 1), Amount("room", LimitKind::kConcurrency, 100)});
  ASSERT_TRUE(Admit(alice_).ok());
  const auto refused = Admit(alice_);
  EXPECT_THAT(refused.error().message(), HasSubstr("'slow'"));
  EXPECT_EQ(refused.error().retry_after(), Duration(seconds(10)));
}

TEST_F(LimiterTest, EveryCombinationHasABucketOfItsOwn) {
  const CallerRef alice2 = MakeCaller("alice", 0, "ka2", 3, "shop");
  const CallerRef alice3 = MakeCaller("alice", 0, "ka", 1, "blog");
  const auto both = [&](const CallerRef& a, const CallerRef& b, std::uint8_t per,
                        std::string_view model_b = "m") {
    static int n = 0;
    limiter_.Replace({Rate("l-" + std::to_string(++n), 0.001, 2, per)});
    return Burst(a, "m") + Burst(b, model_b);
  };
  EXPECT_EQ(both(alice_, bob_, kPerAll), 2);
  EXPECT_EQ(both(alice_, bob_, kPerTenant), 4);
  EXPECT_EQ(both(alice_, alice2, kPerTenant), 2);
  EXPECT_EQ(both(alice_, alice2, kPerKey), 4);
  EXPECT_EQ(both(alice_, alice3, kPerProject), 4);
  EXPECT_EQ(both(alice_, alice2, kPerProject), 2);
  EXPECT_EQ(both(alice_, alice_, kPerModel, "other"), 4);
  EXPECT_EQ(both(alice_, bob_, kPerModel), 2);
  EXPECT_EQ(both(alice_, bob_, kPerModel | kPerTenant), 4);
}

TEST_F(LimiterTest, ALimitHoldsForWhatItMatchesAlone) {
  const auto only = [&](Limit limit) {
    limit.name = "only";
    limit.rate = 0.001;
    limit.burst = 1;
    limiter_.Replace({});
    limiter_.Replace({Checked(std::move(limit))});
  };
  const auto limited = [&](const CallerRef& caller, std::string_view model) {
    return Burst(caller, model, 9) == 1;
  };
  only({.tenant = TenantId("alice")});
  EXPECT_TRUE(limited(alice_, "m"));
  EXPECT_FALSE(limited(bob_, "m"));
  only({.key = KeyId("kb")});
  EXPECT_FALSE(limited(alice_, "m"));
  EXPECT_TRUE(limited(bob_, "m"));
  only({.model = ModelName("m")});
  EXPECT_FALSE(limited(alice_, "other"));
  EXPECT_TRUE(limited(alice_, "m"));
  only({.tenant = TenantId("alice"), .project = ProjectId("blog")});
  EXPECT_FALSE(limited(alice_, "m"));
  only({.tenant = TenantId("alice"),
        .project = ProjectId("shop"),
        .key = KeyId("ka"),
        .model = ModelName("m")});
  EXPECT_FALSE(limited(alice_, "other"));
  EXPECT_TRUE(limited(alice_, "m"));
}

TEST_F(LimiterTest, ConcurrencyComesBackWithTheTicket) {
  limiter_.Replace({Amount("room", LimitKind::kConcurrency, 2, kPerTenant)});
  auto first = Admit(alice_);
  auto second = Admit(alice_);
  const auto third = Admit(alice_);
  EXPECT_EQ(third.error().reason(), "concurrency_limited");
  EXPECT_TRUE(third.error().retry_after().has_value());
  EXPECT_TRUE(Admit(bob_).ok());

  {
    const LimitTicket gone = *std::move(second);
  }
  second = Admit(alice_);
  EXPECT_TRUE(second.ok());
  EXPECT_FALSE(Admit(alice_).ok());
  EXPECT_TRUE(limiter_.Admit({.caller = *alice_, .counts_concurrency = false}).ok()) << "a job";
}

TEST_F(LimiterTest, CostIsCountedAsPredictedAndPutRightWhenMeasured) {
  limiter_.Replace({Rate("cost", 100, 100, kPerAll, LimitKind::kCost)});
  auto cheap = Admit(alice_, "m", 60);
  EXPECT_FALSE(Admit(alice_, "m", 60).ok());
  cheap->Settle(10);
  EXPECT_TRUE(Admit(alice_, "m", 60).ok());

  clock_.Advance(seconds(10));
  auto dear = Admit(alice_, "m", 10);
  dear->Settle(300);
  const auto debt = Admit(alice_, "m", 1);
  EXPECT_EQ(debt.error().reason(), "rate_limited");
  EXPECT_EQ(debt.error().retry_after(), Duration(milliseconds(2010)))
      << "200 ms too many, and 1, at 100 a second";
  clock_.Advance(milliseconds(2010));
  EXPECT_TRUE(Admit(alice_, "m", 1).ok());
}

TEST_F(LimiterTest, WhatCostsMoreThanTheBurstPassesAFullBucketAlone) {
  limiter_.Replace({Rate("cost", 100, 50, kPerAll, LimitKind::kCost)});
  EXPECT_TRUE(Admit(alice_, "m", 200).ok());
  EXPECT_EQ(Admit(alice_, "m", 200).error().retry_after(), Duration(seconds(2)));
  clock_.Advance(seconds(2));
  EXPECT_TRUE(Admit(alice_, "m", 200).ok());
}

TEST_F(LimiterTest, SettlingAndRefundingConserveWhatIsCounted) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    const std::string name = "s" + std::to_string(seed);
    limiter_.Replace(
        {Amount(name, LimitKind::kDailyCost, 1e12), Amount(name + "-n", LimitKind::kDailyRequests, 1e9)});
    double spent = 0;
    int calls = 0;
    std::vector<LimitTicket> held;
    for (int i = 0; i < 500; ++i) {
      const double predicted = std::uniform_int_distribution(0, 100)(random);
      LimitTicket ticket = *Admit(alice_, "m", predicted);
      spent += predicted;
      ++calls;
      const int choice = std::uniform_int_distribution(0, 3)(random);
      if (choice == 0) {
        ticket.Refund();
        ticket.Refund();
        spent -= predicted;
        --calls;
      } else if (choice == 1) {
        const double measured = std::uniform_int_distribution(0, 300)(random);
        ticket.Settle(1);
        ticket.Settle(measured);
        spent += measured - predicted;
      }
      if (choice == 2) held.push_back(std::move(ticket));
    }
    held.clear();
    LimitState state;
    ASSERT_TRUE(Admit(alice_, "m", 0, &state).ok());
    ASSERT_EQ(state.name, name + "-n") << "the larger part of it is used";
    EXPECT_EQ(1e9 - state.remaining, calls + 1) << seed;
    limiter_.Replace({Amount(name, LimitKind::kDailyCost, 1e12)});
    ASSERT_TRUE(Admit(alice_, "m", 0, &state).ok());
    EXPECT_NEAR(1e12 - state.remaining, spent, 1e-3) << seed;
  }
}

TEST_F(LimiterTest, ARefundGivesTheRequestBack) {
  limiter_.Replace({Rate("r", 0.001, 1)});
  for (int i = 0; i < 5; ++i) Admit(alice_)->Refund();
  EXPECT_TRUE(Admit(alice_).ok());
  EXPECT_FALSE(Admit(alice_).ok());
}

TEST_F(LimiterTest, AQuotaStartsAnewWithItsDayAndMonth) {
  // The manual clock begins on 14 November 2023 at 22:13:21 UTC.
  limiter_.Replace(
      {Amount("day", LimitKind::kDailyRequests, 3), Amount("month", LimitKind::kMonthlyRequests, 5)});
  EXPECT_EQ(Burst(alice_), 3);
  LimitState state;
  const auto refused = Admit(alice_, "m", 0, &state);
  EXPECT_EQ(refused.error().reason(), "quota_exceeded");
  EXPECT_THAT(refused.error().message(), HasSubstr("limit 'day' is used up: 3 requests a day"));
  EXPECT_EQ(refused.error().retry_after(), Duration(seconds(3600 + 46 * 60 + 39)));
  EXPECT_EQ(state.window, Duration(std::chrono::hours(24)));

  clock_.Advance(*refused.error().retry_after() - milliseconds(1));
  EXPECT_EQ(Burst(alice_), 0);
  clock_.Advance(milliseconds(1));
  EXPECT_EQ(Burst(alice_), 2) << "what the month has left";
  const auto month = Admit(alice_, "m", 0, &state);
  EXPECT_EQ(state.name, "month");
  EXPECT_EQ(month.error().retry_after(), Duration(std::chrono::hours(24 * 16))) << "until 1 December";
  EXPECT_EQ(state.window, Duration(std::chrono::hours(24 * 30)));
  clock_.Advance(std::chrono::hours(24 * 16));
  EXPECT_EQ(Burst(alice_), 3);
}

TEST_F(LimiterTest, ABudgetHoldsByWhatTheLedgerSays) {
  limiter_.Replace({Amount("budget", LimitKind::kMonthlyMoney, 20, kPerTenant)});
  EXPECT_TRUE(Admit(alice_).ok());
  ASSERT_TRUE(limiter_.RaiseUsed("budget", *alice_, "m", 19.99).ok());
  EXPECT_TRUE(Admit(alice_).ok());
  ASSERT_TRUE(limiter_.RaiseUsed("budget", *alice_, "m", 20).ok());
  EXPECT_EQ(Admit(alice_).error().reason(), "quota_exceeded");
  EXPECT_TRUE(Admit(bob_).ok());
  clock_.Advance(std::chrono::hours(24 * 20));
  EXPECT_TRUE(Admit(alice_).ok()) << "a new month";

  EXPECT_EQ(limiter_.RaiseUsed("nothing", *alice_, "m", 1).error().reason(), "limit_unknown");
  limiter_.Replace({Rate("r", 1, 1)});
  EXPECT_EQ(limiter_.RaiseUsed("r", *alice_, "m", 1).error().reason(), "limit_invalid");
}

TEST_F(LimiterTest, AChangedLimitKeepsItsCountAndARenamedOneStartsAnew) {
  limiter_.Replace({Rate("r", 1, 10)});
  EXPECT_EQ(Burst(alice_), 10);
  limiter_.Replace({Rate("r", 1, 15)});
  EXPECT_EQ(Burst(alice_), 5);
  limiter_.Replace({Rate("r2", 1, 15)});
  EXPECT_EQ(Burst(alice_), 15);
  limiter_.Replace({});
  EXPECT_EQ(Burst(alice_), 1000);
}

TEST_F(LimiterTest, ATicketOutlivesItsLimit) {
  limiter_.Replace({Amount("room", LimitKind::kConcurrency, 1), Rate("c", 1, 1, kPerAll, LimitKind::kCost)});
  auto ticket = Admit(alice_, "m", 1);
  limiter_.Replace({});
  limiter_.Replace({Amount("room", LimitKind::kConcurrency, 1)});
  ticket->Settle(5);
  EXPECT_TRUE(Admit(alice_).ok()) << "a limit that was gone starts anew";
}

TEST_F(LimiterTest, APartOfACallIsChargedAndNeverRefused) {
  limiter_.Replace({Rate("r", 0.001, 1), Rate("c", 1, 10, kPerAll, LimitKind::kCost)});
  ASSERT_TRUE(Admit(alice_, "m", 5).ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(limiter_
                    .Admit({.caller = *alice_,
                            .model = "m",
                            .cost_ms = 5,
                            .counts_request = false,
                            .counts_concurrency = false,
                            .refusable = false})
                    .ok());
  }
  limiter_.Replace({Rate("c", 1, 10, kPerAll, LimitKind::kCost)});
  EXPECT_EQ(Admit(alice_, "m", 0).error().retry_after(), Duration(seconds(10))) << "20 counted, 10 allowed";
}

TEST(Limiter, BucketsAreBoundedAndIdleOnesAreForgotten) {
  ManualClock clock;
  Limiter limiter({.max_buckets = 640}, clock);
  limiter.Replace({Rate("r", 1, 1, kPerTenant)});
  std::uint32_t refused = 0;
  for (std::uint32_t i = 0; i < 5000; ++i) {
    const auto answer = limiter.Admit({.caller = *MakeCaller("t", i)});
    if (answer.ok()) continue;
    EXPECT_EQ(answer.error().reason(), "limits_full");
    ++refused;
  }
  EXPECT_GE(refused, 4000u);
  EXPECT_LE(limiter.buckets(), 640u);

  clock.Advance(seconds(2));
  for (std::uint32_t i = 0; i < 200; ++i)
    EXPECT_TRUE(limiter.Admit({.caller = *MakeCaller("t", 10'000 + i)}).ok());
  EXPECT_LE(limiter.buckets(), 640u);
}

TEST(Limiter, BucketsThatWereSweptMeanwhileAreSettledAllTheSame) {
  ManualClock clock;
  Limiter limiter({}, clock);
  limiter.Replace({Rate("cost", 1000, 1000, kPerTenant, LimitKind::kCost),
                   Amount("room", LimitKind::kConcurrency, 1, kPerTenant),
                   Amount("day", LimitKind::kDailyCost, 1e9, kPerTenant)});
  const CallerRef slow = MakeCaller("slow", 0);
  auto ticket = limiter.Admit({.caller = *slow, .cost_ms = 0});
  ASSERT_TRUE(ticket.ok());
  // Enough of others, who come and go, that every shard is swept; what is full or counts nothing goes.
  for (std::uint32_t i = 1; i < 50'000; ++i) {
    clock.Advance(milliseconds(10));
    ASSERT_TRUE(limiter.Admit({.caller = *MakeCaller("t", i), .cost_ms = 1e-6}).ok());
  }
  EXPECT_EQ(limiter.Admit({.caller = *slow}).error().reason(), "concurrency_limited")
      << "its place is its own";
  ticket->Settle(3000);
  EXPECT_EQ(limiter.Admit({.caller = *slow, .counts_concurrency = false}).error().reason(), "rate_limited");
  *ticket = {};
  clock.Advance(seconds(3));
  LimitState state;
  EXPECT_TRUE(limiter.Admit({.caller = *slow}, &state).ok());
}

TEST(Limiter, LimitsThatHaveNoRoomBesideEachOtherRefuse) {
  ManualClock clock;
  Limiter limiter({.max_buckets = 1}, clock);  // One in each shard.
  std::vector<Limit> limits;
  for (int i = 0; i < 6; ++i) {
    limits.push_back(Rate("l" + std::to_string(i), 1000, 1000, kPerTenant, LimitKind::kRequests));
  }
  limiter.Replace(limits);
  int admitted = 0;
  int refused = 0;
  for (std::uint32_t i = 0; i < 300; ++i) {
    clock.Advance(seconds(2));  // All are full again, and give way.
    const auto answer = limiter.Admit({.caller = *MakeCaller("t", i)});
    if (answer.ok()) {
      ++admitted;
      continue;
    }
    EXPECT_EQ(answer.error().reason(), "limits_full");
    ++refused;
    EXPECT_TRUE(limiter.Admit({.caller = *MakeCaller("t", i), .refusable = false}).ok());
  }
  EXPECT_GT(admitted, 100);
  EXPECT_GT(refused, 10);
}

TEST(Limiter, CountsExactlyUnderManyThreads) {
  const RealClock clock;
  Limiter limiter({}, clock);
  limiter.Replace({Amount("all", LimitKind::kDailyRequests, 4000), Amount("room", LimitKind::kConcurrency, 3),
                   Amount("each", LimitKind::kDailyRequests, 1e9, kPerTenant),
                   Amount("model", LimitKind::kDailyCost, 1e9, kPerModel)});
  std::atomic<int> admitted{0};
  std::atomic<int> running{0};
  std::atomic<bool> crowded{false};
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const CallerRef caller = MakeCaller("t" + std::to_string(t % 2), t % 2);
      for (int i = 0; i < 3000; ++i) {
        auto ticket = limiter.Admit({.caller = *caller, .model = i % 2 == 0 ? "a" : "b", .cost_ms = 1});
        if (!ticket.ok()) continue;
        if (running.fetch_add(1) >= 3) crowded = true;
        ++admitted;
        ticket->Settle(2);
        running.fetch_sub(1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(crowded);
  EXPECT_LE(admitted, 4000);
  LimitState state;
  limiter.Replace({Amount("all", LimitKind::kDailyRequests, 1e6)});
  ASSERT_TRUE(limiter.Admit({.caller = *MakeCaller("x", 9)}, &state).ok());
  EXPECT_EQ(1e6 - state.remaining, admitted + 1) << "refusals have taken nothing";
}

TEST(CheckLimit, NamesWhatIsWrong) {
  const auto reason = [](Limit limit) {
    const auto checked = CheckLimit(std::move(limit));
    return checked.ok() ? "" : checked.error().reason() + ": " + checked.error().message();
  };
  EXPECT_THAT(reason({.name = "Bad Name", .rate = 1}), HasSubstr("id_invalid"));
  EXPECT_THAT(reason({.name = "r"}), HasSubstr("'rate' must be in"));
  EXPECT_THAT(reason({.name = "r", .rate = 1, .burst = 0.5}), HasSubstr("'burst' must be in"));
  EXPECT_THAT(reason({.name = "r", .rate = 1e-6, .burst = 1e6}), HasSubstr("within a year"));
  EXPECT_THAT(reason({.name = "r", .rate = 1, .amount = 1}), HasSubstr("no 'amount'"));
  EXPECT_THAT(reason({.name = "r", .kind = LimitKind::kConcurrency, .amount = -1}),
              HasSubstr("'amount' must be"));
  EXPECT_THAT(reason({.name = "r", .kind = LimitKind::kConcurrency, .rate = 1}), HasSubstr("give 'amount'"));
  EXPECT_THAT(reason({.name = "r", .project = ProjectId("p"), .rate = 1}), HasSubstr("needs 'tenant'"));
  EXPECT_EQ(CheckLimit({.name = "r", .rate = 0.2})->burst, 1);
  EXPECT_EQ(CheckLimit({.name = "r", .rate = 20})->burst, 20);
}

TEST(LimitWords, GoThereAndBack) {
  for (std::size_t i = 0; i < kLimitKindCount; ++i) {
    const auto kind = static_cast<LimitKind>(i);
    EXPECT_EQ(*ParseLimitKind(LimitKindName(kind)), kind);
  }
  for (std::uint8_t per = 0; per < 16; ++per) EXPECT_EQ(*ParseLimitPer(LimitPerText(per)), per);
  EXPECT_EQ(ParseLimitKind("hourly").error().reason(), "limit_invalid");
  EXPECT_EQ(ParseLimitPer("tenant,user").error().reason(), "limit_invalid");
}

TEST_F(LimiterTest, APlaceInTheQueueIsHeldUntilTheTicketDies) {
  limiter_.Replace({Amount("q", LimitKind::kQueued, 2, kPerTenant), Rate("r", 0.001, 1)});
  const auto queue = [this](const CallerRef& caller, LimitState* state = nullptr) {
    return limiter_.Admit({.caller = *caller, .model = "m", .queue_places = 100}, state);
  };
  EXPECT_TRUE(limiter_.counts_queues());
  EXPECT_EQ(Burst(alice_), 1) << "a call does not count as one that waits";
  std::vector<LimitTicket> places;
  for (int i = 0; i < 2; ++i) places.push_back(*queue(alice_));

  LimitState state;
  const auto refused = queue(alice_, &state);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason(), "queue_limited");
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(refused.error().message(), HasSubstr("limit 'q' is used up: 2 may wait"));
  EXPECT_EQ(state.amount, 2);
  EXPECT_EQ(limiter_.refusals()[3], 1u);
  EXPECT_TRUE(queue(bob_).ok()) << "each tenant has its own";

  places.pop_back();
  EXPECT_TRUE(queue(alice_).ok());
}

TEST_F(LimiterTest, AShareOfAQueueIsOfEachModelsOwn) {
  limiter_.Replace({Checked({.name = "s", .kind = LimitKind::kQueueShare, .amount = 0.25})});
  const auto fill = [this](std::string_view model, std::size_t places) {
    std::vector<LimitTicket> held;
    while (true) {
      auto ticket = limiter_.Admit({.caller = *alice_, .model = model, .queue_places = places});
      if (!ticket.ok()) return held;
      held.push_back(*std::move(ticket));
    }
  };
  const auto small = fill("small", 8);
  const auto large = fill("large", 100);
  EXPECT_EQ(small.size(), 2u);
  EXPECT_EQ(large.size(), 25u);
  EXPECT_EQ(fill("tiny", 1).size(), 1u) << "a share that is not zero is a place at least";
  EXPECT_FALSE(CheckLimit({.name = "s", .kind = LimitKind::kQueueShare, .amount = 1.5}).ok());

  limiter_.Replace({Checked({.name = "s", .kind = LimitKind::kQueueShare, .amount = 0})});
  EXPECT_EQ(fill("none", 100).size(), 0u) << "zero shuts";
}

TEST_F(LimiterTest, WhatMayNotBeRefusedStillCountsInTheQueue) {
  limiter_.Replace({Amount("q", LimitKind::kQueued, 1)});
  const CallFacts part{.caller = *alice_, .model = "m", .refusable = false, .queue_places = 100};
  const auto first = limiter_.Admit(part);
  const auto second = limiter_.Admit(part);
  EXPECT_TRUE(first.ok() && second.ok());
  EXPECT_FALSE(limiter_.Admit({.caller = *alice_, .model = "m", .queue_places = 100}).ok());
}

TEST_F(LimiterTest, AJobsCostIsPutRightWhenItHasEnded) {
  const CallerRef somebody = MakeCaller("alice", 0);  // Whose key is not known any more.
  for (const Limit& limit : {Rate("rate", 0.001, 1000, kPerTenant, LimitKind::kCost),
                             Amount("day", LimitKind::kDailyCost, 1000, kPerTenant | kPerModel)}) {
    SCOPED_TRACE(limit.name);
    limiter_.Replace({limit});
    const auto left = [this] {
      LimitState state;
      EXPECT_TRUE(Admit(alice_, "m", 0, &state).ok());
      return state.remaining;
    };
    ASSERT_TRUE(Admit(alice_, "m", 800).ok());
    EXPECT_NEAR(left(), 200, 0.01);

    limiter_.AddCost(*somebody, "m", -600);
    EXPECT_NEAR(left(), 800, 0.01);
    limiter_.AddCost(*somebody, "m", 300);
    EXPECT_NEAR(left(), 500, 0.01);
    limiter_.AddCost(*MakeCaller("bob", 1), "m", 300);
    EXPECT_NEAR(left(), 500, 0.01) << "another tenant's";
    limiter_.AddCost(*somebody, "m", -1e9);
    EXPECT_NEAR(left(), 1000, 0.01) << "no more comes back than was taken";
  }
  limiter_.Replace({Rate("key", 0.001, 1000, kPerKey, LimitKind::kCost)});
  ASSERT_TRUE(Admit(alice_, "m", 800).ok());
  limiter_.AddCost(*somebody, "m", -800);
  LimitState state;
  ASSERT_TRUE(Admit(alice_, "m", 0, &state).ok());
  EXPECT_NEAR(state.remaining, 200, 0.01) << "whose key it was is not known";
  limiter_.AddCost(*alice_, "m", -800);
  ASSERT_TRUE(Admit(alice_, "m", 0, &state).ok());
  EXPECT_NEAR(state.remaining, 1000, 0.01) << "now it is";
  limiter_.Replace({Rate("project", 0.001, 1000, kPerProject, LimitKind::kCost)});
  ASSERT_TRUE(Admit(alice_, "m", 800).ok());
  limiter_.AddCost(*MakeCaller("alice", 0, "", 0, "shop"), "m", -600);
  ASSERT_TRUE(Admit(alice_, "m", 0, &state).ok());
  EXPECT_NEAR(state.remaining, 800, 0.01) << "of the same project";
}

}  // namespace
}  // namespace mezzo::tenancy
