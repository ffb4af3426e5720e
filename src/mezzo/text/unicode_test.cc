#include "mezzo/text/unicode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::text {
namespace {

using namespace std::string_view_literals;

TEST(DecodeChar, TakesOneWellFormedCharacter) {
  EXPECT_EQ(DecodeChar("ab").code, U'a');
  EXPECT_EQ(DecodeChar("éx").length, 2u);
  EXPECT_EQ(DecodeChar("中文").code, U'中');
  EXPECT_EQ(DecodeChar("😀").length, 4u);
  EXPECT_EQ(DecodeChar("\xF4\x8F\xBF\xBF").code, 0x10FFFFu);
}

TEST(DecodeChar, RefusesWhatRfc3629DoesNotAllow) {
  for (const std::string_view bad : {"\x80"sv, "\xC0\x80"sv, "\xE0\x9F\xBF"sv, "\xED\xA0\x80"sv,
                                     "\xF0\x8F\xBF\xBF"sv, "\xF4\x90\x80\x80"sv, "\xFF"sv, "\xE4\xB8"sv}) {
    EXPECT_EQ(DecodeChar(bad).length, 0u) << testing::PrintToString(bad);
  }
}

TEST(EncodeChar, IsTheInverseOfDecodeChar) {
  for (char32_t code = 0; code < 0x110000; code += code < 0x1000 ? 1 : 257) {
    if (code >= 0xD800 && code < 0xE000) continue;
    const EncodedChar encoded = EncodeChar(code);

    const DecodedChar decoded = DecodeChar(encoded.view());

    ASSERT_EQ(decoded.code, code);
    ASSERT_EQ(decoded.length, encoded.length);
  }
}

TEST(ClassOf, IsTheFirstLetterOfTheGeneralCategory) {
  EXPECT_EQ(ClassOf(U'a'), CharClass::kLetter);
  EXPECT_EQ(ClassOf(U'中'), CharClass::kLetter);
  EXPECT_EQ(ClassOf(0x2B1), CharClass::kLetter);
  EXPECT_EQ(ClassOf(U'½'), CharClass::kNumber);
  EXPECT_EQ(ClassOf(U'Ⅷ'), CharClass::kNumber);
  EXPECT_EQ(ClassOf(0x301), CharClass::kMark);
  EXPECT_EQ(ClassOf(U'€'), CharClass::kSymbol);
  EXPECT_EQ(ClassOf(U'。'), CharClass::kPunctuation);
  EXPECT_EQ(ClassOf(0x3000), CharClass::kSeparator);
  for (const char32_t other : {0x0U, 0x7FU, 0xADU, 0x200DU, 0xE000U, 0x378U, 0x10FFFFU}) {
    EXPECT_EQ(ClassOf(other), CharClass::kOther) << static_cast<std::uint32_t>(other);
  }
}

TEST(IsWhiteSpace, HasTheTwentyFiveCharactersOfTheProperty) {
  int count = 0;
  for (char32_t code = 0; code < 0x30000; ++code) count += IsWhiteSpace(code) ? 1 : 0;

  EXPECT_EQ(count, 25);
  EXPECT_TRUE(IsWhiteSpace(0x85) && IsWhiteSpace(0x2028) && IsWhiteSpace(0xB));
  EXPECT_FALSE(IsWhiteSpace(0x200B) || IsWhiteSpace(0x1C) || IsWhiteSpace(0xFEFF));
}

TEST(LowerCase, LowersLettersOfEveryScriptThatHasCase) {
  EXPECT_EQ(LowerCase(U"AZ az ÀÉ ЖЯ ԱՖ Ⅷ Ａ 中 1!", SigmaRule::kPlain), U"az az àé жя աֆ ⅷ ａ 中 1!");
  EXPECT_EQ(LowerCase(U"\u0130\u1E9E\U0001E900", SigmaRule::kPlain), U"i\u0307\u00DF\U0001E922");
}

TEST(LowerCase, WritesAFinalSigmaOnlyAtTheEndOfAWord) {
  EXPECT_EQ(LowerCase(U"ΟΔΟΣ ΣΑΣ Σ", SigmaRule::kContextual), U"οδος σας σ");
  EXPECT_EQ(LowerCase(U"Σ'Σ. ΑΣ'Β Α'Σ\u0301", SigmaRule::kContextual), U"σ'ς. ασ'β α'ς\u0301");
  EXPECT_EQ(LowerCase(U"ΟΔΟΣ", SigmaRule::kPlain), U"οδοσ");
}

TEST(NormalizeNfc, JoinsWhatHasAPrimaryComposite) {
  EXPECT_EQ(NormalizeNfc(U"e\u0301 \u00E9"), U"\u00E9 \u00E9");
  EXPECT_EQ(NormalizeNfc(U"\u1100\u1161\u11A8 \uAC00\u11A8"), U"\uAC01 \uAC01");
  EXPECT_EQ(NormalizeNfc(U"\u212B\u2126\uF900"), U"\u00C5\u03A9\u8C48");
}

TEST(NormalizeNfc, LeavesWhatIsExcludedFromComposition) {
  EXPECT_EQ(NormalizeNfc(U"\u0958"), U"\u0915\u093C");
  EXPECT_EQ(NormalizeNfc(U"\uFB1D \u2ADC"), U"\u05D9\u05B4 \u2ADD\u0338");
  EXPECT_EQ(NormalizeNfc(U"\uFB01\uFF21"), U"\uFB01\uFF21");  // Compatibility forms stay.
}

TEST(NormalizeNfc, ReordersMarksAndDoesNotJoinAcrossABlockingOne) {
  EXPECT_EQ(NormalizeNfc(U"a\u0301\u0323"), U"\u1EA1\u0301");
  EXPECT_EQ(NormalizeNfc(U"a\u0315\u0300\u05AE\u0301b"), U"\u00E0\u05AE\u0301\u0315b");
  EXPECT_EQ(NormalizeNfc(U"a\u0305\u0301"), U"a\u0305\u0301");
  EXPECT_EQ(NormalizeNfc(U"\u0301a\u0301"), U"\u0301\u00E1");
}

TEST(NormalizeNfc, IsStableOnEveryCharacter) {
  for (char32_t code = 0; code < 0x30000; ++code) {
    const std::u32string once = NormalizeNfc(std::u32string(1, code));
    ASSERT_EQ(NormalizeNfc(once), once) << std::hex << static_cast<std::uint32_t>(code);
  }
}

TEST(NormalizeNfc, TakesALongRunOfMarksInItsStride) {
  std::u32string marks(200'000, U'\u0301');
  for (std::size_t i = 0; i < marks.size(); i += 2) marks[i] = U'\u0323';

  const std::u32string normal = NormalizeNfc(U"a" + marks);

  EXPECT_EQ(normal.size(), marks.size());  // The first U+0323 joins the letter.
  EXPECT_EQ(normal.front(), U'\u1EA1');
  EXPECT_EQ(normal.back(), U'\u0301');
}

}  // namespace
}  // namespace mezzo::text
