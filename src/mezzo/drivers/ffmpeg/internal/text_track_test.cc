#include "mezzo/drivers/ffmpeg/internal/text_track.h"

#include <string>

#include <gtest/gtest.h>

namespace mezzo::drivers::internal {
namespace {

using namespace std::string_literals;

TEST(TimedText, ASampleIsItsLengthAndItsText) {
  EXPECT_EQ(TimedTextSample("Hi 你"), "\x00\x06Hi \xE4\xBD\xA0"s);
  EXPECT_EQ(TimedTextSample(""), "\x00\x00"s);
}

TEST(TimedText, ALongTextIsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 22'000; ++i) text += "你";

  const std::string sample = TimedTextSample(text);

  EXPECT_EQ(sample.size(), 2U + 65'535U);  // 21,845 characters of three bytes.
  EXPECT_EQ(sample.substr(0, 2), "\xFF\xFF"s);
  EXPECT_EQ(sample.substr(sample.size() - 3), "你");
}

TEST(TimedText, TheDescriptionIsLaidOutAsTheStandardSays) {
  const std::string out = TimedTextDescription({1920, 1080});

  // displayFlags, two justifications, background, box, style record, then the font table.
  ASSERT_EQ(out.size(), 4U + 2 + 4 + 8 + 12 + 8 + 2 + 2 + 1 + 4);
  EXPECT_EQ(out.substr(10, 8), "\x03\x2A\x00\x00\x04\x38\x07\x80"s)
      << "top 810, left 0, bottom 1080, right 1920";
  EXPECT_EQ(out.substr(30, 8), "\x00\x00\x00\x11"s + "ftab");
  EXPECT_EQ(out.substr(38), "\x00\x01\x00\x01\x04Sans"s);
}

}  // namespace
}  // namespace mezzo::drivers::internal
