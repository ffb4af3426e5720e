#include "mezzo/drivers/s3/internal/spool.h"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::drivers::internal {
namespace {

/// Files of this process can't grow beyond this, as on a disk that is full; undone at the end.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    EXPECT_EQ(::getrlimit(RLIMIT_FSIZE, &before_), 0);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

std::string Text(const Spool& spool, ByteCount offset, std::size_t size) {
  std::vector<std::byte> buffer(size);
  const auto got = spool.Read(offset, buffer);
  return got.ok() ? std::string(AsText(std::span(buffer).first(*got))) : got.error().reason();
}

TEST(Spool, MovesToAFileWithoutANameBeyondItsMemory) {
  const storage::testing::TempDir folder;
  Spool spool(folder.path(), 8);
  ASSERT_TRUE(spool.Append(AsBytes("12345678")).ok());
  EXPECT_TRUE(spool.in_memory());
  ASSERT_TRUE(spool.Append(AsBytes("9")).ok());
  ASSERT_TRUE(spool.Append(AsBytes("abc")).ok());

  EXPECT_FALSE(spool.in_memory());
  EXPECT_EQ(spool.size(), 12U);
  EXPECT_EQ(Text(spool, 0, 100), "123456789abc");
  EXPECT_EQ(Text(spool, 7, 3), "89a");
  EXPECT_EQ(Text(spool, 12, 3), "");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "what is killed leaves nothing behind";
}

TEST(Spool, SaysThatTheDiskIsFull) {
  const storage::testing::TempDir folder;
  const FileSizeLimit full(64 << 10);
  Spool spool(folder.path(), 1 << 10);
  const std::string piece(32 << 10, 'x');
  ASSERT_TRUE(spool.Append(AsBytes(piece)).ok());
  ASSERT_TRUE(spool.Append(AsBytes(piece)).ok());
  const auto failed = spool.Append(AsBytes(piece));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(failed.error().reason(), "blob_disk_full");
}

TEST(Spool, SaysThatItsFolderIsMissing) {
  Spool spool("/nonexistent-folder", 1);
  const auto failed = spool.Append(AsBytes("ab"));
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().reason(), "blob_disk_error");
}

TEST(SpoolPart, IsItsBytesAloneAndHasTheirChecksum) {
  for (const std::size_t memory : {std::size_t{2}, std::size_t{100}}) {
    const storage::testing::TempDir folder;
    Spool spool(folder.path(), memory);
    ASSERT_TRUE(spool.Append(AsBytes("0123456789")).ok());
    SpoolPart part(spool, 3, 4);
    std::vector<std::byte> buffer(100);
    EXPECT_EQ(*part.Read(0, buffer), 4U);
    EXPECT_EQ(AsText(std::span(buffer).first(4)), "3456");
    EXPECT_EQ(*part.Read(3, buffer), 1U);
    EXPECT_EQ(*part.Read(4, buffer), 0U);
    EXPECT_EQ(*part.Sha256Digits(), Sha256Hex("3456"));
  }
}

}  // namespace
}  // namespace mezzo::drivers::internal
