#include "mezzo/storage/metered_blob_store.h"

#include <string>

#include "mezzo/storage/testing/blob_store_suite.h"
#include "mezzo/storage/testing/faulty_blob_store.h"
#include "mezzo/storage/testing/memory_blob_store.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::storage {
namespace {

using testing::BlobFaults;
using testing::FaultyBlobStore;
using testing::MemoryBlobStore;

class MeteredBlobStoreTest : public ::testing::Test {
 protected:
  std::uint64_t Calls(std::string_view operation, std::string_view outcome) {
    return registry_
        .NewCounterFamily("mezzo_storage_blob_calls_total", "Calls to object stores.",
                          {"store", "operation", "outcome"})
        .With({"memory", operation, outcome})
        .value();
  }
  std::uint64_t Bytes(std::string_view direction) {
    return registry_
        .NewCounterFamily("mezzo_storage_blob_bytes_total", "Content read from and written to object stores.",
                          {"store", "direction"})
        .With({"memory", direction})
        .value();
  }

  mezzo::testing::ManualClock clock_;
  observe::Registry registry_;
  BlobFaults faults_;
  MemoryBlobStore memory_{clock_};
  FaultyBlobStore faulty_{memory_, faults_};
  MeteredBlobStore store_{faulty_, "memory", registry_, clock_};
  const BlobKey key_ = *BlobKey::Parse("t/j/1/a");
};

TEST_F(MeteredBlobStoreTest, CountsCallsByOutcomeAndBytes) {
  ASSERT_TRUE(WriteBlob(store_, key_, AsBytes("12345"), {}, kNever).ok());
  ASSERT_TRUE(ReadBlob(store_, key_, 100, kNever).ok());
  (void)store_.Stat(*BlobKey::Parse("t/j/1/none"), kNever);

  EXPECT_EQ(Calls("write", "ok"), 1U);
  EXPECT_EQ(Calls("read", "ok"), 1U);
  EXPECT_EQ(Calls("stat", "blob_missing"), 1U);
  EXPECT_EQ(Bytes("written"), 5U);
  EXPECT_EQ(Bytes("read"), 5U);
}

TEST_F(MeteredBlobStoreTest, CountsAWriteThatFailsWhereverItDoes) {
  for (std::size_t n = 1; n <= 3; ++n) {
    faults_.FailOne(n);
    EXPECT_FALSE(WriteBlob(store_, key_, AsBytes("12345"), {}, kNever).ok());
    EXPECT_EQ(Calls("write", "blob_store_unavailable"), n);
  }
  EXPECT_EQ(Bytes("written"), 0U);
}

TEST_F(MeteredBlobStoreTest, CountsAReadThatFailsInTheMiddle) {
  ASSERT_TRUE(WriteBlob(store_, key_, AsBytes("12345"), {}, kNever).ok());
  faults_.FailOne(2);
  EXPECT_FALSE(ReadBlob(store_, key_, 100, kNever).ok());
  EXPECT_EQ(Calls("read", "ok"), 1U);
  EXPECT_EQ(Calls("read", "blob_store_unavailable"), 1U);
}

}  // namespace

namespace testing {

class MeteredHarness {
 public:
  BlobStore& store() { return store_; }
  std::string Fetch(const std::string& url) {
    auto content = ReadBlob(inner_, *BlobKey::Parse(url.substr(url.find(':') + 1)), 1 << 20, kNever);
    return content.ok() ? *std::move(content) : "";
  }

 private:
  const RealClock clock_;
  observe::Registry registry_;
  MemoryBlobStore inner_{clock_};
  MeteredBlobStore store_{inner_, "memory", registry_, clock_};
};

MEZZO_BLOB_STORE_SUITE(Metered, MeteredHarness);

}  // namespace testing
}  // namespace mezzo::storage
