// Tests of the pure parts: decoding, what makes a model embed, grouping, running in lanes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/api/openai/embedding_model.h"
#include "mezzo/api/openai/embedding_request.h"
#include "mezzo/api/openai/internal/run_all.h"

namespace mezzo::api::openai {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Refusal(std::string_view body, EmbeddingLimits limits = {}) {
  const auto decoded = DecodeEmbeddingRequest(body, limits);
  return decoded.ok() ? "accepted" : decoded.error().ToString();
}

std::string RefusedInput(std::string_view input, EmbeddingLimits limits = {}) {
  return Refusal(R"({"model":"m","input":)" + std::string(input) + "}", limits);
}

TEST(EmbeddingRequest, ReadsAllMembersAndPassesOverOthers) {
  const auto decoded = DecodeEmbeddingRequest(
      R"({"user":"u","extra":{"a":[1]},"input":["x","\u00e9"],"model":"m","encoding_format":"base64","dimensions":7})",
      {});

  ASSERT_TRUE(decoded.ok()) << decoded.error().ToString();
  EXPECT_EQ(decoded->model, "m");
  ASSERT_EQ(decoded->inputs.size(), 2u);
  EXPECT_EQ(std::get<std::string>(decoded->inputs[1]), "é");
  EXPECT_EQ(decoded->format, EncodingFormat::kBase64);
  EXPECT_EQ(decoded->dimensions, 7u);
}

TEST(EmbeddingRequest, NullMeansLeftOut) {
  const auto decoded =
      DecodeEmbeddingRequest(R"({"model":"m","input":"x","encoding_format":null,"dimensions":null})", {});

  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->format, EncodingFormat::kFloat);
  EXPECT_FALSE(decoded->dimensions.has_value());
}

TEST(EmbeddingRequest, ReadsTokenIds) {
  const auto one = DecodeEmbeddingRequest(R"({"model":"m","input":[1,2]})", {});
  const auto two = DecodeEmbeddingRequest(R"({"model":"m","input":[[1,2],[3]]})", {});

  ASSERT_EQ(one->inputs.size(), 1u);
  EXPECT_THAT(std::get<1>(one->inputs[0]), ElementsAre(1, 2));
  ASSERT_EQ(two->inputs.size(), 2u);
  EXPECT_THAT(std::get<1>(two->inputs[1]), ElementsAre(3));
}

TEST(EmbeddingRequest, RefusalsNameThePlace) {
  EXPECT_THAT(Refusal(R"({"input":"x"})"), HasSubstr("model_missing"));
  EXPECT_THAT(Refusal(R"({"model":"","input":"x"})"), HasSubstr("model_missing"));
  EXPECT_THAT(Refusal(R"({"model":3,"input":"x"})"),
              HasSubstr("field_type: 'model' must be a string, not a number"));
  EXPECT_THAT(Refusal(R"({"model":"m"})"), HasSubstr("you must provide 'input'"));
  EXPECT_THAT(Refusal(R"({"model":"m","model":"n","input":"x"})"), HasSubstr("field_duplicate: 'model'"));
  EXPECT_THAT(Refusal("[]"), HasSubstr("json_malformed"));
  EXPECT_THAT(Refusal(R"({"model":"m","input":"x"} x)"), HasSubstr("json_malformed"));
  EXPECT_THAT(
      Refusal(R"({"model":"m","input":"x","encoding_format":"hex"})"),
      HasSubstr(R"(encoding_format_invalid: 'encoding_format' must be "float" or "base64", not 'hex')"));
  for (const char* dimensions : {"0", "-1", "1.5", "\"4\"", "1e2"}) {
    EXPECT_THAT(Refusal(R"({"model":"m","input":"x","dimensions":)" + std::string(dimensions) + "}"),
                HasSubstr("dimensions_invalid"))
        << dimensions;
  }
}

TEST(EmbeddingRequest, RefusesOddInputs) {
  EXPECT_THAT(RefusedInput(R"("")"),
              HasSubstr("embedding_input_empty: 'input[0]' must not be an empty string"));
  EXPECT_THAT(RefusedInput(R"(["a",""])"), HasSubstr("'input[1]' must not be an empty string"));
  EXPECT_THAT(RefusedInput("[]"), HasSubstr("embedding_input_empty: 'input' must have at least one element"));
  EXPECT_THAT(RefusedInput("[[1],[]]"), HasSubstr("'input[1]' must have at least one token id"));
  EXPECT_THAT(RefusedInput("{}"), HasSubstr("embedding_input_invalid"));
  EXPECT_THAT(RefusedInput("null"), HasSubstr("embedding_input_invalid"));
  EXPECT_THAT(RefusedInput("[true]"), HasSubstr("embedding_input_invalid"));
  EXPECT_THAT(RefusedInput(R"(["a",1])"),
              HasSubstr("'input' must have elements of one kind: a string, not a number"));
  EXPECT_THAT(RefusedInput(R"([1,"a"])"),
              HasSubstr("'input' must have elements of one kind: a number, not a string"));
  EXPECT_THAT(RefusedInput(R"([[1,"a"]])"),
              HasSubstr("'input[0]' must be an array of token ids, not a string"));
  EXPECT_THAT(RefusedInput("[[1],[2,-3]]"),
              HasSubstr("token 1 of 'input[1]' must be an integer in [0, 2147483647]"));
  EXPECT_THAT(RefusedInput("[1.5]"), HasSubstr("token 0 of 'input[0]'"));
  EXPECT_THAT(RefusedInput("[2147483648]"), HasSubstr("token 0 of 'input[0]'"));
  EXPECT_THAT(RefusedInput("[1,"), HasSubstr("json_malformed"));
  EXPECT_THAT(RefusedInput("nope"), HasSubstr("json_malformed"));
}

TEST(EmbeddingRequest, BoundsInputsTokensAndDepth) {
  EXPECT_THAT(RefusedInput(R"(["a","b","c"])", {.max_inputs = 2}),
              HasSubstr("embedding_too_many_inputs: 'input' has more than 2 elements"));
  EXPECT_EQ(RefusedInput(R"(["a","b"])", {.max_inputs = 2}), "accepted");
  EXPECT_THAT(RefusedInput("[1,2,3]", {.max_tokens_per_input = 2}),
              HasSubstr("context_length_exceeded: 'input[0]' has more than 2 tokens"));
  EXPECT_THAT(
      Refusal(R"({"x":)" + std::string(100, '[') + std::string(100, ']') + R"(,"model":"m","input":"x"})"),
      HasSubstr("json_too_deep"));
}

models::ModelConfig Config() {
  models::ModelConfig config;
  config.name = "m";
  config.max_batch_size = 16;
  const auto ints = [](const char* name) {
    return models::TensorConfig{.name = name, .dtype = tensor::DType::kInt64, .shape = {-1, -1}};
  };
  config.inputs = {ints("input_ids"), ints("attention_mask")};
  config.outputs = {{.name = "sentence_embedding", .dtype = tensor::DType::kFp32, .shape = {-1, 384}}};
  return config;
}

TEST(EmbeddingModel, ReadsWhatTheModelIs) {
  const auto model = EmbeddingModel::Of(Config());

  ASSERT_TRUE(model.ok()) << model.error().ToString();
  EXPECT_EQ(model->output, "sentence_embedding");
  EXPECT_EQ(model->tokenizer_file, "vocab.txt");
  EXPECT_EQ(model->dimensions, 384u);
  EXPECT_EQ(model->max_rows, 16u);
  EXPECT_EQ(model->max_tokens, 0u);
  EXPECT_FALSE(model->token_types);
  EXPECT_FALSE(model->truncate);
}

TEST(EmbeddingModel, ParametersRefineIt) {
  models::ModelConfig config = Config();
  config.outputs[0].name = "pooled";
  config.parameters = {{"embedding_output", "pooled"},
                       {"embedding_tokenizer", "words.txt"},
                       {"embedding_max_tokens", "256"},
                       {"embedding_truncate", "true"}};

  const auto model = EmbeddingModel::Of(config);

  ASSERT_TRUE(model.ok()) << model.error().ToString();
  EXPECT_EQ(model->output, "pooled");
  EXPECT_EQ(model->tokenizer_file, "words.txt");
  EXPECT_EQ(model->max_tokens, 256u);
  EXPECT_TRUE(model->truncate);
}

TEST(EmbeddingModel, RefusalsSayWhatIsMissing) {
  const auto refusal = [](auto change) {
    models::ModelConfig config = Config();
    change(config);
    return EmbeddingModel::Of(config).error().ToString();
  };

  EXPECT_THAT(refusal([](auto& c) { c.inputs[0].name = "ids"; }), HasSubstr("it has no input 'input_ids'"));
  EXPECT_THAT(refusal([](auto& c) { c.inputs[0].dtype = tensor::DType::kInt32; }),
              HasSubstr("is INT32, not INT64"));
  EXPECT_THAT(refusal([](auto& c) { c.inputs[1].shape = {-1, 4, 4}; }), HasSubstr("has shape [-1,4,4]"));
  EXPECT_THAT(refusal([](auto& c) { c.inputs.push_back({.name = "pixels"}); }),
              HasSubstr("needs an input 'pixels'"));
  EXPECT_THAT(refusal([](auto& c) { c.outputs[0].name = "x"; }),
              HasSubstr("has no output 'sentence_embedding'"));
  EXPECT_THAT(refusal([](auto& c) { c.outputs[0].shape = {-1, -1, 384}; }),
              HasSubstr("not FP32 [batch, dimensions]"));
  EXPECT_THAT(refusal([](auto& c) { c.parameters = {{"embedding_max_tokens", "many"}}; }),
              HasSubstr("model_parameter_invalid: parameter 'embedding_max_tokens' of model 'm'"));
  EXPECT_THAT(refusal([](auto& c) { c.parameters = {{"embedding_truncate", "yes"}}; }),
              HasSubstr("not 'yes'"));
}

TEST(GroupRows, PadsToMultiplesUpToTheLimitAndPutsTheLongestFirst) {
  const std::vector<std::size_t> lengths = {3, 99, 9, 8, 5};

  const auto groups =
      GroupRows(lengths, {.max_rows = 2, .multiple = 8, .fixed_length = 0, .max_length = 100});

  ASSERT_EQ(groups.size(), 4u);
  EXPECT_EQ(groups[0].length, 100u);
  EXPECT_THAT(groups[0].rows, ElementsAre(1));
  EXPECT_EQ(groups[1].length, 16u);
  EXPECT_THAT(groups[1].rows, ElementsAre(2));
  EXPECT_EQ(groups[2].length, 8u);
  EXPECT_THAT(groups[2].rows, ElementsAre(0, 3));
  EXPECT_THAT(groups[3].rows, ElementsAre(4));
}

TEST(GroupRows, AFixedLengthIsForAll) {
  const std::vector<std::size_t> lengths = {3, 20};

  const auto groups =
      GroupRows(lengths, {.max_rows = 8, .multiple = 8, .fixed_length = 32, .max_length = 32});

  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].length, 32u);
}

/// Tasks that suspend until Release() is called for them.
class Gate {
 public:
  runtime::Task<Result<void>> Pass(std::size_t index) {
    started.push_back(index);
    co_await Waiter{*this, index};
    if (index == failing) co_return Internal("failed", "task " + std::to_string(index));
    co_return Result<void>();
  }
  void Release(std::size_t index) { waiting_.at(index).resume(); }

  std::vector<std::size_t> started;
  std::size_t failing = SIZE_MAX;

 private:
  struct Waiter {
    Gate& gate;
    std::size_t index;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const { gate.waiting_[index] = handle; }
    void await_resume() const noexcept {}
  };
  std::map<std::size_t, std::coroutine_handle<>> waiting_;
};

TEST(RunAll, KeepsTheWidthAndEndsWithTheLast) {
  Gate gate;
  std::optional<Result<void>> done;
  auto pass = [&gate](std::size_t index) { return gate.Pass(index); };
  runtime::Start(internal::RunAll(4, 2, pass), [&](Result<void> result) { done = std::move(result); });

  EXPECT_THAT(gate.started, ElementsAre(0, 1));
  gate.Release(1);
  EXPECT_THAT(gate.started, ElementsAre(0, 1, 2));
  gate.Release(2);
  gate.Release(3);
  EXPECT_FALSE(done.has_value());
  gate.Release(0);
  ASSERT_TRUE(done.has_value());
  EXPECT_TRUE(done->ok());
}

TEST(RunAll, AnErrorStartsNothingMoreButWaitsForWhatRuns) {
  Gate gate;
  gate.failing = 0;
  std::optional<Result<void>> done;
  auto pass = [&gate](std::size_t index) { return gate.Pass(index); };
  runtime::Start(internal::RunAll(9, 2, pass), [&](Result<void> result) { done = std::move(result); });

  gate.Release(0);
  EXPECT_THAT(gate.started, ElementsAre(0, 1));
  EXPECT_FALSE(done.has_value());
  gate.Release(1);
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->error().message(), "task 0");
}

TEST(RunAll, TasksThatNeverSuspendAreFine) {
  std::size_t ran = 0;
  auto count = [&ran](std::size_t /*index*/) -> runtime::Task<Result<void>> {
    return [](std::size_t* counter) -> runtime::Task<Result<void>> {
      ++*counter;
      co_return Result<void>();
    }(&ran);
  };

  EXPECT_TRUE(runtime::SyncWait(internal::RunAll(100, 3, count)).ok());
  EXPECT_TRUE(runtime::SyncWait(internal::RunAll(0, 3, count)).ok());
  EXPECT_EQ(ran, 100u);
}

}  // namespace
}  // namespace mezzo::api::openai
