#include "mezzo/api/openai/folder_tokenizers.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::api::openai {
namespace {

using ::testing::HasSubstr;
using TokenizerRef = std::shared_ptr<const EmbeddingTokenizer>;

constexpr const char* kVocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhello\n";

class FolderTokenizersTest : public ::testing::Test {
 protected:
  FolderTokenizersTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mezzo-tokenizers-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~FolderTokenizersTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << content;
  }
  std::string ConfigRefusal(const std::string& config) const {
    Write("vocab.txt", kVocabulary);
    Write("tokenizer_config.json", config);
    const auto read = ReadTokenizer(folder_, "vocab.txt");
    return read.ok() ? "accepted" : read.error().ToString();
  }
  models::VersionRef Version() const {
    auto version = std::make_shared<models::ModelVersion>();
    version->name = ModelName("m");
    version->version_text = "1";
    version->folder = folder_;
    return version;
  }

  std::string folder_;
};

TEST_F(FolderTokenizersTest, ReadsAVocabularyAlone) {
  Write("vocab.txt", kVocabulary);

  const auto read = ReadTokenizer(folder_, "vocab.txt");

  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ((*read)->pieces.Encode("Hello", 8).ids.at(1), 4);
  EXPECT_EQ((*read)->max_tokens, 0u);
}

TEST_F(FolderTokenizersTest, ReadsTheConfigurationBesideIt) {
  Write("vocab.txt", "<pad>\n[UNK]\n<s>\n</s>\nhello\n");
  Write(
      "tokenizer_config.json",
      R"({"do_lower_case":true,"strip_accents":null,"model_max_length":512,"tokenizer_class":"BertTokenizerFast",
            "cls_token":"<s>","sep_token":{"content":"</s>","lstrip":false},"pad_token":"<pad>","other":[{}]})");

  const auto read = ReadTokenizer(folder_, "vocab.txt");

  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ((*read)->max_tokens, 512u);
  EXPECT_EQ((*read)->pieces.padding(), 0);
  EXPECT_EQ((*read)->pieces.Encode("x", 8).ids.front(), 2);
}

TEST_F(FolderTokenizersTest, ANumberForNoLimitIsNoLimit) {
  EXPECT_EQ(ConfigRefusal(R"({"model_max_length":1000000000000000019884624838656})"), "accepted");

  EXPECT_EQ((*ReadTokenizer(folder_, "vocab.txt"))->max_tokens, 0u);
}

TEST_F(FolderTokenizersTest, RefusesTokenizersThatItIsNot) {
  EXPECT_THAT(ConfigRefusal(R"({"do_lower_case":false})"),
              HasSubstr("tokenizer_unsupported: tokenizer_config.json: 'do_lower_case' is false"));
  EXPECT_THAT(ConfigRefusal(R"({"tokenizer_class":"XLMRobertaTokenizer"})"),
              HasSubstr("'XLMRobertaTokenizer'"));
  EXPECT_THAT(ConfigRefusal(R"({"sep_token":"<end>"})"), HasSubstr("no '<end>'"));
  EXPECT_THAT(ConfigRefusal("{"), HasSubstr("tokenizer_unsupported"));
  EXPECT_THAT(ConfigRefusal("[]"), HasSubstr("tokenizer_unsupported"));
}

TEST_F(FolderTokenizersTest, AMissingOrUnsafeVocabularyIsNamed) {
  EXPECT_THAT(ReadTokenizer(folder_, "vocab.txt").error().ToString(), HasSubstr("tokenizer_missing"));
  EXPECT_THAT(ReadTokenizer(folder_, "../vocab.txt").error().ToString(), HasSubstr("tokenizer_missing"));
  Write("vocab.txt", "a\na\n");
  EXPECT_THAT(ReadTokenizer(folder_, "vocab.txt").error().ToString(), HasSubstr("repeats 'a' of line 1"));
}

TEST_F(FolderTokenizersTest, ReadsOncePerVersionAlsoWhenManyAskAtOnce) {
  Write("vocab.txt", kVocabulary);
  runtime::BlockingPool pool({.name = "test", .threads = 2});
  runtime::IoThreads loops(2);
  FolderTokenizers tokenizers(pool);
  const models::VersionRef version = Version();

  std::vector<std::promise<Result<TokenizerRef>>> answers(50);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    loops.loop(i % 2).Post([&, i] {
      runtime::Start(tokenizers.For(runtime::Context(), version, "vocab.txt"),
                     [&answers, i](Result<TokenizerRef> answer) { answers[i].set_value(std::move(answer)); });
    });
  }
  std::vector<TokenizerRef> got;
  for (auto& answer : answers) got.push_back(answer.get_future().get().value());

  for (const auto& tokenizer : got) EXPECT_EQ(tokenizer, got.front()) << "read more than once";
  const auto other = runtime::SyncWait(tokenizers.For(runtime::Context(), Version(), "vocab.txt"));
  ASSERT_TRUE(other.ok());
  EXPECT_NE(*other, got.front()) << "another version's tokenizer";
  loops.Stop();
}

TEST_F(FolderTokenizersTest, AFailureIsTriedAgain) {
  runtime::BlockingPool pool({.name = "test", .threads = 1});
  FolderTokenizers tokenizers(pool);
  const models::VersionRef version = Version();

  const auto missing = runtime::SyncWait(tokenizers.For(runtime::Context(), version, "vocab.txt"));
  Write("vocab.txt", kVocabulary);
  const auto found = runtime::SyncWait(tokenizers.For(runtime::Context(), version, "vocab.txt"));

  EXPECT_THAT(missing.error().message(),
              HasSubstr("the tokenizer of model 'm' version 1: its vocabulary can't be read"));
  EXPECT_TRUE(found.ok());
}

}  // namespace
}  // namespace mezzo::api::openai
