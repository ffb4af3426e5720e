#pragma once

#include "mezzo/storage/testing/blob_store_fixture.h"

namespace mezzo::storage::testing {

/// Expiry and the archive. Part of blob_store_suite.h.
template <typename Harness>
class BlobRetentionSuite : public BlobStoreFixture<Harness> {};

TYPED_TEST_SUITE_P(BlobRetentionSuite);

TYPED_TEST_P(BlobRetentionSuite, SweepingRemovesWhatHasExpiredOnly) {
  const WallTime base(std::chrono::seconds(1'000'000'000));  // Before everything that other tests keep.
  const auto hours = [&](int n) { return base + std::chrono::hours(n); };
  this->Put(this->Key("j/1/first"), "1", {.expires_at = hours(1)});
  this->Put(this->Key("j/1/second"), "2", {.expires_at = hours(2) + std::chrono::minutes(10)});
  this->Put(this->Key("j/1/later"), "3", {.expires_at = hours(9)});
  this->Put(this->Key("j/1/forever"), "4");

  EXPECT_EQ(this->Sweep(hours(1) - std::chrono::nanoseconds(1)), 0U);
  EXPECT_EQ(this->Sweep(hours(1)), 1U);
  EXPECT_EQ(this->Get(this->Key("j/1/first")), "[blob_missing]");
  EXPECT_EQ(this->Sweep(hours(2) + std::chrono::minutes(9)), 0U)
      << "within the hour of its end, but before it";
  EXPECT_EQ(this->Sweep(hours(2) + std::chrono::minutes(10)), 1U);
  EXPECT_EQ(this->Sweep(hours(2) + std::chrono::minutes(10)), 0U) << "sweeping twice finds nothing more";
  EXPECT_THAT(this->Names(this->TenantPrefix()), ::testing::ElementsAre("j/1/forever", "j/1/later"));
  EXPECT_EQ(this->Sweep(hours(9)), 1U);
}

TYPED_TEST_P(BlobRetentionSuite, SweepingHeedsItsLimit) {
  const WallTime expires(std::chrono::seconds(1'100'000'000));
  for (int i = 0; i < 5; ++i) this->Put(this->Key("j/1/n" + std::to_string(i)), "x", {.expires_at = expires});

  const auto first = this->store().SweepExpired(expires, 3, this->Soon());

  ASSERT_TRUE(first.ok()) << first.error().ToString();
  EXPECT_EQ(first->removed, 3U);
  EXPECT_TRUE(first->more);
  EXPECT_EQ(this->Names(this->TenantPrefix()).size(), 2U);
  EXPECT_EQ(this->Sweep(expires, 3), 2U);
}

TYPED_TEST_P(BlobRetentionSuite, AnObjectWrittenAgainExpiresByItsNewTime) {
  const WallTime early(std::chrono::seconds(1'200'000'000));
  const WallTime late = early + std::chrono::hours(50);
  this->Put(this->Key("j/1/extended"), "x", {.expires_at = early});
  this->Put(this->Key("j/1/extended"), "x", {.expires_at = late});
  this->Put(this->Key("j/1/kept"), "x", {.expires_at = early});
  this->Put(this->Key("j/1/kept"), "x");

  EXPECT_EQ(this->Sweep(early), 0U);
  EXPECT_EQ(this->Sweep(late), 1U);
  EXPECT_THAT(this->Names(this->TenantPrefix()), ::testing::ElementsAre("j/1/kept"));
}

TYPED_TEST_P(BlobRetentionSuite, AnArchivedObjectIsReadAsBefore) {
  const BlobKey key = this->Key("j/1/old");
  const BlobFacts facts = this->Put(key, "archived content", {.content_type = "image/png"});

  ASSERT_TRUE(this->store().Archive(key, this->Soon()).ok());
  ASSERT_TRUE(this->store().Archive(key, this->Soon()).ok()) << "archiving twice is no error";

  const auto stat = this->store().Stat(key, this->Soon());
  ASSERT_TRUE(stat.ok()) << stat.error().ToString();
  EXPECT_TRUE(stat->archived);
  EXPECT_EQ(stat->content_type, "image/png");
  EXPECT_EQ(stat->sha256, facts.sha256);
  EXPECT_EQ(stat->stored_at, facts.stored_at);
  EXPECT_EQ(this->Get(key), "archived content");
  EXPECT_THAT(this->Names(this->TenantPrefix()), ::testing::ElementsAre("j/1/old"));
}

TYPED_TEST_P(BlobRetentionSuite, AnArchivedObjectCanBeReplacedAndDeleted) {
  const BlobKey key = this->Key("j/1/old");
  this->Put(key, "old");
  ASSERT_TRUE(this->store().Archive(key, this->Soon()).ok());

  this->Put(key, "new");
  EXPECT_EQ(this->Get(key), "new");
  EXPECT_FALSE(this->store().Stat(key, this->Soon())->archived);
  EXPECT_EQ(this->Names(this->TenantPrefix()).size(), 1U);
  ASSERT_TRUE(this->store().Archive(key, this->Soon()).ok());
  EXPECT_EQ(this->Get(key), "new");

  this->Put(key, "newest");
  ASSERT_TRUE(this->store().Delete(key, this->Soon()).ok());
  EXPECT_EQ(this->Get(key), "[blob_missing]");
}

TYPED_TEST_P(BlobRetentionSuite, AnArchivedObjectExpires) {
  const WallTime expires(std::chrono::seconds(1'300'000'000));
  this->Put(this->Key("j/1/old"), "x", {.expires_at = expires});
  ASSERT_TRUE(this->store().Archive(this->Key("j/1/old"), this->Soon()).ok());
  EXPECT_EQ(this->Sweep(expires), 1U);
  EXPECT_EQ(this->Get(this->Key("j/1/old")), "[blob_missing]");
}

REGISTER_TYPED_TEST_SUITE_P(BlobRetentionSuite, SweepingRemovesWhatHasExpiredOnly, SweepingHeedsItsLimit,
                            AnObjectWrittenAgainExpiresByItsNewTime, AnArchivedObjectIsReadAsBefore,
                            AnArchivedObjectCanBeReplacedAndDeleted, AnArchivedObjectExpires);

}  // namespace mezzo::storage::testing
