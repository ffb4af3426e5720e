#include "mezzo/releases/compare.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace mezzo::releases {
namespace {

using tensor::DType;
using tensor::Tensor;

template <typename T>
Tensor Make(DType dtype, const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return {.dtype = dtype,
          .shape = {static_cast<std::int64_t>(values.size())},
          .data = SharedBytes::FromString(std::move(bytes))};
}
Tensor Floats(const std::vector<float>& values) { return Make(DType::kFp32, values); }

TEST(CompareTensors, EqualBytesAreExact) {
  const auto difference = CompareTensors("y", Floats({1, -2, 3}), Floats({1, -2, 3}));
  EXPECT_TRUE(difference.exact);
  EXPECT_EQ(difference.name, "y");
  EXPECT_EQ(difference.max_abs, 0);
  EXPECT_EQ(difference.cosine, 1);
}

TEST(CompareTensors, MeasuresTheLargestDifferences) {
  const auto difference = CompareTensors("y", Floats({1, 100, 0}), Floats({2, 103, 0}));
  EXPECT_FALSE(difference.exact);
  EXPECT_TRUE(difference.comparable);
  EXPECT_DOUBLE_EQ(difference.max_abs, 3);
  EXPECT_DOUBLE_EQ(difference.max_rel, 0.5);
  EXPECT_NEAR(difference.cosine, (2 + 10300) / (std::sqrt(1 + 10000) * std::sqrt(4 + 10609)), 1e-12);
}

TEST(CompareTensors, EveryNumericTypeIsRead) {
  EXPECT_EQ(CompareTensors("y", Make<std::uint8_t>(DType::kBool, {0}), Make<std::uint8_t>(DType::kBool, {1}))
                .max_abs,
            1);
  EXPECT_EQ(CompareTensors("y", Make<std::int8_t>(DType::kInt8, {-3}), Make<std::int8_t>(DType::kInt8, {3}))
                .max_abs,
            6);
  EXPECT_EQ(
      CompareTensors("y", Make<std::int8_t>(DType::kInt8, {-3}), Make<std::int8_t>(DType::kInt8, {3})).cosine,
      -1);
  EXPECT_EQ(
      CompareTensors("y", Make<std::int64_t>(DType::kInt64, {1}), Make<std::int64_t>(DType::kInt64, {5}))
          .max_abs,
      4);
  EXPECT_EQ(
      CompareTensors("y", Make<std::uint64_t>(DType::kUint64, {8}), Make<std::uint64_t>(DType::kUint64, {5}))
          .max_abs,
      3);
  EXPECT_EQ(CompareTensors("y", Make<double>(DType::kFp64, {1.5}), Make<double>(DType::kFp64, {1})).max_abs,
            0.5);
  // 1.0 and 1.5, and the smallest subnormal, as IEEE 754 halves; 1.0 and 2.0 as bfloat16.
  EXPECT_EQ(CompareTensors("y", Make<std::uint16_t>(DType::kFp16, {0x3c00}),
                           Make<std::uint16_t>(DType::kFp16, {0x3e00}))
                .max_abs,
            0.5);
  EXPECT_EQ(
      CompareTensors("y", Make<std::uint16_t>(DType::kFp16, {0x8001}), Make<std::uint16_t>(DType::kFp16, {0}))
          .max_abs,
      std::ldexp(1.0, -24));
  EXPECT_EQ(CompareTensors("y", Make<std::uint16_t>(DType::kBf16, {0x3f80}),
                           Make<std::uint16_t>(DType::kBf16, {0x4000}))
                .max_abs,
            1);
}

TEST(CompareTensors, NotANumberEqualsItselfAndNothingElse) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto same = CompareTensors("y", Floats({nan, 1}), Floats({nan, 2}));
  EXPECT_EQ(same.max_abs, 1);
  const auto other = CompareTensors("y", Floats({nan, 1}), Floats({0, 1}));
  EXPECT_TRUE(std::isinf(other.max_abs));
  EXPECT_TRUE(std::isinf(other.max_rel));
  EXPECT_EQ(other.cosine, 1) << "of what can be compared";
}

TEST(CompareTensors, ZeroVectors) {
  EXPECT_EQ(CompareTensors("y", Floats({0, -0.0F}), Floats({0, 0})).cosine, 1);
  EXPECT_EQ(CompareTensors("y", Floats({0, 0}), Floats({1, 0})).cosine, 0);
}

TEST(CompareTensors, OtherTypesShapesAndTextsAreNotCompared) {
  EXPECT_FALSE(CompareTensors("y", Floats({1}), Make<double>(DType::kFp64, {1})).comparable);
  EXPECT_FALSE(CompareTensors("y", Floats({1}), Floats({1, 2})).comparable);
  const auto text = [](const std::string& element) {
    std::string bytes;
    tensor::AppendBytesElement(bytes, element);
    return Tensor{.dtype = DType::kBytes, .shape = {1}, .data = SharedBytes::FromString(std::move(bytes))};
  };
  EXPECT_TRUE(CompareTensors("y", text("cat"), text("cat")).exact);
  EXPECT_FALSE(CompareTensors("y", text("cat"), text("dog")).comparable);
  EXPECT_FALSE(CompareTensors("y", text("cat"), text("lion")).comparable);
}

TEST(CompareAnswers, OutputsAreMatchedByNameAndTheWorstCounts) {
  const Tensor a = Floats({1, 0});
  const Tensor b = Floats({1, 3});
  const Tensor c = Floats({0, 5});
  const std::vector<ComparedOutput> left = {{"x", &a}, {"y", &c}};
  const std::vector<ComparedOutput> right = {{"y", &c}, {"x", &b}};
  const auto difference = CompareAnswers(left, right);
  EXPECT_FALSE(difference.exact);
  EXPECT_TRUE(difference.comparable);
  ASSERT_EQ(difference.outputs.size(), 2U);
  EXPECT_EQ(difference.outputs[0].max_abs, 3);
  EXPECT_TRUE(difference.outputs[1].exact);
  EXPECT_EQ(difference.max_abs, 3);
  const std::vector<ComparedOutput> fewer = {{"x", &a}};
  EXPECT_FALSE(CompareAnswers(left, fewer).comparable);
}

}  // namespace
}  // namespace mezzo::releases
