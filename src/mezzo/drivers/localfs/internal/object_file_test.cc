#include "mezzo/drivers/localfs/internal/object_file.h"

#include <string>

#include <gtest/gtest.h>

#include "mezzo/base/strings.h"

namespace mezzo::drivers::internal {
namespace {

using storage::BlobFacts;
using storage::BlobKey;

BlobFacts Facts(const BlobKey& key) {
  return {.key = key,
          .size = 123,
          .sha256 = Sha256Hex("content"),
          .content_type = "text/plain; charset=utf-8",
          .etag = Sha256Hex("content"),
          .stored_at = WallTime(Duration(1'700'000'000'123'456'789)),
          .expires_at = WallTime(Duration(-1))};
}

TEST(ObjectTrailer, GivesBackTheFacts) {
  const BlobKey key = *BlobKey::Parse("t/j/1/n");
  const auto read = DecodeTrailer(key, EncodeTrailer(Facts(key)));
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ(read->size, 123U);
  EXPECT_EQ(read->sha256, Sha256Hex("content"));
  EXPECT_EQ(read->etag, read->sha256);
  EXPECT_EQ(read->content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(read->stored_at, Facts(key).stored_at);
  EXPECT_EQ(read->expires_at, Facts(key).expires_at);

  BlobFacts without = Facts(key);
  without.expires_at.reset();
  EXPECT_FALSE(DecodeTrailer(key, EncodeTrailer(without))->expires_at);
}

TEST(ObjectTrailer, TheLongestFactsFit) {
  const BlobKey key = *BlobKey::Parse(std::string(64, 't') + "/" + std::string(64, 'j') + "/4294967295/" +
                                      std::string(100, 'n'));
  BlobFacts facts = Facts(key);
  facts.size = UINT64_MAX;
  facts.content_type = "a/" + std::string(98, 'b');
  const std::string trailer = EncodeTrailer(facts);
  EXPECT_EQ(trailer.size(), kTrailerBytes);
  EXPECT_EQ(DecodeTrailer(key, trailer)->size, UINT64_MAX);
}

TEST(ObjectTrailer, EveryChangedByteIsNoticed) {
  const BlobKey key = *BlobKey::Parse("t/j/1/n");
  const std::string good = EncodeTrailer(Facts(key));
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int bit : {1, 0x80}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ bit);
      EXPECT_EQ(DecodeTrailer(key, bad).error().reason(), "blob_corrupt") << at;
    }
  }
}

TEST(ObjectTrailer, AnotherKeysTrailerIsRefused) {
  const std::string trailer = EncodeTrailer(Facts(*BlobKey::Parse("t/j/1/n")));
  EXPECT_FALSE(DecodeTrailer(*BlobKey::Parse("t2/j/1/n"), trailer).ok());
  EXPECT_FALSE(DecodeTrailer(*BlobKey::Parse("t/j/1/n"), trailer.substr(1)).ok());
  EXPECT_FALSE(DecodeTrailer(*BlobKey::Parse("t/j/1/n"), "").ok());
}

}  // namespace
}  // namespace mezzo::drivers::internal
