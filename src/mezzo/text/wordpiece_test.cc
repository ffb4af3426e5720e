#include "mezzo/text/wordpiece.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/text/internal/golden_lines.h"
#include "mezzo/text/internal/word_splitter.h"

namespace mezzo::text {
namespace {

using internal::GoldenLine;
using internal::ReadGoldenLines;
using internal::ReadWholeFile;
using internal::WordSplitter;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kSmall =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\nhello\n!\n##a\na\nab\n##b\n中\n";

/// MiniLM's own vocabulary, which ./dev setup fetches.
const WordPiece& MiniLm() {
  static const WordPiece made =
      WordPiece::Parse(ReadWholeFile(std::string(MEZZO_CACHE_DIR) + "/models/minilm/1/vocab.txt")).value();
  return made;
}

WordPiece Small() { return WordPiece::Parse(kSmall).value(); }

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  WordSplitter splitter(text);
  while (splitter.Next()) words.emplace_back(splitter.word());
  return words;
}

TEST(WordPiece, GivesTheIdsOfTheReferenceForTheExampleSentences) {
  const auto lines = ReadGoldenLines(std::string(MEZZO_SOURCE_DIR) + "/tests/models_src/minilm_tokens.json");

  ASSERT_EQ(lines.size(), 50u);
  for (const GoldenLine& line : lines) EXPECT_EQ(MiniLm().Encode(line.text, 256).ids, line.ids) << line.text;
}

TEST(WordPiece, GivesTheIdsOfTheTokenizersPackageForOddUnicode) {
  const auto lines =
      ReadGoldenLines(std::string(MEZZO_SOURCE_DIR) + "/src/mezzo/text/testdata/wordpiece_golden.json");

  ASSERT_GT(lines.size(), 350u);
  std::size_t truncated = 0;
  for (const GoldenLine& line : lines) {
    const Encoding encoding = MiniLm().Encode(line.text, 96);
    EXPECT_EQ(encoding.ids, line.ids) << line.text;
    truncated += encoding.truncated ? 1 : 0;
  }
  EXPECT_GT(truncated, 0u);
}

TEST(WordPiece, TakesTheLongestPieceFromTheLeft) {
  EXPECT_THAT(Small().Encode("unaffable hello!", 16).ids, ElementsAre(2, 4, 5, 6, 7, 8, 3));
  EXPECT_THAT(Small().Encode("aba", 16).ids, ElementsAre(2, 11, 9, 3));
}

TEST(WordPiece, AnUnknownRemainderMakesTheWholeWordUnknown) {
  EXPECT_THAT(Small().Encode("unaffablex hello", 16).ids, ElementsAre(2, 1, 7, 3));
}

TEST(WordPiece, TruncatesToExactlyTheTokensAskedFor) {
  const WordPiece small = Small();

  const Encoding whole = small.Encode("unaffable hello", 6);
  const Encoding cut = small.Encode("unaffable hello", 5);

  EXPECT_THAT(whole.ids, ElementsAre(2, 4, 5, 6, 7, 3));
  EXPECT_FALSE(whole.truncated);
  EXPECT_THAT(cut.ids, ElementsAre(2, 4, 5, 6, 3));
  EXPECT_TRUE(cut.truncated);
  EXPECT_THAT(small.Encode("hello", 2).ids, ElementsAre(2, 3));
}

TEST(WordPiece, CutsInsideAWordToo) {
  const Encoding cut = Small().Encode("unaffable", 4);

  EXPECT_THAT(cut.ids, ElementsAre(2, 4, 5, 3));
  EXPECT_TRUE(cut.truncated);
}

TEST(WordPiece, NamesOfSpecialTokensAreOrdinaryText) {
  EXPECT_THAT(Small().Encode("[SEP]", 16).ids, ElementsAre(2, 1, 1, 1, 3));
}

TEST(WordPiece, AWordOfAHundredCharactersIsReadAndOneMoreIsUnknown) {
  const WordPiece small = Small();

  EXPECT_EQ(small.Encode(std::string(100, 'a'), 256).ids.size(), 102u);
  EXPECT_THAT(small.Encode(std::string(101, 'a'), 256).ids, ElementsAre(2, 1, 3));
  EXPECT_EQ(WordSplitter(std::string_view("x")).too_long(), false);
}

TEST(WordPiece, AMegabyteOfOneWordIsOneUnknown) {
  EXPECT_THAT(Small().Encode(std::string(1 << 20, 'a'), 256).ids, ElementsAre(2, 1, 3));
}

TEST(WordPiece, AMegabyteOfCombiningMarksIsNothingOrOneUnknown) {
  std::string accents;
  std::string staying;
  while (accents.size() < (1 << 20)) accents += "\u0301\u0323";
  while (staying.size() < (1 << 20)) staying += "\u302f\U0001d165";

  EXPECT_THAT(Small().Encode(accents, 256).ids, ElementsAre(2, 3));
  EXPECT_THAT(Small().Encode(staying, 256).ids, ElementsAre(2, 1, 3));
}

TEST(WordPiece, BytesThatAreNotUtf8AreDropped) {
  // Stray continuation, overlong, surrogate, above the last code point, cut at the end.
  const std::vector<std::string_view> broken = {
      "\x80", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF\xFE", "\xE4\xB8"};
  for (const std::string_view bytes : broken) {
    EXPECT_THAT(Words(std::string("he") + std::string(bytes) + "llo"), ElementsAre("hello"));
  }
  EXPECT_THAT(Words("hello\xE4\xB8"), ElementsAre("hello"));
  EXPECT_THAT(Words("a\xE4!b"), ElementsAre("a", "!", "b"));
}

TEST(WordPiece, RandomBytesGiveBoundedTokensOfTheVocabulary) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string text(512, '\0');
    for (char& c : text) c = static_cast<char>(random());
    const Encoding encoding = MiniLm().Encode(text, 64);
    ASSERT_LE(encoding.ids.size(), 64u);
    for (const TokenId id : encoding.ids) {
      ASSERT_GE(id, 0);
      ASSERT_LT(static_cast<std::size_t>(id), MiniLm().size());
    }
  }
}

TEST(WordSplitter, DropsControlsAndSplitsAtWhiteSpace) {
  using std::string_view_literals::operator""sv;
  EXPECT_THAT(Words("a\0b\x01\x7F c\td\ne\u00A0f\u2028g\u200Bh"sv),
              ElementsAre("ab", "c", "d", "e", "f", "gh"));
  EXPECT_THAT(Words(" \t\n\r "), IsEmpty());
}

TEST(WordSplitter, SetsPunctuationAndCjkApart) {
  EXPECT_THAT(Words("don't$5"), ElementsAre("don", "'", "t", "$", "5"));
  EXPECT_THAT(Words("a中b文"), ElementsAre("a", "中", "b", "文"));
  EXPECT_THAT(Words("\u037E\u1FEF"), ElementsAre(";", "`"));  // They decompose to ASCII.
}

TEST(WordSplitter, LowersAndStripsAccentsHoweverTheyAreWritten) {
  EXPECT_THAT(Words("Café CAFE\u0301 İSTANBUL Ångström"),
              ElementsAre("cafe", "cafe", "istanbul", "angstrom"));
  EXPECT_THAT(Words("ΟΔΟΣ"), ElementsAre("οδοσ"));
  EXPECT_THAT(Words("각"), ElementsAre("\u1100\u1161\u11A8"));
}

TEST(WordSplitter, PutsCombiningCharactersThatStayInCanonicalOrder) {
  EXPECT_THAT(Words("a\U0001d16d\U0001d165"), ElementsAre("a\U0001d165\U0001d16d"));
  EXPECT_THAT(Words("\U0001d15e\u302f"), ElementsAre("\U0001d157\U0001d165\u302f"));
  // A mark of class 0 is dropped but keeps the two apart.
  EXPECT_THAT(Words("a\U0001d16d\u0900\U0001d165"), ElementsAre("a\U0001d16d\U0001d165"));
}

TEST(WordPieceVocabulary, RefusalsNameTheLine) {
  const auto message = [](std::string_view vocabulary) {
    return WordPiece::Parse(vocabulary).error().ToString();
  };

  EXPECT_THAT(message(""), HasSubstr("vocabulary_incomplete: the vocabulary of 0 pieces has no '[CLS]'"));
  EXPECT_THAT(message("[CLS]\n[SEP]\n[PAD]\na\n"), HasSubstr("has no '[UNK]'"));
  EXPECT_THAT(message("a\nb\na\n"),
              HasSubstr("vocabulary_duplicate: line 3 of the vocabulary repeats 'a' of line 1"));
  EXPECT_THAT(message("a\n\xFF\n"), HasSubstr("vocabulary_piece: line 2 of the vocabulary is not UTF-8"));
  EXPECT_THAT(message("a\n" + std::string(513, 'x')),
              HasSubstr("line 2 of the vocabulary has 513 bytes; the limit is 512"));
  EXPECT_THAT(message(std::string(WordPiece::kMaxVocabularyBytes + 1, 'x')),
              HasSubstr("vocabulary_too_large"));
}

TEST(WordPieceVocabulary, LineEndsOfWindowsAndEmptyLinesKeepTheNumbers) {
  const WordPiece made = WordPiece::Parse("[PAD]\r\n\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nhello").value();

  EXPECT_EQ(made.size(), 6u);
  EXPECT_THAT(made.Encode("hello", 8).ids, ElementsAre(3, 5, 4));
}

TEST(WordPieceVocabulary, SpecialTokensMayHaveOtherNames) {
  const auto made = WordPiece::Parse(
      "<pad>\n<unk>\n<s>\n</s>\n", {.first = "<s>", .last = "</s>", .unknown = "<unk>", .padding = "<pad>"});

  ASSERT_TRUE(made.ok()) << made.error().ToString();
  EXPECT_THAT(made->Encode("x", 8).ids, ElementsAre(2, 1, 3));
}

TEST(PadRows, FillsEveryRowToTheLength) {
  const std::vector<TokenId> one = {5, 6, 7};
  const std::vector<TokenId> two = {8};
  const std::vector<std::span<const TokenId>> rows = {one, two};

  const PaddedBatch batch = PadRows(rows, 4, 9);

  EXPECT_THAT(batch.input_ids, ElementsAre(5, 6, 7, 9, 8, 9, 9, 9));
  EXPECT_THAT(batch.attention_mask, ElementsAre(1, 1, 1, 0, 1, 0, 0, 0));
  EXPECT_THAT(batch.token_type_ids, ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
}

}  // namespace
}  // namespace mezzo::text
