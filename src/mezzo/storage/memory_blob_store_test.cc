#include "mezzo/storage/testing/memory_blob_store.h"

#include <map>
#include <string>

#include "mezzo/storage/testing/blob_store_suite.h"

namespace mezzo::storage::testing {
namespace {

/// Its URLs hold for the keys that it wrote.
class MemoryHarness {
 public:
  BlobStore& store() { return store_; }
  std::string Fetch(const std::string& url) {
    const auto key = BlobKey::Parse(url.substr(url.find(':') + 1));
    auto content = ReadBlob(store_, *key, 1 << 20, kNever);
    return content.ok() ? *std::move(content) : "";
  }

 private:
  const RealClock clock_;
  MemoryBlobStore store_{clock_};
};

MEZZO_BLOB_STORE_SUITE(Memory, MemoryHarness);

TEST(MemoryBlobStore, ReadingNoticesAChangedByte) {
  const RealClock clock;
  MemoryBlobStore store(clock);
  const BlobKey key = *BlobKey::Parse("t/j/1/a");
  ASSERT_TRUE(WriteBlob(store, key, AsBytes("content"), {}, kNever).ok());
  store.Corrupt(key);

  EXPECT_EQ(ReadBlob(store, key, 100, kNever).error().reason(), "blob_corrupt");
}

TEST(MemoryBlobStore, ReadBlobRefusesMoreThanItsLimit) {
  const RealClock clock;
  MemoryBlobStore store(clock);
  const BlobKey key = *BlobKey::Parse("t/j/1/a");
  ASSERT_TRUE(WriteBlob(store, key, AsBytes("12345"), {}, kNever).ok());

  EXPECT_EQ(ReadBlob(store, key, 4, kNever).error().reason(), "blob_too_large");
  EXPECT_EQ(*ReadBlob(store, key, 5, kNever), "12345");
}

TEST(MemoryBlobStore, RefusesMoreThanItsLimit) {
  const RealClock clock;
  MemoryBlobStore store(clock, 4);
  const BlobKey key = *BlobKey::Parse("t/j/1/a");

  EXPECT_EQ(WriteBlob(store, key, AsBytes("12345"), {}, kNever).error().reason(), "blob_too_large");
  EXPECT_EQ(store.Stat(key, kNever).error().reason(), "blob_missing");
}

}  // namespace
}  // namespace mezzo::storage::testing
