#include "mezzo/cache/shared_secret.h"

#include <future>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "databases.h"
#include <gtest/gtest.h>

#include "mezzo/storage/migrations.h"

namespace mezzo::cache {
namespace {

class SharedSecretTest : public ::testing::TestWithParam<storage::SqlDialect> {
 protected:
  TimePoint Limit() { return clock_.Now() + std::chrono::seconds(60); }
  std::unique_ptr<tenancy::TestDatabase> Open() {
    auto database = tenancy::OpenEmptyDatabase(GetParam(), clock_);
    const auto migrated =
        storage::Migrate(*database->db, "cache_shared", SharedSecretMigrations(), Limit(), clock_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
    return database;
  }

  RealClock clock_;
};

TEST_P(SharedSecretTest, HostsThatComeAtTheSameTimeHaveTheSame) {
  const auto database = Open();
  std::vector<std::future<Result<std::string>>> hosts;
  hosts.reserve(8);
  for (int i = 0; i < 8; ++i) {
    hosts.push_back(std::async(std::launch::async, [&] { return LoadSharedSecret(*database->db, Limit()); }));
  }
  std::set<std::string> secrets;
  for (auto& host : hosts) {
    const Result<std::string> secret = host.get();
    ASSERT_TRUE(secret.ok()) << secret.error().ToString();
    secrets.insert(*secret);
  }
  ASSERT_EQ(secrets.size(), 1U);
  EXPECT_EQ(secrets.begin()->size(), 64U);
  EXPECT_EQ(LoadSharedSecret(*database->db, Limit()).value(), *secrets.begin());
}

TEST_P(SharedSecretTest, DatabasesHaveDifferentOnes) {
  const auto one = Open();
  const std::string first = LoadSharedSecret(*one->db, Limit()).value();
  const auto other = Open();
  EXPECT_NE(LoadSharedSecret(*other->db, Limit()).value(), first);
}

INSTANTIATE_TEST_SUITE_P(Databases, SharedSecretTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::cache
