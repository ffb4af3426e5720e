#include "mezzo/api/byte_range.h"

#include <string>

#include <gtest/gtest.h>

namespace mezzo::api {
namespace {

std::string Read(std::string_view header, ByteCount size) {
  const RequestedRange range = ParseByteRange(header, size);
  if (range.kind == RequestedRange::Kind::kWhole) return "whole";
  if (range.kind == RequestedRange::Kind::kUnsatisfiable) return "416";
  return std::to_string(range.offset) + "+" + std::to_string(range.length);
}

TEST(ParseByteRange, ReadsTheThreeForms) {
  EXPECT_EQ(Read("bytes=0-99", 1000), "0+100");
  EXPECT_EQ(Read("bytes=0-0", 1000), "0+1");
  EXPECT_EQ(Read("bytes=900-", 1000), "900+100");
  EXPECT_EQ(Read("bytes=-100", 1000), "900+100");
  EXPECT_EQ(Read(" Bytes= 1-2 ", 1000), "1+2");
}

TEST(ParseByteRange, IsCutAtTheEnd) {
  EXPECT_EQ(Read("bytes=999-5000", 1000), "999+1");
  EXPECT_EQ(Read("bytes=-5000", 1000), "0+1000");
  EXPECT_EQ(Read("bytes=0-99999999999999999999999", 1000), "0+1000");
  EXPECT_EQ(Read("bytes=-99999999999999999999999", 1000), "0+1000");
}

TEST(ParseByteRange, BehindTheEndNothingIsThere) {
  EXPECT_EQ(Read("bytes=1000-", 1000), "416");
  EXPECT_EQ(Read("bytes=1000-1001", 1000), "416");
  EXPECT_EQ(Read("bytes=99999999999999999999999-", 1000), "416");
  EXPECT_EQ(Read("bytes=-0", 1000), "416");
  EXPECT_EQ(Read("bytes=0-", 0), "416");
  EXPECT_EQ(Read("bytes=-1", 0), "416");
}

TEST(ParseByteRange, IgnoresWhatItCannotRead) {
  for (const char* header :
       {"", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=2-1", "bytes=0-1,5-6", "items=0-1",
        "bytes=+1-2", "bytes=1--2", "bytes=0x1-2", "bytes=1-2;", "bytes =1-2"}) {
    EXPECT_EQ(Read(header, 1000), "whole") << header;
  }
}

}  // namespace
}  // namespace mezzo::api
