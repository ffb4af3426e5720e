// Limits on real databases: SQLite and PostgreSQL answer alike, and a change reaches the feed.

#include "mezzo/tenancy/limit_store.h"

#include "databases.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/tenancy/identity_store.h"

namespace mezzo::tenancy {
namespace {

class LimitStoreTest : public ::testing::TestWithParam<storage::SqlDialect> {
 protected:
  TimePoint Soon() const { return clock_.Now() + std::chrono::seconds(30); }

  RealClock clock_;
  std::unique_ptr<TestDatabase> database_ = OpenEmptyDatabase(GetParam(), clock_);
  LimitStore store_{{.max_limits = 3}, *database_->db, clock_};
  IdentityStore identities_{{}, *database_->db, clock_};
};

TEST_P(LimitStoreTest, ALimitComesBackAsItWasPut) {
  const Limit full{.name = "full",
                   .tenant = TenantId("acme"),
                   .project = ProjectId("shop"),
                   .key = KeyId("k1"),
                   .model = ModelName("m"),
                   .per = kPerKey | kPerModel,
                   .kind = LimitKind::kCost,
                   .rate = 2.5,
                   .burst = 10};
  EXPECT_EQ(store_.Put(full, Soon()).value(), full);
  EXPECT_EQ(store_.Get("full", Soon()).value(), full);

  const Limit other{.name = "full", .kind = LimitKind::kMonthlyMoney, .amount = 0.25};
  EXPECT_EQ(store_.Put(other, Soon()).value(), other);
  EXPECT_EQ(store_.Get("full", Soon()).value(), other);
  EXPECT_EQ(store_.Put({.name = "full"}, Soon()).error().reason(), "limit_invalid");

  ASSERT_TRUE(store_.Remove("full", Soon()).ok());
  EXPECT_EQ(store_.Get("full", Soon()).error().reason(), "limit_unknown");
  EXPECT_EQ(store_.Remove("full", Soon()).error().reason(), "limit_unknown");
}

TEST_P(LimitStoreTest, LimitsAreListedInPagesAndBounded) {
  for (const char* name : {"c", "a", "b"}) ASSERT_TRUE(store_.Put({.name = name, .rate = 1}, Soon()).ok());
  EXPECT_EQ(store_.Put({.name = "d", .rate = 1}, Soon()).error().reason(), "too_many_limits");
  EXPECT_TRUE(store_.Put({.name = "a", .rate = 2}, Soon()).ok()) << "replacing needs no room";
  const auto first = store_.List("", 2, Soon());
  ASSERT_EQ(first->size(), 2u);
  EXPECT_EQ(first->at(0).name, "a");
  const auto rest = store_.List(first->back().name, 2, Soon());
  ASSERT_EQ(rest->size(), 1u);
  EXPECT_EQ(rest->at(0).name, "c");
}

TEST_P(LimitStoreTest, EveryChangeMakesANewRevisionThatHasIt) {
  const auto before = identities_.Load(0, Soon()).value()->revision;
  ASSERT_TRUE(store_.Put({.name = "a", .rate = 1}, Soon()).ok());
  const auto after = identities_.Load(before, Soon()).value();
  ASSERT_TRUE(after.has_value());
  ASSERT_EQ(after->limits.size(), 1u);
  EXPECT_EQ(after->limits[0].name, "a");
  ASSERT_TRUE(store_.Remove("a", Soon()).ok());
  EXPECT_TRUE(identities_.Load(after->revision, Soon()).value()->limits.empty());
}

TEST_P(LimitStoreTest, WhatANewerHostHasWrittenIsLeftOut) {
  ASSERT_TRUE(store_.Put({.name = "a", .rate = 1}, Soon()).ok());
  const auto work = [](storage::SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.Run("UPDATE tenant_limits SET kind = 'weekly_requests'", {}));
    return {};
  };
  ASSERT_TRUE(database_->db->Transact(work, Soon()).ok());
  EXPECT_TRUE(identities_.Load(0, Soon()).value()->limits.empty());
}

TEST_P(LimitStoreTest, TiersAreKept) {
  const TenantId tenant("t");
  EXPECT_EQ(identities_.CreateTenant(tenant, {}, Soon())->settings.tiers, (std::array{false, false, true}));
  TenantSettings settings;
  settings.tiers = {true, true, false};
  EXPECT_EQ(identities_.ChangeTenant(tenant, settings, Soon())->settings.tiers, settings.tiers);
  EXPECT_EQ(identities_.GetTenant(tenant, Soon())->settings.tiers, settings.tiers);
  settings.tiers = {true, false, false};
  ASSERT_TRUE(identities_.DeclareTenant(tenant, settings, Soon()).ok());
  EXPECT_EQ(identities_.GetTenant(tenant, Soon())->settings.tiers, settings.tiers);
}

INSTANTIATE_TEST_SUITE_P(Databases, LimitStoreTest, BothDatabases(), DatabaseName);

}  // namespace
}  // namespace mezzo::tenancy
