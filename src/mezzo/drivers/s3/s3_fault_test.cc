// A real MinIO that dies and hangs.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/drivers/s3/internal/s3_listing.h"
#include "mezzo/drivers/s3/internal/s3_transport.h"
#include "mezzo/drivers/s3/s3_blob_store.h"
#include "mezzo/drivers/s3/testing/minio_server.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/spill_blob_store.h"
#include "mezzo/storage/testing/memory_blob_store.h"

namespace mezzo::drivers {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using storage::BlobKey;
using storage::SpillBlobStore;
using testing::MinioServer;

class S3FaultTest : public ::testing::Test {
 protected:
  [[nodiscard]] TimePoint In(Duration time) const { return clock_.Now() + time; }
  std::string Get(storage::BlobStore& store, const BlobKey& key) {
    auto content = ReadBlob(store, key, 64 << 20, In(seconds(20)));
    return content.ok() ? *std::move(content) : "[" + content.error().reason() + "]";
  }

  const RealClock clock_;
  observe::Registry registry_;
  MinioServer minio_;
};

TEST_F(S3FaultTest, AServerThatDiesInTheMiddleOfAnUploadLeavesOldOrNew) {
  S3Options options = minio_.Options();
  options.multipart_threshold = ByteCount{5} << 20;
  options.max_attempts = 2;
  // The callback is asked before every attempt: it stops the server before the n-th request of a write.
  const auto requests = std::make_shared<std::atomic<int>>(0);  // Shared with the callback; no partner.
  const auto dies_at = std::make_shared<std::atomic<int>>(0);
  options.credentials = [this, requests, dies_at, inner = options.credentials] {
    if (++*requests == *dies_at) minio_.Stop();
    return inner();
  };
  const auto store = *S3BlobStore::Create(options, clock_, registry_);
  const BlobKey key = *BlobKey::Parse("acme/job/1/film");
  const std::string old = "old";
  std::string content(11'000'000, 'n');
  ASSERT_TRUE(WriteBlob(*store, key, AsBytes(old), {}, In(seconds(20))).ok());

  bool untouched = false;
  for (int n = 1; !untouched; ++n) {
    ASSERT_LT(n, 20);
    content[0] = static_cast<char>('a' + n);
    *requests = 0;
    *dies_at = n;
    const auto written = WriteBlob(*store, key, AsBytes(content), {}, In(seconds(20)));
    untouched = *requests < n;
    *dies_at = 0;
    if (!untouched) minio_.Start();
    const std::string found = Get(*store, key);
    if (written.ok()) {
      EXPECT_TRUE(found == content) << n;
    } else {
      EXPECT_EQ(written.error().reason(), "blob_store_unavailable") << n;
      EXPECT_TRUE(found == old || found == content) << n << ": " << found.size() << " bytes";
    }
    const auto again = WriteBlob(*store, key, AsBytes(old), {}, In(seconds(20)));
    EXPECT_TRUE(again.ok()) << n;
  }

  // What the dead servers' uploads have left goes with a later sweep.
  ASSERT_TRUE(store->SweepExpired(clock_.WallNow() + hours(48), 100, In(seconds(20))).ok());
  internal::S3Transport transport(options, clock_, registry_);
  EXPECT_EQ(internal::ListKeys(transport, "uploads/", "", 10, In(seconds(20)))->keys.size(), 0U);
}

TEST_F(S3FaultTest, AServerThatHangsIsNotWaitedForBeyondTheDeadline) {
  const auto store = *S3BlobStore::Create(minio_.Options(), clock_, registry_);
  const BlobKey key = *BlobKey::Parse("acme/job/1/a");
  ASSERT_TRUE(WriteBlob(*store, key, AsBytes("a"), {}, In(seconds(20))).ok());
  minio_.Pause();
  const TimePoint start = clock_.Now();
  const auto facts = store->Stat(key, start + milliseconds(300));
  const Duration took = clock_.Now() - start;
  minio_.Resume();
  ASSERT_FALSE(facts.ok());
  EXPECT_EQ(facts.error().reason(), "blob_timeout");
  EXPECT_LT(took, seconds(2));
  EXPECT_EQ(Get(*store, key), "a");
}

TEST_F(S3FaultTest, ARestartedServerIsFoundAgain) {
  const auto store = *S3BlobStore::Create(minio_.Options(), clock_, registry_);
  const BlobKey key = *BlobKey::Parse("acme/job/1/a");
  ASSERT_TRUE(WriteBlob(*store, key, AsBytes("a"), {}, In(seconds(20))).ok());
  minio_.Stop();
  EXPECT_EQ(store->Stat(key, In(seconds(20))).error().reason(), "blob_store_unavailable");
  minio_.Start();
  EXPECT_EQ(Get(*store, key), "a");
}

/// G6: an outage of 60 s, at a sixtieth of its length, in both of its forms.
TEST_F(S3FaultTest, AnOutageDelaysNoJobAndLosesNoResult) {
  S3Options options = minio_.Options();
  options.answer_timeout = milliseconds(300);
  options.connect_timeout = milliseconds(200);
  options.max_attempts = 2;
  const auto primary = *S3BlobStore::Create(options, clock_, registry_);
  storage::testing::MemoryBlobStore local(clock_);
  SpillBlobStore::Options spill_options;
  spill_options.breaker.first_cooldown = milliseconds(50);
  spill_options.breaker.max_cooldown = milliseconds(200);
  const auto store =
      *SpillBlobStore::Create(spill_options, *primary, local, clock_, registry_, In(seconds(20)));

  std::vector<BlobKey> keys;
  Duration slowest{};
  const auto write_for = [&](Duration time) {
    const TimePoint end = In(time);
    while (clock_.Now() < end) {
      keys.push_back(*BlobKey::Parse("acme/job/1/n" + std::to_string(keys.size())));
      const TimePoint start = clock_.Now();
      const auto written = WriteBlob(*store, keys.back(), AsBytes(keys.back().text()), {}, In(seconds(10)));
      slowest = std::max<Duration>(slowest, clock_.Now() - start);
      ASSERT_TRUE(written.ok()) << written.error().ToString();
      ASSERT_EQ(Get(*store, keys.back()), keys.back().text());
      std::this_thread::sleep_for(milliseconds(10));
    }
  };
  write_for(milliseconds(200));
  EXPECT_EQ(store->local_objects(), 0U);

  minio_.Pause();
  write_for(seconds(1));
  minio_.Resume();
  const std::size_t kept = store->local_objects();
  EXPECT_GT(kept, 0U);
  minio_.Stop();
  write_for(seconds(1));
  EXPECT_GT(store->local_objects(), kept);
  minio_.Start();

  const TimePoint end = In(seconds(30));
  while (store->local_objects() > 0 && clock_.Now() < end) {
    (void)store->MoveSome(10, In(seconds(10)));
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(store->local_objects(), 0U);
  EXPECT_EQ(store->local_bytes(), 0U);
  for (const BlobKey& key : keys) EXPECT_EQ(Get(*primary, key), key.text());
  EXPECT_LT(slowest, seconds(5)) << "the breaker spares most writes the wait";
}

}  // namespace
}  // namespace mezzo::drivers
