#include "mezzo/storage/blob_upkeep.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "mezzo/base/uuid.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/retaining_blob_store.h"
#include "mezzo/storage/testing/faulty_blob_store.h"
#include "mezzo/storage/testing/memory_blob_store.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::storage {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

class BlobUpkeepTest : public ::testing::Test {
 protected:
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + seconds(10); }
  BlobKey Put(const std::string& job, BlobWriteOptions options = {}) {
    const BlobKey key = *BlobKey::Parse("acme/" + job + "/1/x");
    const auto facts = WriteBlob(store_, key, AsBytes("x"), std::move(options), Soon());
    EXPECT_TRUE(facts.ok()) << facts.error().ToString();
    return key;
  }
  bool Archived(const BlobKey& key) { return store_.Stat(key, Soon())->archived; }
  bool There(const BlobKey& key) { return store_.Stat(key, Soon()).ok(); }
  BlobUpkeep Make(BlobUpkeep::Options options = {}) {
    return BlobUpkeep(options, {.store = store_, .spill = nullptr, .clock = clock_, .registry = registry_});
  }

  mezzo::testing::ManualClock clock_;
  observe::Registry registry_;
  testing::MemoryBlobStore store_{clock_};
};

TEST_F(BlobUpkeepTest, RemovesWhatHasExpiredOnceInAnInterval) {
  BlobUpkeep upkeep = Make({.sweep_interval = minutes(1), .batch = 2});
  const WallTime soon = clock_.WallNow() + seconds(30);
  for (const char* job : {"a", "b", "c"}) Put(job, {.expires_at = soon});
  EXPECT_EQ(upkeep.Run(Soon()).removed, 0U);
  clock_.Advance(seconds(40));
  EXPECT_EQ(upkeep.Run(Soon()).removed, 0U) << "not yet due";

  clock_.Advance(seconds(30));
  const auto first = upkeep.Run(Soon());
  EXPECT_EQ(first.removed, 2U);
  EXPECT_TRUE(first.more);
  const auto second = upkeep.Run(Soon());
  EXPECT_EQ(second.removed, 1U);
  EXPECT_FALSE(second.more);
}

TEST_F(BlobUpkeepTest, ArchivesWhatIsOldOnly) {
  const BlobKey old_job = Put(NewUuidV7(clock_.WallNow()));
  const BlobKey old_name = Put("no-uuid");
  clock_.Advance(hours(24 * 91));
  const BlobKey young_job = Put(NewUuidV7(clock_.WallNow()));
  const BlobKey young_name = Put("no-uuid-2");
  BlobUpkeep upkeep = Make({.archive_after = hours(24 * 90), .batch = 3});

  const auto first = upkeep.Run(Soon());
  EXPECT_TRUE(first.more);
  const auto second = upkeep.Run(Soon());
  EXPECT_FALSE(second.more);
  EXPECT_EQ(first.archived + second.archived, 2U);
  EXPECT_TRUE(Archived(old_job));
  EXPECT_TRUE(Archived(old_name));
  EXPECT_FALSE(Archived(young_job));
  EXPECT_FALSE(Archived(young_name));

  clock_.Advance(hours(24 * 90));
  EXPECT_EQ(upkeep.Run(Soon()).archived, 2U) << "a later walk";
}

TEST_F(BlobUpkeepTest, WithoutAnAgeNothingIsArchived) {
  const BlobKey key = Put("a");
  clock_.Advance(hours(24 * 1000));
  BlobUpkeep upkeep = Make();
  EXPECT_EQ(upkeep.Run(Soon()).archived, 0U);
  EXPECT_FALSE(Archived(key));
}

TEST_F(BlobUpkeepTest, AJobsIdThatLiesAboutItsAgeDoesNotArchiveAYoungObject) {
  const BlobKey key = Put("00000000-0001-7000-8000-000000000000");
  BlobUpkeep upkeep = Make({.archive_after = hours(1)});
  EXPECT_EQ(upkeep.Run(Soon()).archived, 0U);
  EXPECT_FALSE(Archived(key));
}

TEST_F(BlobUpkeepTest, AFailedRoundIsMadeUpForLater) {
  constexpr std::size_t kCalls = 30;  // Of ten minutes: sweeps, and a walk each minute.
  for (std::size_t n = 1; n <= kCalls; ++n) {
    testing::MemoryBlobStore inner(clock_);
    testing::BlobFaults faults;
    testing::FaultyBlobStore faulty(inner, faults);
    BlobUpkeep upkeep({.archive_after = hours(1), .archive_interval = minutes(1), .batch = 2},
                      {.store = faulty, .spill = nullptr, .clock = clock_, .registry = registry_});
    for (const char* job : {"a", "b", "c", "d"}) {
      const BlobKey key = *BlobKey::Parse("acme/" + std::string(job) + "/1/x");
      ASSERT_TRUE(
          WriteBlob(inner, key, AsBytes("x"), {.stored_at = clock_.WallNow() - hours(2)}, Soon()).ok());
    }
    faults.FailOne(n);
    bool failed = false;
    std::size_t archived = 0;
    for (int round = 0; round < 20; ++round) {
      const auto done = upkeep.Run(Soon());
      failed = failed || done.error.has_value();
      archived += done.archived;
      clock_.Advance(seconds(30));
    }
    EXPECT_EQ(archived, 4U) << "call " << n << " failed";
    EXPECT_TRUE(failed && faults.hit()) << n;
  }
}

TEST_F(BlobUpkeepTest, MovesWhatAnOutageLeftHere) {
  testing::MemoryBlobStore primary(clock_);
  testing::BlobFaults faults;
  testing::FaultyBlobStore faulty(primary, faults);
  auto spill = *SpillBlobStore::Create({}, faulty, store_, clock_, registry_, Soon());
  BlobUpkeep upkeep({}, {.store = *spill, .spill = spill.get(), .clock = clock_, .registry = registry_});
  faults.FailFrom(1);
  const BlobKey key = *BlobKey::Parse("acme/job/1/x");
  ASSERT_TRUE(WriteBlob(*spill, key, AsBytes("kept"), {}, Soon()).ok());
  EXPECT_EQ(upkeep.Run(Soon()).moved, 0U);
  faults.FailNone();
  clock_.Advance(minutes(2));

  EXPECT_EQ(upkeep.Run(Soon()).moved, 1U);
  EXPECT_EQ(*ReadBlob(primary, key, 100, Soon()), "kept");
}

TEST(RetainingBlobStore, GivesATimeToObjectsThatHaveNone) {
  const mezzo::testing::ManualClock clock;
  testing::MemoryBlobStore inner(clock);
  RetainingBlobStore store(inner, hours(5), clock);
  const BlobKey key = *BlobKey::Parse("acme/job/1/x");
  const TimePoint soon = clock.Now() + seconds(10);
  ASSERT_TRUE(WriteBlob(store, key, AsBytes("x"), {}, soon).ok());
  EXPECT_EQ(store.Stat(key, soon)->expires_at, clock.WallNow() + hours(5));
  ASSERT_TRUE(WriteBlob(store, key, AsBytes("x"), {.expires_at = clock.WallNow() + hours(1)}, soon).ok());
  EXPECT_EQ(inner.Stat(key, soon)->expires_at, clock.WallNow() + hours(1));
}

}  // namespace
}  // namespace mezzo::storage
