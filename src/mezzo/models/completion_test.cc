#include "mezzo/models/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::models {
namespace {

using ::testing::SizeIs;

engine::TensorSpec Spec(std::string name, tensor::Shape shape, std::vector<std::string> symbols = {}) {
  return {
      .name = std::move(name), .dtype = tensor::DType::kFp32, .shape = shape, .symbols = std::move(symbols)};
}
engine::SessionFacts Facts(engine::TensorSpec input, engine::TensorSpec output) {
  engine::SessionFacts facts;
  facts.inputs = {std::move(input)};
  facts.outputs = {std::move(output)};
  return facts;
}
const engine::SessionFacts kBatchable = Facts(Spec("x", {-1, 4}, {"n", ""}), Spec("y", {-1, 2}, {"n", ""}));
const engine::SessionFacts kFixed = Facts(Spec("x", {1, 4}), Spec("y", {1, 2}));

std::string ErrorOf(std::string_view pbtxt, const engine::SessionFacts& facts) {
  const auto declared = ParseConfigPbtxt(pbtxt, "config.pbtxt");
  if (!declared.ok()) return "not parsed: " + declared.error().message();
  const auto config = CompleteConfig(*declared, facts, 32);
  return config.ok() ? "accepted" : config.error().message();
}
ModelConfig Completed(std::string_view pbtxt, const engine::SessionFacts& facts) {
  const auto declared = ParseConfigPbtxt(pbtxt, "config.pbtxt");
  auto config = CompleteConfig(*declared, facts, 32);
  EXPECT_TRUE(config.ok()) << config.error().ToString();
  return config.ok() ? *config : ModelConfig();
}

TEST(CompleteConfig, ABareModelIsServedAsItDeclaresItself) {
  const auto config = CompleteConfig(DeclaredConfig(), kBatchable, 32);

  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->max_batch_size, 32);
  EXPECT_TRUE(config->dynamic_batching);
  ASSERT_THAT(config->inputs, SizeIs(1));
  EXPECT_EQ(config->inputs[0].shape, (tensor::Shape{-1, 4}));
  EXPECT_EQ(config->outputs[0].name, "y");
}

TEST(CompleteConfig, AModelWithoutAVariableFirstDimensionDoesNotBatch) {
  EXPECT_EQ(CompleteConfig(DeclaredConfig(), kFixed, 32)->max_batch_size, 0);
}

TEST(CompleteConfig, DifferentSymbolsOfTheFirstDimensionAreNoBatch) {
  const auto facts = Facts(Spec("x", {-1, 4}, {"n", ""}), Spec("y", {-1, 2}, {"boxes", ""}));

  EXPECT_FALSE(IsBatchable(facts));
  EXPECT_EQ(CompleteConfig(DeclaredConfig(), facts, 32)->max_batch_size, 0);
}

TEST(CompleteConfig, ThePartOfAPipelineBatchesAroundANumberThatItsRowsShare) {
  engine::SessionFacts unet = Facts(Spec("sample", {-1, 4, -1, -1}, {"batch", "", "h", "w"}),
                                    Spec("out_sample", {-1, 4, -1, -1}, {"rows", "", "h", "w"}));
  unet.inputs.push_back(Spec("timestep", {}));
  DeclaredConfig part;
  part.pipeline_part = true;

  const auto config = CompleteConfig(part, unet, 32);

  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->max_batch_size, 32);
  EXPECT_FALSE(config->inputs[0].shared);
  EXPECT_TRUE(config->inputs[1].shared);
  const auto alone = CompleteConfig(DeclaredConfig(), unet, 32);
  ASSERT_TRUE(alone.ok());
  EXPECT_EQ(alone->max_batch_size, 0);
}

TEST(CompleteConfig, NamesThatAConverterMadeUpAreNoNames) {
  const auto facts = Facts(Spec("x", {-1, 4}, {"unk__214", ""}), Spec("y", {-1, 2}, {"unk__215", ""}));

  EXPECT_TRUE(IsBatchable(facts));
}

TEST(CompleteConfig, DimsDecideWhenMaxBatchSizeIsNotGiven) {
  const auto without = Completed("input { name: 'x' data_type: TYPE_FP32 dims: 4 }", kBatchable);
  const auto whole = Completed("input { name: 'x' data_type: TYPE_FP32 dims: [ -1, 4 ] }", kBatchable);

  EXPECT_EQ(without.max_batch_size, 32);
  EXPECT_EQ(without.inputs[0].shape, (tensor::Shape{-1, 4}));
  EXPECT_EQ(whole.max_batch_size, 0);
  EXPECT_EQ(whole.inputs[0].shape, (tensor::Shape{-1, 4}));
}

TEST(CompleteConfig, ReshapeIsComparedWithTheModel) {
  const auto facts = Facts(Spec("x", {-1}), Spec("y", {-1}));
  const auto config = Completed(
      "max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: 1 reshape { shape: [ ] } }", facts);

  EXPECT_EQ(config.inputs[0].shape, (tensor::Shape{-1, 1}));
  EXPECT_EQ(config.inputs[0].engine_shape, (tensor::Shape{-1}));
}

TEST(CompleteConfig, NamesBothSidesOfAMismatch) {
  EXPECT_EQ(ErrorOf("max_batch_size: 2 input { name: 'z' data_type: TYPE_FP32 dims: 4 }", kBatchable),
            "config.pbtxt: input 'z' is declared, but the model's inputs are 'x'");
  EXPECT_EQ(ErrorOf("max_batch_size: 2 input { name: 'x' data_type: TYPE_INT64 dims: 4 }", kBatchable),
            "config.pbtxt: input 'x' is declared as INT64, but the model's is FP32");
  EXPECT_EQ(ErrorOf("max_batch_size: 2 input { name: 'x' data_type: TYPE_FP32 dims: 5 }", kBatchable),
            "config.pbtxt: input 'x' is declared with the shape [-1,5] (batch dimension included), but the "
            "model's is "
            "[-1,4]");
  EXPECT_EQ(ErrorOf("output { name: 'q' data_type: TYPE_FP32 dims: 2 }", kBatchable),
            "config.pbtxt: output 'q' is declared, but the model's outputs are 'y'");
  EXPECT_EQ(ErrorOf("max_batch_size: 2", kFixed),
            "config.pbtxt: max_batch_size is 2, but the model's input 'x' has the shape [1,4] without a "
            "variable first "
            "dimension; set max_batch_size to 0");
  EXPECT_EQ(ErrorOf("max_batch_size: 2 input { name: 'x' data_type: TYPE_FP32 dims: 4 optional: true }",
                    kBatchable),
            "config.pbtxt: input 'x' is declared optional, but the model needs it");
  EXPECT_EQ(ErrorOf("max_batch_size: 2 model_warmup { name: 'w' batch_size: 3 }", kBatchable),
            "config.pbtxt: warm-up 'w' has the batch size 3; max_batch_size is 2");
}

TEST(CompleteConfig, AnUndeclaredInputOfTheModelIsMissing) {
  auto facts = kBatchable;
  facts.inputs.push_back(Spec("mask", {-1, 4}));
  const char* config = "max_batch_size: 2 input { name: 'x' data_type: TYPE_FP32 dims: 4 }";

  EXPECT_EQ(ErrorOf(config, facts), "config.pbtxt: the model's input 'mask' is not declared");
  facts.inputs[1].optional = true;
  EXPECT_EQ(ErrorOf(config, facts), "accepted");
}

}  // namespace
}  // namespace mezzo::models
