#include "mezzo/storage/shared_clock.h"

#include "databases.h"
#include <gtest/gtest.h>

namespace mezzo::jobs {
namespace {

/// A host whose clock goes wrong by `error`.
class WrongClock final : public Clock {
 public:
  explicit WrongClock(Duration error) : error_(error) {}
  [[nodiscard]] TimePoint Now() const override { return real_.Now(); }
  [[nodiscard]] WallTime WallNow() const override { return real_.WallNow() + error_; }

 private:
  const RealClock real_;
  const Duration error_;
};

class SharedClockTest : public ::testing::TestWithParam<storage::SqlDialect> {
 protected:
  const RealClock real_;
  storage::testing::TempDir folder_;
  const std::unique_ptr<storage::SqlDb> db_ = OpenEmptyQueue(GetParam(), folder_, real_);
};

TEST_P(SharedClockTest, HostsWithWrongClocksAgreeWithTheirDatabase) {
  for (const Duration error : {Duration(std::chrono::hours(-5)), Duration(std::chrono::minutes(7))}) {
    const WrongClock wrong(error);
    storage::SharedClock clock(wrong);
    const auto done = clock.Synchronise(*db_, real_.Now() + std::chrono::seconds(10));
    ASSERT_TRUE(done.ok()) << done.error().ToString();
    // SQLite's clock is the host's own, right or wrong.
    const Duration expected = GetParam() == storage::SqlDialect::kSqlite ? error : Duration::zero();
    const Duration off = clock.WallNow() - real_.WallNow() - expected;
    EXPECT_LT(std::chrono::abs(off), std::chrono::milliseconds(50)) << Seconds(off);
  }
}

INSTANTIATE_TEST_SUITE_P(Databases, SharedClockTest, BothDatabases(), DatabaseName);

}  // namespace
}  // namespace mezzo::jobs
