#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/storage/testing/sql_db_fixture.h"
#include "mezzo/storage/token_store.h"

namespace mezzo::storage::testing {

/// What every TokenStore must do. A driver's test instantiates it, in namespace mezzo::storage::testing, with
/// a harness that every test makes anew:
///
///     struct MyHarness {
///       TokenStore& store();        // Empty.
///       void Pass(Duration time);   // Lets time pass for the store.
///     };
///     MEZZO_TOKEN_STORE_SUITE(My, MyHarness);
template <typename Harness>
class TokenStoreSuite : public ::testing::Test {
 protected:
  using Grant = TokenStore::TokenGrant;
  using Permits = TokenStore::PermitGrant;
  static constexpr Duration kLong = std::chrono::minutes(1);
  static constexpr Duration kShort = std::chrono::milliseconds(60);

  TokenStore& store() { return harness_.store(); }
  void Pass(Duration time) { harness_.Pass(time); }

  Grant Take(std::int64_t want, double per_second = 0.01, std::int64_t burst = 10) {
    auto got = runtime::SyncWait(store().TakeTokens(
        runtime::Context(), {{.key = "b", .want = want, .per_second = per_second, .burst = burst}}));
    EXPECT_EQ(Reason(got), "");
    return got.ok() && got->size() == 1 ? got->front() : Grant{.granted = -1};
  }
  Permits Hold(const std::string& host, std::int64_t hold, std::int64_t limit = 10,
               Duration lifetime = kLong) {
    auto got = runtime::SyncWait(store().HoldPermits(
        runtime::Context(), {{.key = "p", .host = host, .hold = hold, .limit = limit}}, lifetime));
    EXPECT_EQ(Reason(got), "");
    return got.ok() && got->size() == 1 ? got->front() : Permits{.held = -1};
  }
  std::string TakeReason(TokenStore::TokenRequest request) {
    return Reason(runtime::SyncWait(store().TakeTokens(runtime::Context(), {std::move(request)})));
  }
  std::string HoldReason(TokenStore::PermitRequest request) {
    return Reason(runtime::SyncWait(store().HoldPermits(runtime::Context(), {std::move(request)}, kLong)));
  }

 private:
  Harness harness_;
};
TYPED_TEST_SUITE_P(TokenStoreSuite);

TYPED_TEST_P(TokenStoreSuite, ABucketBeginsFullAndGivesAsManyAsThereAre) {
  const auto first = this->Take(4);
  EXPECT_EQ(first.granted, 4);
  EXPECT_EQ(first.left, 6);
  EXPECT_GT(first.full_in, std::chrono::seconds(399));
  EXPECT_LE(first.full_in, std::chrono::seconds(400));
  const auto rest = this->Take(100);
  EXPECT_EQ(rest.granted, 6);
  EXPECT_EQ(rest.left, 0);
  EXPECT_EQ(this->Take(1).granted, 0);
  EXPECT_EQ(this->Take(0).left, 0);
}

TYPED_TEST_P(TokenStoreSuite, TheBurstCanBeTakenOneByOne) {
  for (int i = 0; i < 7; ++i) EXPECT_EQ(this->Take(1, 0.03, 7).granted, 1) << i;
  EXPECT_EQ(this->Take(1, 0.03, 7).granted, 0);
}

TYPED_TEST_P(TokenStoreSuite, ItFillsWithTimeUpToTheBurst) {
  // 1 token in 20 ms.
  EXPECT_EQ(this->Take(10, 50).granted, 10);
  this->Pass(std::chrono::milliseconds(100));
  const auto some = this->Take(0, 50);
  EXPECT_GE(some.left, 5);
  this->Pass(std::chrono::milliseconds(200));
  EXPECT_EQ(this->Take(0, 50).left, 10);
  EXPECT_EQ(this->Take(0, 50).full_in, Duration::zero());
  EXPECT_EQ(this->Take(100, 50).granted, 10);
}

TYPED_TEST_P(TokenStoreSuite, WhatIsGivenBackCanBeTakenAgain) {
  EXPECT_EQ(this->Take(10).granted, 10);
  const auto back = this->Take(-3);
  EXPECT_EQ(back.granted, 0);
  EXPECT_EQ(back.left, 3);
  EXPECT_EQ(this->Take(5).granted, 3);
  EXPECT_EQ(this->Take(-1000).left, 10) << "never more than the burst";
  EXPECT_EQ(this->Take(1000).granted, 10);
}

TYPED_TEST_P(TokenStoreSuite, BucketsAreApartAndEveryRequestIsByItself) {
  const std::vector<TokenStore::TokenRequest> requests = {
      {.key = "a", .want = 5, .per_second = 0.01, .burst = 3},
      {.key = "b", .want = 2, .per_second = 0.01, .burst = 9},
      {.key = "a", .want = 1, .per_second = 0.01, .burst = 3}};
  const auto got = runtime::SyncWait(this->store().TakeTokens(runtime::Context(), requests));
  ASSERT_EQ(Reason(got), "");
  ASSERT_EQ(got->size(), 3U);
  EXPECT_EQ((*got)[0].granted, 3);
  EXPECT_EQ((*got)[1].granted, 2);
  EXPECT_EQ((*got)[1].left, 7);
  EXPECT_EQ((*got)[2].granted, 0);
  EXPECT_TRUE(runtime::SyncWait(this->store().TakeTokens(runtime::Context(), {}))->empty());
}

TYPED_TEST_P(TokenStoreSuite, HighRatesAreKept) {
  // A million a second: whole microseconds are as fine as it gets.
  const auto got = this->Take(900'000, 1e6, 1'000'000);
  EXPECT_EQ(got.granted, 900'000);
  EXPECT_GE(got.left, 100'000);
  EXPECT_LE(got.full_in, std::chrono::milliseconds(900));
}

TYPED_TEST_P(TokenStoreSuite, PermitsAreSharedUpToTheLimit) {
  EXPECT_EQ(this->Hold("h1", 6).held, 6);
  const auto second = this->Hold("h2", 6);
  EXPECT_EQ(second.held, 4);
  EXPECT_EQ(second.free, 0);
  const auto fewer = this->Hold("h1", 2);
  EXPECT_EQ(fewer.held, 2);
  EXPECT_EQ(fewer.free, 4);
  EXPECT_EQ(this->Hold("h2", 100).held, 8);
  EXPECT_EQ(this->Hold("h1", 0).held, 0);
  EXPECT_EQ(this->Hold("h2", 8).free, 2);
}

TYPED_TEST_P(TokenStoreSuite, ASmallerLimitTakesNothingAway) {
  EXPECT_EQ(this->Hold("h1", 6, 10).held, 6);
  const auto kept = this->Hold("h1", 6, 4);
  EXPECT_EQ(kept.held, 6);
  EXPECT_EQ(kept.free, 0);
  EXPECT_EQ(this->Hold("h2", 1, 4).held, 0);
  EXPECT_EQ(this->Hold("h1", 3, 4).held, 3);
}

TYPED_TEST_P(TokenStoreSuite, PermitsExpireUnlessTheHostAsksAgain) {
  EXPECT_EQ(this->Hold("h1", 6, 10, this->kShort).held, 6);
  EXPECT_EQ(this->Hold("h2", 4, 10, this->kLong).held, 4);
  this->Pass(2 * this->kShort);
  EXPECT_EQ(this->Hold("h3", 10).held, 6);
  EXPECT_EQ(this->Hold("h2", 4).held, 4);
}

TYPED_TEST_P(TokenStoreSuite, RefusesWhatIsOutOfRange) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(this->TakeReason({.key = "a b", .want = 1, .per_second = 1, .burst = 1}), "kv_bad_key");
  EXPECT_EQ(this->TakeReason({.key = "a", .want = 1, .per_second = 0, .burst = 1}), "kv_bad_limit");
  EXPECT_EQ(this->TakeReason({.key = "a", .want = 1, .per_second = kNan, .burst = 1}), "kv_bad_limit");
  EXPECT_EQ(this->TakeReason({.key = "a", .want = 1, .per_second = 1, .burst = 0}), "kv_bad_limit");
  EXPECT_EQ(this->TakeReason({.key = "a", .want = 1, .per_second = 1e-300, .burst = 1}), "kv_bad_limit");
  EXPECT_EQ(this->TakeReason({.key = "a", .want = INT64_MIN, .per_second = 1, .burst = 1}), "kv_bad_limit");
  EXPECT_EQ(this->HoldReason({.key = "a", .host = "", .hold = 1, .limit = 1}), "kv_bad_key");
  EXPECT_EQ(this->HoldReason({.key = "a", .host = "h", .hold = -1, .limit = 1}), "kv_bad_limit");
  EXPECT_EQ(this->HoldReason({.key = "a", .host = "h", .hold = 1, .limit = INT64_MAX}), "kv_bad_limit");
}

REGISTER_TYPED_TEST_SUITE_P(TokenStoreSuite, ABucketBeginsFullAndGivesAsManyAsThereAre,
                            TheBurstCanBeTakenOneByOne, ItFillsWithTimeUpToTheBurst,
                            WhatIsGivenBackCanBeTakenAgain, BucketsAreApartAndEveryRequestIsByItself,
                            HighRatesAreKept, PermitsAreSharedUpToTheLimit, ASmallerLimitTakesNothingAway,
                            PermitsExpireUnlessTheHostAsksAgain, RefusesWhatIsOutOfRange);

}  // namespace mezzo::storage::testing

#define MEZZO_TOKEN_STORE_SUITE(prefix, harness) \
  INSTANTIATE_TYPED_TEST_SUITE_P(prefix, TokenStoreSuite, harness)
