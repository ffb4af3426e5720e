#include "mezzo/inference/request_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/inference/batch_gather.h"
#include "mezzo/inference/testing/fake_models.h"

namespace mezzo::inference {
namespace {

using ::testing::ElementsAre;
using testing::FloatsOf;
using ::testing::HasSubstr;
using testing::MakeCall;
using testing::MakeFloats;
using testing::MakeStrings;
using testing::MakeVersion;
using testing::StringsOf;

TEST(PlanRequest, OrdersInputsAsTheModelDoes) {
  const auto version = MakeVersion({.inputs = {{"A", {-1, 2}}, {"B", {-1, 2}}}});
  InferenceCall call = MakeCall("m", {{"B", MakeFloats({1, 2}, {3, 4})}, {"A", MakeFloats({1, 2}, {1, 2})}});

  const auto plan = PlanRequest(*version, call);

  ASSERT_TRUE(plan.ok()) << plan.error().ToString();
  EXPECT_EQ(plan->inputs[0], &call.inputs[1].tensor);
  EXPECT_EQ(plan->inputs[1], &call.inputs[0].tensor);
  EXPECT_EQ(plan->rows, 1u);
}

TEST(PlanRequest, SaysExactlyWhatIsWrong) {
  const auto version = MakeVersion({.inputs = {{"A", {-1, 2}}, {"B", {-1, 2}}}, .max_batch = 8});
  const tensor::Tensor good = MakeFloats({1, 2}, {1, 2});
  const auto message = [&](InferenceCall call) {
    const auto plan = PlanRequest(*version, call);
    return plan.ok() ? std::string("accepted") : plan.error().message();
  };

  EXPECT_THAT(
      message(MakeCall("m", {{"A", good}})),
      HasSubstr("expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['A'], but missing required "
                "input(s) ['B']"));
  EXPECT_THAT(message(MakeCall("m", {{"A", good}, {"C", good}})),
              HasSubstr("unexpected inference input 'C' for model 'm'"));
  EXPECT_THAT(message(MakeCall("m", {{"A", good}, {"A", good}})), HasSubstr("'A' already exists"));
  EXPECT_THAT(message(MakeCall("m", {{"A", good}, {"B", MakeStrings({1, 2}, {"x", "y"})}})),
              HasSubstr("inference input 'B' data-type is 'BYTES', but model 'm' expects 'FP32'"));
  EXPECT_THAT(message(MakeCall("m", {{"A", good}, {"B", MakeFloats({1, 3}, {1, 2, 3})}})),
              HasSubstr("unexpected shape for input 'B' for model 'm'. Expected [-1,2], got [1,3]"));
  EXPECT_THAT(message(MakeCall("m", {{"A", good}, {"B", MakeFloats({2, 2}, {1, 2, 3, 4})}})),
              HasSubstr("input 'B' batch size 2 does not match other inputs' batch size 1"));
  const tensor::Tensor nine = MakeFloats({9, 2}, std::vector<float>(18));
  EXPECT_THAT(message(MakeCall("m", {{"A", nine}, {"B", nine}})),
              HasSubstr("must be >= 1 and <= 8 for 'm', got 9"));
  const tensor::Tensor none = MakeFloats({0, 2}, {});
  EXPECT_THAT(message(MakeCall("m", {{"A", none}, {"B", none}})),
              HasSubstr("must be >= 1 and <= 8 for 'm', got 0"));
  InferenceCall outputs = MakeCall("m", {{"A", good}, {"B", good}});
  outputs.outputs = {{.name = "Z"}};
  EXPECT_THAT(message(std::move(outputs)), HasSubstr("unexpected inference output 'Z' for model 'm'"));
}

TEST(PlanRequest, KeysSeparateShapesUnlessTheModelPads) {
  const auto separate = MakeVersion({.inputs = {{"A", {-1, -1}}}});
  const auto pad = MakeVersion({.inputs = {{"A", {-1, -1}}}, .pad = true});
  const InferenceCall two = MakeCall("m", {{"A", MakeFloats({1, 2}, {1, 2})}});
  const InferenceCall three = MakeCall("m", {{"A", MakeFloats({1, 3}, {1, 2, 3})}});

  EXPECT_NE(PlanRequest(*separate, two)->batch_key, PlanRequest(*separate, three)->batch_key);
  EXPECT_EQ(PlanRequest(*pad, two)->batch_key, PlanRequest(*pad, three)->batch_key);
}

TEST(ChooseClass, MapsPrioritiesAndHonoursTheTenant) {
  models::ModelConfig plain;
  models::ModelConfig levels;
  levels.priority_levels = 6;
  levels.default_priority = 6;
  tenancy::Tenant tenant;
  tenant.id = TenantId("t");

  EXPECT_EQ(ChooseClass(plain, 0, tenant).value(), sched::Class::kStandard);
  EXPECT_EQ(ChooseClass(plain, 1, tenant).value(), sched::Class::kInteractive);
  EXPECT_EQ(ChooseClass(plain, 9, tenant).value(), sched::Class::kBulk);
  EXPECT_EQ(ChooseClass(levels, 2, tenant).value(), sched::Class::kInteractive);
  EXPECT_EQ(ChooseClass(levels, 3, tenant).value(), sched::Class::kStandard);
  EXPECT_EQ(ChooseClass(levels, 0, tenant).value(), sched::Class::kBulk);

  tenant.classes = {false, false, true};
  EXPECT_EQ(ChooseClass(plain, 0, tenant).value(), sched::Class::kBulk);
  EXPECT_EQ(ChooseClass(plain, 1, tenant).error().reason(), "class_not_allowed");
  tenant.classes = {false, false, false};
  EXPECT_EQ(ChooseClass(plain, 0, tenant).error().reason(), "class_not_allowed");
}

TEST(GatherRows, PadsRaggedRowsWithZeros) {
  const tensor::Tensor a = MakeFloats({1, 2}, {1, 2});
  const tensor::Tensor b = MakeFloats({2, 3}, {3, 4, 5, 6, 7, 8});
  const std::vector<const tensor::Tensor*> parts = {&a, &b};

  const tensor::Tensor joined = GatherRows(parts);

  EXPECT_EQ(joined.shape, (tensor::Shape{3, 3}));
  EXPECT_THAT(FloatsOf(joined), ElementsAre(1, 2, 0, 3, 4, 5, 6, 7, 8));
}

TEST(GatherRows, PadsInEveryDimension) {
  const tensor::Tensor a = MakeFloats({1, 2, 1}, {1, 2});
  const tensor::Tensor b = MakeFloats({1, 1, 2}, {3, 4});
  const std::vector<const tensor::Tensor*> parts = {&a, &b};

  EXPECT_THAT(FloatsOf(GatherRows(parts)), ElementsAre(1, 0, 2, 0, 3, 4, 0, 0));
}

TEST(GatherRows, PadsStringsWithEmptyOnes) {
  const tensor::Tensor a = MakeStrings({1, 1}, {"x"});
  const tensor::Tensor b = MakeStrings({1, 2}, {"yy", "z"});
  const std::vector<const tensor::Tensor*> parts = {&a, &b};

  EXPECT_THAT(StringsOf(GatherRows(parts)), ElementsAre("x", "", "yy", "z"));
}

TEST(CropTo, UndoesThePadding) {
  const tensor::Tensor padded = MakeFloats({1, 2, 3}, {1, 2, 0, 3, 4, 0});

  EXPECT_THAT(FloatsOf(CropTo(padded, {1, 2, 2})), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(CropTo(padded, {1, 2, 3}).data.data(), padded.data.data());
  EXPECT_THAT(FloatsOf(CropTo(padded, {1, 0, 3})), ElementsAre());
}

}  // namespace
}  // namespace mezzo::inference
