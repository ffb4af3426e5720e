#include "mezzo/drivers/ffmpeg/internal/temp_file.h"

#include <unistd.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

namespace mezzo::drivers::internal {
namespace {

const std::uint8_t* Bytes(const std::string& text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

class TempFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = ::testing::TempDir() + "/mezzo_temp_file_test_" + std::to_string(::getpid());
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string dir_;
};

TEST_F(TempFileTest, IsWrittenAnywhereAndCopiedFrontToBack) {
  auto file = TempFile::Create(dir_, 1 << 20);
  ASSERT_TRUE(file.ok());
  const std::string large(600'000, 'x');
  ASSERT_EQ(file->Write(Bytes(large), large.size(), 0), 0);
  ASSERT_EQ(file->Write(Bytes("head"), 4, 0), 0);

  std::string out;
  std::size_t largest = 0;
  const auto copied = file->CopyTo([&](BytesView piece) -> Result<void> {
    out += AsText(piece);
    largest = std::max(largest, piece.size());
    return {};
  });

  ASSERT_TRUE(copied.ok());
  EXPECT_EQ(out, "head" + large.substr(4));
  EXPECT_LE(largest, std::size_t{256} << 10U);
}

TEST_F(TempFileTest, HasNoName) {
  const auto file = TempFile::Create(dir_, 100);

  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(std::filesystem::is_empty(dir_));
}

TEST_F(TempFileTest, TakesItsLimitAndNotOneByteMore) {
  auto file = TempFile::Create(dir_, 100);
  ASSERT_TRUE(file.ok());
  const std::string text(100, 'x');

  EXPECT_EQ(file->Write(Bytes(text), 100, 0), 0);
  EXPECT_EQ(file->Write(Bytes(text), 1, 100), -EFBIG);
  EXPECT_EQ(file->Write(Bytes(text), 1, UINT64_MAX), -EFBIG) << "no overflow";
  EXPECT_EQ(file->size(), 100U);
}

TEST_F(TempFileTest, AnErrorOfTheSinkEndsTheCopy) {
  auto file = TempFile::Create(dir_, 1 << 20);
  ASSERT_TRUE(file.ok());
  const std::string large(600'000, 'x');
  ASSERT_EQ(file->Write(Bytes(large), large.size(), 0), 0);

  int calls = 0;
  const auto copied = file->CopyTo([&calls](BytesView) -> Result<void> {
    return ++calls == 2 ? Result<void>(Unavailable("store_down", "gone")) : Result<void>();
  });

  EXPECT_EQ(calls, 2);
  ASSERT_FALSE(copied.ok());
  EXPECT_EQ(copied.error().reason(), "store_down");
}

}  // namespace
}  // namespace mezzo::drivers::internal
