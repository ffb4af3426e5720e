#include "mezzo/jobs/queue_pruner.h"

#include <string>

#include "queue_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::jobs {
namespace {

using std::chrono::hours;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr Duration kDay = hours(24);

class QueuePrunerTest : public QueueTest {
 protected:
  QueuePrunerTest() { Pass(At(2026, 3, 10) - clock_.WallNow()); }

  static WallTime At(int year, unsigned month, unsigned day) {
    return WallTime(
        std::chrono::sys_days(std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day))
            .time_since_epoch());
  }
  void Pass(Duration time) { clock_.Advance(time); }
  QueuePruner::Pruned Prune(std::size_t rows = 500) {
    QueuePruner pruner({.job_retention = 30 * kDay, .rows = rows}, *db_, clock_);
    const auto pruned = pruner.Prune(Soon());
    EXPECT_TRUE(pruned.ok()) << pruned.error().ToString();
    return pruned.ok() ? *pruned : QueuePruner::Pruned{};
  }
};

class QueuePartitionTest : public QueuePrunerTest {
 protected:
  std::vector<std::string> Partitions() {
    return Query("SELECT relname FROM pg_class WHERE relname ~ '^jobs_[0-9]{4}_[0-9]{2}$' ORDER BY relname");
  }
};

TEST_P(QueuePrunerTest, DeletesWhatEndedLongAgoAndNothingElse) {
  const JobId ended = Add(New());
  ASSERT_TRUE(Succeed(ClaimOne().fence));
  const JobId waiting = Add(New());
  Pass(20 * kDay);
  const JobId later = Add(New("a", Tier::kPaid));
  ASSERT_TRUE(Succeed(ClaimOne().fence));
  Pass(11 * kDay);

  EXPECT_EQ(Prune().jobs, 1U);
  EXPECT_THAT(Query("SELECT id FROM jobs ORDER BY id"), ElementsAre(waiting.str(), later.str()));
  EXPECT_EQ(Prune().jobs, 0U);
}

TEST_P(QueuePrunerTest, DeletesNoMoreAtOnceThanItsBoundAndSaysThatThereIsMore) {
  for (int i = 0; i < 5; ++i) {
    Add(New());
    ASSERT_TRUE(Succeed(ClaimOne().fence));
  }
  Pass(31 * kDay);
  QueuePruner::Pruned pruned = Prune(2);
  EXPECT_EQ(pruned.jobs, 2U);
  EXPECT_TRUE(pruned.more);
  EXPECT_EQ(Prune(2).jobs, 2U);
  pruned = Prune(2);
  EXPECT_EQ(pruned.jobs, 1U);
  EXPECT_FALSE(pruned.more);
}

TEST_P(QueuePrunerTest, ForgetsIdempotencyKeysWhoseTimeIsOver) {
  NewJob job = New();
  job.idempotency_key = "once";
  Add(job);
  Pass(hours(23));
  EXPECT_EQ(Prune().keys, 0U);
  Pass(hours(2));
  EXPECT_EQ(Prune().keys, 1U);
  EXPECT_THAT(Query("SELECT key FROM job_idempotency"), IsEmpty());
}

TEST_P(QueuePartitionTest, MonthsGetPartitionsAheadAndJobsGoIntoThem) {
  EXPECT_EQ(Prune().partitions_made, 2U);
  EXPECT_THAT(Partitions(), ElementsAre("jobs_2026_03", "jobs_2026_04"));
  EXPECT_EQ(Prune().partitions_made, 0U);

  const JobId march = Add(New());
  Pass(25 * kDay);
  const JobId april = Add(New());
  EXPECT_THAT(Query("SELECT id FROM jobs_2026_03"), ElementsAre(march.str()));
  EXPECT_THAT(Query("SELECT id FROM jobs_2026_04"), ElementsAre(april.str()));
  EXPECT_EQ(Claim(2).size(), 2U) << "the order of claims does not stop at the end of a month";
}

TEST_P(QueuePartitionTest, AMonthIsDroppedWholeOnceAllItsJobsHaveEnded) {
  Prune();
  Add(New());
  Pass(125 * kDay);
  EXPECT_EQ(Prune().partitions_dropped, 1U) << "April, which has no jobs";
  EXPECT_THAT(Partitions(), Contains("jobs_2026_03")) << "a job of it still waits";
  ASSERT_TRUE(Succeed(ClaimOne().fence));
  Pass(kDay);
  EXPECT_EQ(Prune().partitions_dropped, 1U);
  EXPECT_THAT(Partitions(), Not(Contains("jobs_2026_03")));
  EXPECT_THAT(Query("SELECT id FROM jobs"), IsEmpty());
}

TEST_P(QueuePartitionTest, AMonthWhoseFirstJobsCameTooEarlyStaysInTheDefaultPartition) {
  Add(New());
  EXPECT_EQ(Prune().partitions_made, 1U);
  EXPECT_THAT(Partitions(), ElementsAre("jobs_2026_04"));
  ASSERT_TRUE(Succeed(ClaimOne().fence));
  Pass(31 * kDay);
  EXPECT_EQ(Prune().jobs, 1U);
}

INSTANTIATE_TEST_SUITE_P(Databases, QueuePrunerTest, BothDatabases(), DatabaseName);
INSTANTIATE_TEST_SUITE_P(Databases, QueuePartitionTest, ::testing::Values(storage::SqlDialect::kPostgres),
                         DatabaseName);

}  // namespace
}  // namespace mezzo::jobs
