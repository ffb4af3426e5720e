#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/bytes.h"
#include "mezzo/base/checked.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strings.h"
#include "mezzo/base/utf8.h"
#include "mezzo/base/uuid.h"

namespace mezzo {
namespace {

using ::testing::ElementsAre;

Result<int> Half(int n) {
  if (n % 2 != 0) return InvalidArgument("odd", std::to_string(n) + " is odd");
  return n / 2;
}

Result<int> Quarter(int n) {
  MEZZO_TRY(const int half, Half(n));
  return Half(half);
}

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(Quarter(12).value(), 3);

  const auto failed = Quarter(6);

  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().ToString(), "INVALID_ARGUMENT odd: 3 is odd");
}

TEST(ResultDeathTest, ReadingTheValueOfAnErrorAborts) {
  const Result<int> failed = NotFound("gone", "gone");
  EXPECT_DEATH((void)failed.value(), "MEZZO_CHECK failed");
}

TEST(Clock, AddSaturatingNeverOverflows) {
  EXPECT_EQ(AddSaturating(kNever, Duration(5)), kNever);
  EXPECT_EQ(AddSaturating(TimePoint(Duration(1)), Duration::max()), kNever);
  EXPECT_EQ(AddSaturating(TimePoint(Duration(1)), Duration(2)), TimePoint(Duration(3)));
}

TEST(Checked, OverflowIsNothing) {
  EXPECT_EQ(CheckedMul<std::int64_t>(1LL << 40, 1LL << 40), std::nullopt);
  EXPECT_EQ(CheckedAdd<std::uint8_t>(250, 5), 255);
  EXPECT_EQ(CheckedAdd<std::uint8_t>(250, 6), std::nullopt);
}

TEST(Strings, NearestNameFindsTypingErrorsOnly) {
  const std::vector<std::string> names = {"max_rows", "instances", "deadline"};
  EXPECT_EQ(NearestName("max_row", names), "max_rows");
  EXPECT_EQ(NearestName("instnaces", names), "instances");
  EXPECT_EQ(NearestName("colour", names), std::nullopt);
}

TEST(Strings, SafeNamesCannotLeaveAFolder) {
  EXPECT_TRUE(IsSafeName("resnet-50_v1.2"));
  for (const char* bad : {"", ".", "..", ".hidden", "a/b", "a\\b", "a b", "\xc3\xa4"})
    EXPECT_FALSE(IsSafeName(bad)) << bad;
  EXPECT_FALSE(IsSafeName(std::string(129, 'a')));
}

TEST(Strings, Base64RoundTripsAndRejectsRubbish) {
  // RFC 4648 section 10.
  EXPECT_EQ(Base64Encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64Encode("fooba"), "Zm9vYmE=");
  EXPECT_EQ(Base64Encode("foob"), "Zm9vYg==");
  for (std::size_t n = 0; n < 70; ++n) {
    std::string bytes;
    for (std::size_t i = 0; i < n; ++i) bytes += static_cast<char>(i * 37 + n);
    EXPECT_EQ(Base64Decode(Base64Encode(bytes)).value(), bytes);
  }
  for (const char* bad : {"Zg=", "Z===", "Zm9v*mFy", "=Zg="}) EXPECT_FALSE(Base64Decode(bad).ok()) << bad;
}

TEST(Strings, Sha256MatchesTheStandardsVector) {
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Strings, PercentEncodeKeepsUnreservedCharactersOnly) {
  EXPECT_EQ(PercentEncode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(PercentEncode("a b/c+%\xC3\xBC\n"), "a%20b%2Fc%2B%25%C3%BC%0A");
}

TEST(Strings, PrintableEscapesAndCuts) {
  EXPECT_EQ(Printable("a\n\xff", 10), "a\\x0a\\xff");
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
}

TEST(Strings, SplitKeepsEmptyParts) { EXPECT_THAT(Split("a,,b", ','), ElementsAre("a", "", "b")); }

TEST(Strings, ParseUintTakesWholeNumbersOnly) {
  EXPECT_EQ(ParseUint("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", "+1", "-1", "1 ", "18446744073709551616", "0x1"})
    EXPECT_EQ(ParseUint(bad), std::nullopt);
}

TEST(Uuid, CallsAtOneTimeAreInTheirOrderOnEveryThread) {
  const WallTime now = WallTime(std::chrono::hours(24 * 365 * 40));
  std::vector<std::vector<std::string>> made(4);
  std::vector<std::thread> threads;
  for (auto& ids : made) {
    threads.emplace_back([&ids, now] {
      for (int i = 0; i < 2000; ++i) {
        // Up to 5 ms back, as clocks are put right.
        ids.push_back(NewUuidV7(now - std::chrono::microseconds(i * 37 % 5000)));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<std::string> all;
  for (const auto& ids : made) {
    EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
    all.insert(ids.begin(), ids.end());
  }
  EXPECT_EQ(all.size(), 8000U);
  // A clock that was far ahead is followed back.
  EXPECT_LT(NewUuidV7(now - std::chrono::hours(1)), *all.begin());
}

TEST(Uuid, IsVersion7AndOrderedByTime) {
  const WallTime early{std::chrono::seconds(1'700'000'000)};
  const std::string a = NewUuidV7(early);
  const std::string b = NewUuidV7(early + std::chrono::milliseconds(1));

  EXPECT_EQ(a.substr(0, 14), "018bcfe5-6800-");
  EXPECT_EQ(a[14], '7');
  EXPECT_THAT(a[19], ::testing::AnyOf('8', '9', 'a', 'b'));
  EXPECT_LT(a, b);
}

TEST(SharedBytes, SliceKeepsTheOwnerAlive) {
  SharedBytes part;
  {
    const SharedBytes whole = SharedBytes::FromString("hello world");
    part = whole.Slice(6, 5);
  }
  EXPECT_EQ(part.text(), "world");
}

TEST(Utf8Length, RefusesOverlongFormsSurrogatesAndCutSequences) {
  for (const std::string_view bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xC3", "\xF0\x9F\x98"}) {
    EXPECT_EQ(Utf8Length(bad), 0U) << Printable(bad);
    EXPECT_FALSE(IsUtf8("a" + std::string(bad))) << Printable(bad);
  }
  EXPECT_EQ(Utf8Length("\xF0\x9F\x98\x80"), 4U);
  EXPECT_EQ(Utf8Length("\xE2\x82\xAC"), 3U);
  EXPECT_TRUE(IsUtf8("gr\xC3\xBC\xC3\x9F"));
}

}  // namespace
}  // namespace mezzo
