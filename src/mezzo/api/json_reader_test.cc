#include "mezzo/api/json_reader.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace mezzo::api {
namespace {

constexpr std::size_t kDepth = 8;

double Double(const std::string& text) {
  JsonReader reader(text, kDepth);
  double value = 0;
  EXPECT_TRUE(reader.ReadDouble(&value) && reader.Finish()) << text;
  return value;
}

/// "" when `text` is one JSON value, else the error.
std::string Problem(std::string_view text) {
  JsonReader reader(text, kDepth);
  if (reader.Skip() && reader.Finish()) return "";
  return reader.error().message();
}

std::string String(std::string_view text) {
  JsonReader reader(text, kDepth);
  std::string_view value;
  return reader.ReadString(&value) && reader.Finish() ? std::string(value)
                                                      : "error: " + reader.error().message();
}

TEST(JsonReader, WalksObjectsAndArrays) {
  JsonReader reader(R"( { "a" : [ 1 , [ ] , {} ] , "b" : null, "c":true } )", kDepth);
  std::string_view key;
  std::string seen;

  ASSERT_TRUE(reader.EnterObject());
  while (reader.NextMember(&key)) {
    seen += key;
    if (reader.Peek() == JsonKind::kArray) {
      ASSERT_TRUE(reader.EnterArray());
      while (reader.NextElement()) {
        seen += '.';
        ASSERT_TRUE(reader.Skip());
      }
    } else {
      ASSERT_TRUE(reader.Skip());
    }
  }

  EXPECT_EQ(seen, "a...bc");
  EXPECT_TRUE(reader.Finish());
}

TEST(JsonReader, ParsesDoublesAsStrtodDoes) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 200'000; ++i) {
    const double value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    char text[64];
    std::snprintf(text, sizeof(text), "%.*g", static_cast<int>(random() % 20) + 1, value);
    const double expected = std::strtod(text, nullptr);
    if (std::isinf(expected)) continue;
    ASSERT_EQ(Double(text), expected) << text;
  }
}

TEST(JsonReader, ParsesPlainDecimalsAsStrtodDoes) {
  std::mt19937_64 random(8);
  for (int i = 0; i < 200'000; ++i) {
    std::string text = random() % 2 == 0 ? "-" : "";
    text += std::to_string(random() % (std::uint64_t{1} << (random() % 63 + 1)));
    if (random() % 2 == 0) {
      text += '.';
      for (std::uint64_t n = random() % 24 + 1; n > 0; --n) text += static_cast<char>('0' + random() % 10);
    }
    if (random() % 4 == 0) text += "e" + std::to_string(static_cast<int>(random() % 60) - 30);
    ASSERT_EQ(Double(text), std::strtod(text.c_str(), nullptr)) << text;
  }
}

TEST(JsonReader, KeepsTheEdgesOfDoubles) {
  EXPECT_EQ(Double("1.7976931348623157e308"), 1.7976931348623157e308);
  EXPECT_EQ(Double("4.9e-324"), 4.9e-324);
  EXPECT_EQ(Double("1e-400"), 0.0);
  EXPECT_EQ(Double("0." + std::string(500, '0') + "1"), 0.0);
  EXPECT_EQ(Double("0e999999999999"), 0.0);
  EXPECT_TRUE(std::signbit(Double("-0.0")));
  EXPECT_EQ(Double("1" + std::string(300, '0') + "e-300"), 1.0);
  EXPECT_EQ(Double("0.0000000000000000000000000000012345"), 1.2345e-30);
  // Halfway between two doubles, and just above.
  EXPECT_EQ(Double("9007199254740993"), 9007199254740992.0);
  EXPECT_EQ(Double("9007199254740993.00000000000000000000001"), 9007199254740994.0);
}

TEST(JsonReader, TakesWhatTritonTakesForNumbers) {
  EXPECT_TRUE(std::isnan(Double("NaN")));
  EXPECT_EQ(Double("Inf"), HUGE_VAL);
  EXPECT_EQ(Double("-Infinity"), -HUGE_VAL);
  EXPECT_EQ(Problem("[NaN,-Inf]"), "");
  EXPECT_NE(Problem("Na"), "");
  EXPECT_NE(Problem("-I"), "");
}

TEST(JsonReader, ReadsIntegersOf64BitsExactly) {
  const auto read = [](std::string_view text) {
    JsonReader reader(text, kDepth);
    JsonNumber number;
    EXPECT_TRUE(reader.ReadNumber(&number)) << text;
    return std::string(number.integer ? number.negative ? "-" : "" : "real ") +
           std::to_string(number.magnitude);
  };
  EXPECT_EQ(read("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(read("-9223372036854775808"), "-9223372036854775808");
  EXPECT_EQ(read("18446744073709551616"), "real 0");
  EXPECT_EQ(read("1.0"), "real 0");
  EXPECT_EQ(read("1e3"), "real 0");
}

TEST(JsonReader, ReadsRunsOfFloatsUpToWhatIsNoPlainNumber) {
  JsonReader reader("[1, 2.5 ,-3,[4],NaN,5,1e39]", kDepth);
  float out[8] = {};

  ASSERT_TRUE(reader.EnterArray());
  ASSERT_TRUE(reader.NextElement());
  EXPECT_EQ(reader.ReadFloats(out, 8), 3U);
  EXPECT_EQ(out[2], -3.0F);
  ASSERT_TRUE(reader.NextElement());
  EXPECT_EQ(reader.ReadFloats(out, 8), 0U);
  EXPECT_EQ(reader.Peek(), JsonKind::kArray);
  ASSERT_TRUE(reader.Skip());
  ASSERT_TRUE(reader.NextElement());
  EXPECT_EQ(reader.ReadFloats(out, 8), 0U);
  ASSERT_TRUE(reader.Skip());
  ASSERT_TRUE(reader.NextElement());
  EXPECT_EQ(reader.ReadFloats(out, 1), 1U);
  EXPECT_EQ(out[0], 5.0F);
  ASSERT_TRUE(reader.NextElement());
  EXPECT_EQ(reader.ReadFloats(out, 8), 0U) << "beyond the range of a float";
  ASSERT_TRUE(reader.Skip());
  EXPECT_FALSE(reader.NextElement());
  EXPECT_TRUE(reader.Finish());
}

TEST(JsonReader, RefusesARunThatEndsInAComma) {
  JsonReader reader("[1,2,]", kDepth);
  float out[8] = {};

  ASSERT_TRUE(reader.EnterArray());
  ASSERT_TRUE(reader.NextElement());
  EXPECT_EQ(reader.ReadFloats(out, 8), 2U);
  EXPECT_TRUE(reader.NextElement());
  EXPECT_FALSE(reader.Skip());
}

TEST(JsonReader, Unescapes) {
  EXPECT_EQ(String(R"("plain")"), "plain");
  EXPECT_EQ(String(R"("a\"b\\c\/d\b\f\n\r\te")"), "a\"b\\c/d\b\f\n\r\te");
  EXPECT_EQ(String(R"("\u0041\u00e9\u20ac\ud83d\ude00")"), "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(String("\"\xE2\x82\xAC and a longer text with it\""), "\xE2\x82\xAC and a longer text with it");
}

TEST(JsonReader, KeepsEscapedStringsWhileItLives) {
  JsonReader reader(R"(["\n1","\n2"])", kDepth);
  std::string_view first;
  std::string_view second;

  ASSERT_TRUE(reader.EnterArray() && reader.NextElement() && reader.ReadString(&first));
  ASSERT_TRUE(reader.NextElement() && reader.ReadString(&second));

  EXPECT_EQ(first, "\n1");
  EXPECT_EQ(second, "\n2");
}

TEST(JsonReader, GoesBackToAMark) {
  JsonReader reader(R"({"data":[1,[2]],"n":3})", kDepth);
  std::string_view key;
  ASSERT_TRUE(reader.EnterObject() && reader.NextMember(&key));
  const JsonReader::Mark mark = reader.Here();
  ASSERT_TRUE(reader.Skip());
  ASSERT_TRUE(reader.NextMember(&key) && reader.Skip());
  ASSERT_FALSE(reader.NextMember(&key));
  const JsonReader::Mark end = reader.Here();

  reader.GoTo(mark);

  EXPECT_TRUE(reader.EnterArray());
  EXPECT_TRUE(reader.NextElement());
  reader.GoTo(end);
  EXPECT_TRUE(reader.Finish());
}

struct BadText {
  std::string text;
  std::string expected;
};

TEST(JsonReader, SaysWhatIsWrongAndWhere) {
  const std::string head = "failed to parse the request JSON buffer: expected ";
  const BadText cases[] = {
      {"", head + "a value at byte 0, where the text ends"},
      {"{", head + "the name of a member at byte 1, where the text ends"},
      {"{\"a\"}", head + "':' at byte 4"},
      {"{\"a\":1,}", head + "the name of a member at byte 7"},
      {"{\"a\":1 \"b\":2}", head + "',' or '}' at byte 7"},
      {"[1 2]", head + "',' or ']' at byte 3"},
      {"[1,]", head + "a value at byte 3"},
      {"[1]x", head + "nothing after the value at byte 3"},
      {"01", head + "no digits after a leading zero at byte 0"},
      {"1.", head + "digits after '.' at byte 2, where the text ends"},
      {"1e+", head + "digits of an exponent at byte 3, where the text ends"},
      {"-", head + "a value at byte 0"},
      {"+1", head + "a value at byte 0"},
      {"1e999", head + "a number within the range of a double at byte 0"},
      {"tru", head + "a value at byte 0"},
      {"\"abc", head + "'\"' at the end of a string at byte 4, where the text ends"},
      {"\"a\nb\"", head + "control characters in a string to be escaped at byte 2"},
      {"\"\\x\"", head + "one of \"\\/bfnrtu after '\\' in the string before at byte 4, where the text ends"},
      {"\"\\u12g4\"",
       head + "four hexadecimal digits after '\\u' in the string before at byte 8, where the text ends"},
      {"\"\\ud800\"", head + "a pair of surrogates in the string before at byte 8, where the text ends"},
      {"\"\\ude00\"", head + "a pair of surrogates in the string before at byte 8, where the text ends"},
      {"\"\xC0\x80\"", head + "valid UTF-8 in the text that follows at byte 1"},
      {"[[[[[[[[[", "JSON nesting depth exceeds maximum allowed limit (8) at byte 8"},
  };
  for (const BadText& bad : cases) EXPECT_EQ(Problem(bad.text), bad.expected) << bad.text;
}

TEST(JsonReader, StaysFailed) {
  JsonReader reader("[x,1]", kDepth);
  ASSERT_TRUE(reader.EnterArray());
  ASSERT_TRUE(reader.NextElement());
  ASSERT_FALSE(reader.Skip());

  double value = 0;
  EXPECT_FALSE(reader.NextElement());
  EXPECT_FALSE(reader.ReadDouble(&value));
  EXPECT_FALSE(reader.EnterArray());
  EXPECT_FALSE(reader.Finish());
}

}  // namespace
}  // namespace mezzo::api
