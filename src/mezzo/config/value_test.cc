#include "mezzo/config/value.h"

#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using ::testing::HasSubstr;

TEST(ParseDuration, ReadsEveryUnit) {
  EXPECT_EQ(*ParseDuration("0"), nanoseconds(0));
  EXPECT_EQ(*ParseDuration("7ns"), nanoseconds(7));
  EXPECT_EQ(*ParseDuration("7us"), nanoseconds(7'000));
  EXPECT_EQ(*ParseDuration("5ms"), milliseconds(5));
  EXPECT_EQ(*ParseDuration("1.5s"), milliseconds(1500));
  EXPECT_EQ(*ParseDuration("2m"), milliseconds(120'000));
  EXPECT_EQ(*ParseDuration("1h"), hours(1));
  EXPECT_EQ(*ParseDuration("30d"), hours(720));
  EXPECT_EQ(*ParseDuration("2 m"), milliseconds(120'000));
  EXPECT_EQ(*ParseDuration("0.000000001s"), nanoseconds(1));
}

TEST(ParseDuration, RefusesWhatIsNotOneNumberAndAUnit) {
  for (const char* text : {"", "5", "ms", "5 ", "5  ms", "-5ms", "+5ms", "1e3ms", "5sec", "5MS", "1.s", ".5s",
                           "1h30m", "0x5ms", "5ms ", " 5ms", "1,5s", "inf", "nan"}) {
    const auto result = ParseDuration(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.error().reason(), "config_invalid_value");
    EXPECT_THAT(result.error().message(), HasSubstr("like '5ms', not '" + std::string(text) + "'"));
  }
}

TEST(ParseDuration, RefusesOverflowAndFractionsOfANanosecond) {
  EXPECT_EQ(*ParseDuration("9223372036854775807ns"), nanoseconds(INT64_MAX));
  EXPECT_EQ(ParseDuration("9223372036854775808ns").error().message(),
            "at most 106751d, not '9223372036854775808ns'");
  EXPECT_EQ(ParseDuration("999999999999999999999999h").error().message(),
            "at most 106751d, not '999999999999999999999999h'");
  EXPECT_EQ(ParseDuration("106752d").error().message(), "at most 106751d, not '106752d'");
  EXPECT_EQ(ParseDuration("1.5ns").error().message(), "a whole number of nanoseconds, not '1.5ns'");
}

TEST(FormatDuration, ReadsBackAsTheSameValue) {
  for (const std::int64_t count :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{999}, std::int64_t{1'500'000'000},
        std::int64_t{90'000'000'000}, std::int64_t{86'400'000'000'000}, INT64_MAX}) {
    EXPECT_EQ(*ParseDuration(FormatDuration(nanoseconds(count))), nanoseconds(count));
  }
  EXPECT_EQ(FormatDuration(milliseconds(1500)), "1500ms");
  EXPECT_EQ(FormatDuration(hours(2)), "2h");
  EXPECT_EQ(FormatDuration(-milliseconds(5)), "-5ms");
}

TEST(ParseByteSize, ReadsEveryUnit) {
  EXPECT_EQ(*ParseByteSize("0"), 0U);
  EXPECT_EQ(*ParseByteSize("1048576"), 1048576U);
  EXPECT_EQ(*ParseByteSize("12B"), 12U);
  EXPECT_EQ(*ParseByteSize("90MB"), 90'000'000U);
  EXPECT_EQ(*ParseByteSize("64MiB"), 64U << 20);
  EXPECT_EQ(*ParseByteSize("1.5GiB"), 1536U << 20);
  EXPECT_EQ(*ParseByteSize("2 TiB"), std::uint64_t{2} << 40);
  EXPECT_EQ(*ParseByteSize("18446744073709551615"), UINT64_MAX);
}

TEST(ParseByteSize, RefusesBadUnitsAndOverflow) {
  for (const char* text : {"", "-1", "64mib", "64M", "64Mi", "1e6", "MiB", "64 ", "0x10"}) {
    EXPECT_THAT(ParseByteSize(text).error().message(), HasSubstr("like '64MiB'")) << text;
  }
  EXPECT_EQ(ParseByteSize("18446744073709551616").error().message(),
            "at most 18446744073709551615, not '18446744073709551616'");
  EXPECT_EQ(ParseByteSize("16777216TiB").error().message(),
            "at most 18446744073709551615, not '16777216TiB'");
  EXPECT_EQ(ParseByteSize("1.5B").error().message(), "a whole number of bytes, not '1.5B'");
  EXPECT_FALSE(ParseByteSize("1." + std::string(1000, '0') + "1MiB").ok());
}

TEST(FormatByteSize, ReadsBackAsTheSameValue) {
  EXPECT_EQ(FormatByteSize(MiB(64)), "64MiB");
  EXPECT_EQ(FormatByteSize(ByteSize(90'000'000)), "90MB");
  EXPECT_EQ(FormatByteSize(ByteSize(1025)), "1025");
  EXPECT_EQ(FormatByteSize(ByteSize(0)), "0");
  for (const std::uint64_t bytes :
       {std::uint64_t{1}, std::uint64_t{1000}, std::uint64_t{1} << 50, UINT64_MAX}) {
    EXPECT_EQ(*ParseByteSize(FormatByteSize(ByteSize(bytes))), bytes);
  }
}

TEST(Secret, IsNotPrintedByATestFailure) {
  const Secret secret("env:KEY", "hunter2");

  EXPECT_EQ(::testing::PrintToString(secret), "***");
  EXPECT_EQ(::testing::PrintToString(Secret()), "(unset)");
}

TEST(Secret, ComparesReferenceAndValue) {
  EXPECT_EQ(Secret("env:A", "x"), Secret("env:A", "x"));
  EXPECT_FALSE(Secret("env:A", "x") == Secret("env:A", "y"));
  EXPECT_FALSE(Secret("env:A", "x") == Secret("env:B", "x"));
}

}  // namespace
}  // namespace mezzo::config
