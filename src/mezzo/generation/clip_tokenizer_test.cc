#include "mezzo/generation/clip_tokenizer.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/generation/internal/golden_files.h"

namespace mezzo::generation {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using text::TokenId;

struct VocabularyFiles {
  std::string vocab = internal::ReadWholeFile(internal::GoldenPath("clip/vocab.json"));
  std::string merges = internal::ReadWholeFile(internal::GoldenPath("clip/merges.txt"));
};

ClipTokenizer GoldenTokenizer(const json& setup, ClipTokenizer::Rules rules) {
  static const VocabularyFiles files;
  const std::string config = setup["config"].dump();
  const std::string map = setup["map"].dump();
  auto made = ClipTokenizer::Parse({files.vocab, files.merges, config, map}, rules);
  MEZZO_CHECK(made.ok());
  return std::move(made).value();
}

void CheckCase(const ClipTokenizer& tokenizer, const std::string& text, const std::vector<TokenId>& wanted) {
  const auto tokens = tokenizer.Encode(text);
  ASSERT_TRUE(tokens.ok()) << tokens.error().ToString();

  std::vector<TokenId> padded = wanted;
  padded.resize(tokenizer.max_length(), tokenizer.padding());
  EXPECT_EQ(tokens->ids, padded);
  EXPECT_EQ(tokens->count, wanted.size());
}

TEST(ClipTokenizerGolden, GivesTheIdsOfBothTokenizersOfTransformers) {
  std::size_t cases = 0;
  for (const json& setup : internal::ReadGolden("clip_tokens.json")) {
    const ClipTokenizer basic = GoldenTokenizer(setup, ClipTokenizer::Rules::kBasic);
    const ClipTokenizer fast = GoldenTokenizer(setup, ClipTokenizer::Rules::kFast);
    EXPECT_EQ(basic.padding(), setup["padding"].get<TokenId>());
    for (const json& one : setup["cases"]) {
      SCOPED_TRACE(setup["name"].get<std::string>() + " " + one["text"].dump(-1, ' ', true));
      const auto ids = one["basic"].get<std::vector<TokenId>>();
      CheckCase(basic, one["text"], ids);
      CheckCase(fast, one["text"], one.contains("fast") ? one["fast"].get<std::vector<TokenId>>() : ids);
      ++cases;
    }
  }
  EXPECT_GE(cases, 700U) << "the file is not whole";
}

/// The letters a to d, each also at the end of a word, "!" and some merges.
constexpr std::string_view kVocab =
    R"({"!":0,"a":1,"b":2,"c":3,"d":4,"!</w>":5,"a</w>":6,"b</w>":7,"c</w>":8,"d</w>":9,"ab":10,"abc</w>":11,"bc":12,)"
    R"("aa":13,"<|startoftext|>":14,"<|endoftext|>":15,"c</w>d":16})";
constexpr std::string_view kMerges = "#version: 0.2\na b\nb c\nab c</w>\na a\n";
constexpr std::string_view kShort = R"({"model_max_length":8})";

Result<ClipTokenizer> Small(std::string_view config = kShort, std::string_view vocab = kVocab,
                            std::string_view merges = kMerges) {
  return ClipTokenizer::Parse({vocab, merges, config, ""}, ClipTokenizer::Rules::kBasic);
}
std::vector<TokenId> Ids(std::string_view text) { return Small()->Encode(text)->ids; }

TEST(ClipTokenizer, MergesByRankAndNotByLength) {
  EXPECT_THAT(Ids("abc"), ElementsAre(14, 11, 15, 15, 15, 15, 15, 15));
  EXPECT_THAT(Ids("bca"), ElementsAre(14, 12, 6, 15, 15, 15, 15, 15));
  EXPECT_THAT(Ids("aaad"), ElementsAre(14, 13, 1, 9, 15, 15, 15, 15));
}

TEST(ClipTokenizer, TruncatesBehindTheLastTokenThatFits) {
  const ClipTokenizer tokenizer = Small().value();

  const ClipTokens fits = tokenizer.Encode("a b c d a b").value();
  const ClipTokens cut = tokenizer.Encode("a b c d a b c").value();

  EXPECT_FALSE(fits.truncated);
  EXPECT_THAT(fits.ids, ElementsAre(14, 6, 7, 8, 9, 6, 7, 15));
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.ids, fits.ids);
  EXPECT_EQ(cut.count, 8U);
}

TEST(ClipTokenizer, BytesThatAreNotInTheVocabularyAreTheUnknownToken) {
  EXPECT_THAT(Ids("xaz"), ElementsAre(14, 15, 1, 15, 15, 15, 15, 15));
}

TEST(ClipTokenizer, APaddingTokenOfItsOwnIsSpecialInTexts) {
  const ClipTokenizer tokenizer = Small(R"({"model_max_length":8,"pad_token":"!"})").value();

  EXPECT_THAT(tokenizer.Encode("a!")->ids, ElementsAre(14, 6, 0, 15, 0, 0, 0, 0));
  EXPECT_THAT(Ids("a!"), ElementsAre(14, 6, 5, 15, 15, 15, 15, 15));
}

TEST(ClipTokenizer, RefusesTextsThatAreNotUtf8NamingTheByte) {
  const auto failed = Small()->Encode("ab\xC3(").error();

  EXPECT_EQ(failed.ToString(), "INVALID_ARGUMENT prompt_not_utf8: the text is not UTF-8 at byte 2");
  EXPECT_EQ(Small()->Encode("\xED\xA0\x80").error().reason(), "prompt_not_utf8");
}

TEST(ClipTokenizer, RefusesTextsAboveTheLimit) {
  const std::string most(ClipTokenizer::kMaxTextBytes, 'a');

  EXPECT_TRUE(Small()->Encode(most).ok());
  EXPECT_EQ(Small()->Encode(most + "a").error().ToString(),
            "INVALID_ARGUMENT prompt_too_long: the text has 131073 bytes; the limit is 131072");
}

std::string Fault(const Result<ClipTokenizer>& made) { return made.ok() ? "none" : made.error().ToString(); }

TEST(ClipTokenizerFiles, ErrorsNameTheFileAndWhatIsWrongInIt) {
  EXPECT_EQ(Fault(Small("{}", "[]")),
            "INVALID_ARGUMENT tokenizer_invalid: vocab.json: it is not a JSON object");
  EXPECT_EQ(Fault(Small("{}", R"({"a":-1})")),
            "INVALID_ARGUMENT tokenizer_invalid: vocab.json: the id of 'a' is -1, must be an integer from 0 "
            "to 999999");
  EXPECT_EQ(Fault(Small("{}", R"({"a":1})", "#version: 0.2\n")),
            "INVALID_ARGUMENT vocabulary_incomplete: vocab.json: there is no '<|startoftext|>', which "
            "'bos_token' of "
            "tokenizer_config.json names");
  EXPECT_EQ(Fault(Small(kShort, kVocab, "a b\n")),
            "INVALID_ARGUMENT tokenizer_invalid: merges.txt: line 1 does not start with #version");
  EXPECT_EQ(Fault(Small(kShort, kVocab, "#version\na b c\n")),
            "INVALID_ARGUMENT tokenizer_invalid: merges.txt: line 2 is 'a b c', must be two symbols");
  EXPECT_EQ(Fault(Small(kShort, kVocab, "#version\na b\nb d\n")),
            "INVALID_ARGUMENT vocabulary_incomplete: vocab.json: there is no 'bd', which line 3 of "
            "merges.txt needs");
  EXPECT_EQ(Fault(Small(R"({"tokenizer_class":"T5Tokenizer"})")),
            "FAILED_PRECONDITION tokenizer_unsupported: tokenizer_config.json: 'tokenizer_class' is "
            "\"T5Tokenizer\", "
            "not CLIPTokenizer");
  EXPECT_EQ(Fault(Small(R"({"pad_token":null})")),
            "INVALID_ARGUMENT tokenizer_invalid: tokenizer_config.json: 'pad_token' is null, must be a "
            "string or have "
            "a content");
  EXPECT_EQ(Fault(Small(R"({"model_max_length":2})")),
            "INVALID_ARGUMENT tokenizer_invalid: tokenizer_config.json: 'model_max_length' is 2, must be a "
            "number of "
            "at least 3");
  EXPECT_THAT(Fault(Small(R"({"added_tokens_decoder":{"x":{"content":"y"}}})")), HasSubstr("has the id 'x'"));
  EXPECT_THAT(Fault(Small(R"({"added_tokens_decoder":{"1":{"content":"y","single_word":true}}})")),
              HasSubstr("tokenizer_unsupported"));
  EXPECT_THAT(Fault(Small(kShort, std::string(std::size_t{17} << 20U, ' '))),
              HasSubstr("vocabulary_too_large"));
}

TEST(ClipTokenizerFiles, ALengthThatMeansNoLimitIsClipsOwn) {
  EXPECT_EQ(Small(R"({"model_max_length":1000000000000000019884624838656})")->max_length(), 77U);
  EXPECT_EQ(Small("{}")->max_length(), 77U);
  EXPECT_EQ(Small(R"({"model_max_length":64})")->max_length(), 64U);
}

TEST(ClipTokenizerFiles, LineEndsOfWindowsDoNotMatter) {
  const auto made = Small(kShort, kVocab, "#version: 0.2\r\na b\r\nb c\r\nab c</w>\r\n");

  ASSERT_TRUE(made.ok()) << made.error().ToString();
  EXPECT_EQ(made->Encode("abc")->ids[1], 11);
}

/// Quadratic time would take minutes.
TEST(BytePairMerger, TakesALongWordThatMergesAllOverInItsStride) {
  const std::vector<internal::Merge> merges = {{.left = 1, .right = 1, .result = 2},
                                               {.left = 2, .right = 2, .result = 3},
                                               {.left = 3, .right = 3, .result = 4}};
  const internal::BytePairMerger merger(merges);
  std::vector<TokenId> symbols(std::size_t{8} << 13U, 1);

  merger.Apply(&symbols);

  EXPECT_EQ(symbols, std::vector<TokenId>(std::size_t{1} << 13U, 4));
}

TEST(BytePairMerger, MergesTheLeftmostOfEqualPairsFirst) {
  const std::vector<internal::Merge> merges = {{.left = 1, .right = 1, .result = 2}};
  const internal::BytePairMerger merger(merges);
  std::vector<TokenId> symbols = {1, 1, 1, -1, 1, 1};

  merger.Apply(&symbols);

  EXPECT_THAT(symbols, ElementsAre(2, 1, -1, 2));
}

}  // namespace
}  // namespace mezzo::generation
