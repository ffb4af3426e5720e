#include "mezzo/jobs/job_cache.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "queue_fixture.h"
#include <gtest/gtest.h>

namespace mezzo::jobs {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Ended jobs on this host, and on another one that shares the database.
class JobCacheTest : public QueueTest {
 protected:
  std::unique_ptr<JobCache> MakeCache(cache::RecentItems& items) {
    auto made = std::make_unique<JobCache>(JobCache::Options(), items, *db_, clock_);
    return made;
  }
  JobId Ended(const std::string& tenant = "a") {
    const JobId id = Add(New(tenant));
    EXPECT_TRUE(Succeed(ClaimOne().fence));
    Drain();
    return id;
  }
  /// Waits until all that was told before has arrived: notifications come in order.
  void Drain() {
    ASSERT_TRUE(Within(seconds(20), [&] { return greeted_.load(); })) << "listening has not begun";
    const auto told = db_->Transact(
        [](storage::SqlSession& session) {
          return session.Notify({.channel = kChangedChannel, .payload = "sentinel"});
        },
        Soon());
    ASSERT_TRUE(told.ok());
    ++drained_;
    ASSERT_TRUE(Within(seconds(20), [&] { return sentinels_ >= drained_; }));
  }
  /// As JobService::Get(): the cache, and then the database.
  bool Read(JobCache& kept, const JobId& id, const std::string& tenant = "a") {
    if (kept.Find(TenantId(tenant), id) != nullptr) return true;
    JobCache::Reading reading(kept, id);
    const auto job = reader_->Get(TenantId(tenant), id, Soon());
    if (job.ok()) reading.Keep(*job);
    return job.ok();
  }
  bool Within(seconds limit, const std::function<bool()>& holds) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return true;
  }
  /// Reads until it is kept: an answer may be refused as a newcomer.
  bool BecomesKept(JobCache& kept, const JobId& id) {
    return Within(seconds(20), [&] { return Read(kept, id) && kept.Find(TenantId("a"), id) != nullptr; });
  }

  std::atomic<int> sentinels_ = 0;     // Seen so far; no partner.
  std::atomic<bool> greeted_ = false;  // No partner.
  int drained_ = 0;
  std::shared_ptr<void> sentinel_ = db_->Listen(std::string(kChangedChannel), [this](std::string_view told) {
    if (told.empty()) greeted_ = true;
    if (told == "sentinel") sentinels_.fetch_add(1);
  });
  observe::Registry registry_;
  observe::Registry other_registry_;
  cache::RecentItems items_{ByteCount{1} << 20, registry_, clock_};
  cache::RecentItems other_items_{ByteCount{1} << 20, other_registry_, clock_};
};

TEST_P(JobCacheTest, AnEndedJobIsKeptWithItsResultForItsTenant) {
  const auto kept = MakeCache(items_);
  const JobId id = Ended();
  ASSERT_TRUE(BecomesKept(*kept, id));

  const auto job = kept->Find(TenantId("a"), id);
  EXPECT_EQ(job->result, R"({"ok":true})");
  EXPECT_EQ(job->state, JobState::kSucceeded);
  EXPECT_EQ(kept->Find(TenantId("b"), id), nullptr);
  EXPECT_FALSE(Read(*kept, id, "b"));
  EXPECT_NE(kept->Find(TenantId("a"), id), nullptr) << "another tenant's question changes nothing";
}

TEST_P(JobCacheTest, AJobThatGoesOnIsNotKept) {
  const auto kept = MakeCache(items_);
  const JobId id = Add(New());
  EXPECT_TRUE(Read(*kept, id));
  EXPECT_EQ(kept->Find(TenantId("a"), id), nullptr);
  ClaimOne();
  EXPECT_TRUE(Read(*kept, id));
  EXPECT_EQ(kept->Find(TenantId("a"), id), nullptr);
}

TEST_P(JobCacheTest, AJobThatWasForgottenIsGoneHereAtOnceAndElsewhereSoon) {
  const auto here = MakeCache(items_);
  const auto elsewhere = MakeCache(other_items_);
  const JobId id = Ended();
  ASSERT_TRUE(BecomesKept(*here, id));
  ASSERT_TRUE(BecomesKept(*elsewhere, id));

  ASSERT_TRUE(store_->Delete(TenantId("a"), id, Soon()).ok());
  here->Forget(id);

  EXPECT_FALSE(Read(*here, id));
  EXPECT_TRUE(Within(seconds(20), [&] { return elsewhere->Find(TenantId("a"), id) == nullptr; }));
  EXPECT_FALSE(Read(*elsewhere, id));
}

TEST_P(JobCacheTest, AJobThatIsForgottenWhileItIsReadIsNotKept) {
  const auto kept = MakeCache(items_);
  const JobId id = Ended();
  ASSERT_TRUE(BecomesKept(*kept, id));  // What was told of it has arrived.
  kept->Forget(id);

  JobCache::Reading reading(*kept, id);
  JobCache::Reading beside(*kept, JobId("other"));
  const Job job = Get(id);
  ASSERT_TRUE(store_->Delete(TenantId("a"), id, Soon()).ok());
  kept->Forget(id);
  reading.Keep(job);

  EXPECT_EQ(kept->Find(TenantId("a"), id), nullptr);
}

TEST_P(JobCacheTest, NothingIsKeptLongerThanSevenDaysOrThanTheDatabaseKeepsIt) {
  const auto kept = MakeCache(items_);
  const JobId id = Ended();
  ASSERT_TRUE(BecomesKept(*kept, id));
  clock_.Advance(hours(24 * 7) - seconds(1));
  EXPECT_NE(kept->Find(TenantId("a"), id), nullptr);
  clock_.Advance(seconds(1));
  EXPECT_EQ(kept->Find(TenantId("a"), id), nullptr);

  clock_.Advance(hours(24 * 22));  // 29 days after its end: a day is left.
  ASSERT_TRUE(BecomesKept(*kept, id));
  clock_.Advance(hours(24));
  EXPECT_EQ(kept->Find(TenantId("a"), id), nullptr);
  ASSERT_TRUE(Read(*kept, id)) << "not pruned yet";
  EXPECT_EQ(kept->Find(TenantId("a"), id), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Databases, JobCacheTest, BothDatabases(), DatabaseName);

}  // namespace
}  // namespace mezzo::jobs
