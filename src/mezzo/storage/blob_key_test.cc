#include "mezzo/storage/blob_key.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::storage {
namespace {

using ::testing::HasSubstr;

TEST(BlobKey, SplitsIntoItsParts) {
  const auto key = BlobKey::Parse("acme/01890f3c-job/12/shot_3.webp");
  ASSERT_TRUE(key.ok()) << key.error().ToString();
  EXPECT_EQ(key->tenant(), "acme");
  EXPECT_EQ(key->job(), "01890f3c-job");
  EXPECT_EQ(key->attempt(), "12");
  EXPECT_EQ(key->name(), "shot_3.webp");
  EXPECT_EQ(*key, *BlobKey::Make(TenantId("acme"), "01890f3c-job", 12, "shot_3.webp"));
}

// Traversal, absolute paths, hidden files, encodings, other separators, missing and extra parts: what went
// wrong elsewhere (CVE-2026-24209, CVE-2023-1177, CVE-2024-1560 and their kind).
TEST(BlobKey, RefusesEverythingThatIsNotFourSafeParts) {
  const std::vector<std::string> bad = {"",
                                        "/",
                                        "a",
                                        "a/b/1",
                                        "a/b/1/c/d",
                                        "/a/b/1/c",
                                        "a/b/1/c/",
                                        "a//1/c",
                                        "../b/1/c",
                                        "a/../1/c",
                                        "a/b/1/..",
                                        "a/b/1/.",
                                        "a/b/1/.hidden",
                                        "a/b/1/..%2fpasswd",
                                        "a/b/1/%2e%2e",
                                        "a/b/1/c\\d",
                                        "a/b/1/c d",
                                        "a/b/1/c:d",
                                        "a/b/1/c\n",
                                        std::string("a/b/1/c\0d", 9),
                                        "a/b/1/\xC3\xA4",
                                        "a/b/1/c+d",
                                        "a/b/x/c",
                                        "a/b//c",
                                        "a/b/-1/c",
                                        "a/b/01/c",
                                        "a/b/1.0/c",
                                        "a/b/4294967296/c",
                                        "~/b/1/c",
                                        "C:/b/1/c"};
  for (const std::string& text : bad) {
    const auto key = BlobKey::Parse(text);
    ASSERT_FALSE(key.ok()) << text;
    EXPECT_EQ(key.error().code(), Code::kInvalidArgument) << text;
    EXPECT_EQ(key.error().reason(), "blob_key_invalid") << text;
  }
}

TEST(BlobKey, PartsWithASlashInsideDoNotShiftTheOthers) {
  EXPECT_FALSE(BlobKey::Make(TenantId("a/b"), "1", 0, "c").ok());
  EXPECT_FALSE(BlobKey::Make(TenantId("a"), "b/1", 0, "c").ok());
  EXPECT_FALSE(BlobKey::Make(TenantId("a"), "b", 1, "c/d").ok());
  EXPECT_FALSE(BlobKey::Make(TenantId(""), "a/b", 1, "d").ok());
}

TEST(BlobKey, LengthsAreLimitedPartByPart) {
  const std::string longest =
      std::string(64, 't') + "/" + std::string(64, 'j') + "/4294967295/" + std::string(100, 'n');
  ASSERT_EQ(longest.size(), BlobKey::kMaxText);
  EXPECT_TRUE(BlobKey::Parse(longest).ok());
  EXPECT_FALSE(BlobKey::Parse(std::string(65, 't') + "/j/1/n").ok());
  EXPECT_FALSE(BlobKey::Parse("t/" + std::string(65, 'j') + "/1/n").ok());
  EXPECT_FALSE(BlobKey::Parse("t/j/1/" + std::string(101, 'n')).ok());
  EXPECT_THAT(BlobKey::Parse(std::string(1 << 20, 'x')).error().message(), HasSubstr("1048576 bytes"));
}

TEST(BlobKey, MessagesShowHostileTextHarmlessly) {
  EXPECT_THAT(BlobKey::Parse("a/b/1/\x1b[2J").error().message(), HasSubstr("\\x1b"));
}

TEST(BlobPrefix, HoldsWholePartsOnly) {
  const auto tenant = BlobPrefix::Of(TenantId("a"));
  const auto job = BlobPrefix::Of(TenantId("a"), "j");
  const auto attempt = BlobPrefix::Of(TenantId("a"), "j", 1);
  ASSERT_TRUE(tenant.ok() && job.ok() && attempt.ok());
  const BlobKey key = *BlobKey::Parse("a/j/1/n");
  EXPECT_TRUE(BlobPrefix::All().Contains(key));
  EXPECT_TRUE(tenant->Contains(key) && job->Contains(key) && attempt->Contains(key));
  EXPECT_FALSE(tenant->Contains(*BlobKey::Parse("ab/j/1/n")));
  EXPECT_FALSE(job->Contains(*BlobKey::Parse("a/j2/1/n")));
  EXPECT_FALSE(attempt->Contains(*BlobKey::Parse("a/j/12/n")));
}

TEST(BlobPrefix, RefusesUnsafeParts) {
  EXPECT_FALSE(BlobPrefix::Of(TenantId("")).ok());
  EXPECT_FALSE(BlobPrefix::Of(TenantId("..")).ok());
  EXPECT_FALSE(BlobPrefix::Of(TenantId("a/b")).ok());
  EXPECT_FALSE(BlobPrefix::Of(TenantId("a"), "").ok());
  EXPECT_FALSE(BlobPrefix::Of(TenantId("a"), "../b", 1).ok());
}

}  // namespace
}  // namespace mezzo::storage
