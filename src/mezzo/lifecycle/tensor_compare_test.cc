#include "mezzo/lifecycle/tensor_compare.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::lifecycle {
namespace {

using tensor::DType;
using tensor::Shape;
using tensor::Tensor;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = CompareRule::Kind;

template <typename T>
Tensor Make(DType dtype, const Shape& shape, const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return {.dtype = dtype, .shape = shape, .data = SharedBytes::FromString(std::move(bytes))};
}

Tensor Floats(const Shape& shape, const std::vector<float>& values) {
  return Make(DType::kFp32, shape, values);
}

Tensor Texts(const std::vector<std::string>& values) {
  std::string bytes;
  for (const std::string& one : values) tensor::AppendBytesElement(bytes, one);
  return {.dtype = DType::kBytes,
          .shape = Shape{static_cast<std::int64_t>(values.size())},
          .data = SharedBytes::FromString(std::move(bytes))};
}

constexpr CompareRule kExact{.kind = Kind::kExact};
constexpr CompareRule kNear{.kind = Kind::kTolerance, .absolute = 0.01, .relative = 0.1};

TEST(Compare, ExactMeansEqualElements) {
  const Tensor a = Floats({2, 2}, {1, 2, 3, 4});
  EXPECT_TRUE(Compare(kExact, a, Floats({2, 2}, {1, 2, 3, 4})).near);

  const Comparison far = Compare(kExact, a, Floats({2, 2}, {1, 2, 3.5, 5}));
  EXPECT_FALSE(far.near);
  EXPECT_EQ(far.reason, "element [1,0] is 3.5, expected 3; 2 of 4 elements are too far");
  EXPECT_EQ(far.measured.at("max_abs_error"), 1);
}

TEST(Compare, NanEqualsNanAndNothingElse) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const CompareRule lax{.kind = Kind::kTolerance, .absolute = 1e30, .relative = 0};

  for (const CompareRule& rule : {kExact, lax}) {
    EXPECT_TRUE(Compare(rule, Floats({2}, {nan, infinity}), Floats({2}, {nan, infinity})).near);
    EXPECT_FALSE(Compare(rule, Floats({1}, {1}), Floats({1}, {nan})).near);
    EXPECT_FALSE(Compare(rule, Floats({1}, {nan}), Floats({1}, {1})).near);
    EXPECT_FALSE(Compare(rule, Floats({1}, {infinity}), Floats({1}, {-infinity})).near);
    EXPECT_FALSE(Compare(rule, Floats({1}, {infinity}), Floats({1}, {1})).near);
  }
}

TEST(Compare, ToleranceAddsAbsoluteAndRelative) {
  EXPECT_TRUE(Compare(kNear, Floats({2}, {0, 10}), Floats({2}, {0.009F, 11.0F})).near);
  EXPECT_FALSE(Compare(kNear, Floats({1}, {0}), Floats({1}, {0.011F})).near);
  const Comparison far = Compare(kNear, Floats({2}, {0, 10}), Floats({2}, {0, 11.5F}));
  EXPECT_FALSE(far.near);
  EXPECT_EQ(far.reason, "element [1] is 11.5, expected 10 (within 0.01 + 0.1 times that)");
}

TEST(Compare, LargeIntegersAreNotRounded) {
  const std::int64_t large = (std::int64_t{1} << 53) + 1;
  EXPECT_FALSE(Compare(kExact, Make<std::int64_t>(DType::kInt64, {1}, {large}),
                       Make<std::int64_t>(DType::kInt64, {1}, {large - 1}))
                   .near);
  EXPECT_TRUE(Compare(kExact, Make<std::int64_t>(DType::kInt64, {1}, {large}),
                      Make<std::int64_t>(DType::kInt64, {1}, {large}))
                  .near);
}

TEST(Compare, AnotherTypeOrShapeIsFar) {
  EXPECT_EQ(Compare(kExact, Floats({2}, {1, 2}), Floats({1, 2}, {1, 2})).reason,
            "has the shape [1,2], expected [2]");
  EXPECT_EQ(Compare(kExact, Floats({1}, {1}), Make<std::int32_t>(DType::kInt32, {1}, {1})).reason,
            "has the type INT32, expected FP32");
}

TEST(Compare, TextsAreExactOrNotCompared) {
  EXPECT_TRUE(Compare(kExact, Texts({"a", "b"}), Texts({"a", "b"})).near);
  const Comparison far = Compare(kExact, Texts({"a", "b"}), Texts({"a", "c"}));
  EXPECT_FALSE(far.near);
  EXPECT_EQ(far.reason, "element [1] is 'c', expected 'b'");
  EXPECT_FALSE(Compare(kNear, Texts({"a"}), Texts({"a"})).near);
}

TEST(Compare, CosineIsThatOfTheWorstRow) {
  const CompareRule rule{.kind = Kind::kCosine, .at_least = 0.9};
  const Tensor expected = Floats({2, 2}, {1, 0, 3, 4});

  EXPECT_TRUE(Compare(rule, expected, Floats({2, 2}, {2, 0, 6, 8})).near);
  const Comparison far = Compare(rule, expected, Floats({2, 2}, {1, 0, 4, 3}));
  EXPECT_TRUE(far.near);
  EXPECT_THAT(far.measured.at("min_cosine"), DoubleNear(24.0 / 25, 1e-12));
  const Comparison turned = Compare(rule, expected, Floats({2, 2}, {1, 0, 4, -3}));
  EXPECT_FALSE(turned.near);
  EXPECT_THAT(turned.reason, HasSubstr("row 1 has the cosine 0.000000"));
  EXPECT_TRUE(Compare(rule, Floats({1, 2}, {0, 0}), Floats({1, 2}, {0, 0})).near);
  EXPECT_FALSE(Compare(rule, Floats({1, 2}, {0, 0}), Floats({1, 2}, {0, 1})).near);
}

TEST(Compare, PicturesBySimilarity) {
  const CompareRule rule{.kind = Kind::kSsim, .at_least = 0.9};
  std::vector<std::uint8_t> picture;
  for (int i = 0; i < 3 * 16 * 12; ++i) picture.push_back(static_cast<std::uint8_t>(i * 37 % 251));
  std::vector<std::uint8_t> nearly = picture;
  nearly[100] ^= 4U;
  std::vector<std::uint8_t> other(picture.rbegin(), picture.rend());
  const Shape planes{1, 3, 16, 12};
  const Tensor expected = Make(DType::kUint8, planes, picture);

  EXPECT_EQ(Compare(rule, expected, expected).measured.at("min_ssim"), 1);
  EXPECT_TRUE(Compare(rule, expected, Make(DType::kUint8, planes, nearly)).near);
  const Comparison far = Compare(rule, expected, Make(DType::kUint8, planes, other));
  EXPECT_FALSE(far.near);
  EXPECT_THAT(far.reason, HasSubstr("picture 0 has the similarity"));
  EXPECT_THAT(Compare(rule, Floats({4}, {1, 2, 3, 4}), Floats({4}, {1, 2, 3, 4})).reason,
              HasSubstr("pictures"));
  EXPECT_THAT(Compare(rule, Floats({2, 2}, {1, 2, 3, 4}), Floats({2, 2}, {1, 2, 3, 4})).reason,
              HasSubstr("smaller than SSIM's window"));
}

TEST(Compare, BothLayoutsOfAPictureAreTheSamePicture) {
  constexpr int kChannels = 3;
  constexpr int kPixels = 13 * 11;
  std::vector<float> planes;
  std::vector<float> noisy;
  for (int i = 0; i < kChannels * kPixels; ++i) {
    planes.push_back(static_cast<float>(i * 53 % 97) / 97);
    noisy.push_back(planes.back() + static_cast<float>(i % 7) / 50);
  }
  const auto interleave = [&](const std::vector<float>& from) {
    std::vector<float> out;
    for (int i = 0; i < kPixels; ++i) {
      for (int c = 0; c < kChannels; ++c) out.push_back(from[static_cast<std::size_t>(c * kPixels + i)]);
    }
    return out;
  };
  const CompareRule nchw{.kind = Kind::kSsim};
  const CompareRule nhwc{.kind = Kind::kSsim, .layout = CompareRule::Layout::kNhwc};

  const Comparison a = Compare(nchw, Floats({3, 13, 11}, planes), Floats({3, 13, 11}, noisy));
  const Comparison b =
      Compare(nhwc, Floats({13, 11, 3}, interleave(planes)), Floats({13, 11, 3}, interleave(noisy)));

  EXPECT_LT(a.measured.at("min_ssim"), 1);
  EXPECT_DOUBLE_EQ(a.measured.at("min_ssim"), b.measured.at("min_ssim"));
}

TEST(ElementsAsReals, KnowsEveryType) {
  EXPECT_THAT(ElementsAsReals(Make<std::uint8_t>(DType::kBool, {2}, {0, 1})), ElementsAre(0, 1));
  EXPECT_THAT(ElementsAsReals(Make<std::int8_t>(DType::kInt8, {2}, {-128, 127})), ElementsAre(-128, 127));
  EXPECT_THAT(ElementsAsReals(Make<std::uint16_t>(DType::kUint16, {1}, {65535})), ElementsAre(65535));
  EXPECT_THAT(ElementsAsReals(Make<std::uint16_t>(DType::kFp16, {2}, {0x3c00, 0xc000})), ElementsAre(1, -2));
  EXPECT_THAT(ElementsAsReals(Make<std::uint16_t>(DType::kBf16, {2}, {0x3f80, 0xc000})), ElementsAre(1, -2));
  EXPECT_THAT(ElementsAsReals(Make<double>(DType::kFp64, {1}, {0.1})), ElementsAre(0.1));
  EXPECT_THAT(ElementsAsReals(Make<std::uint32_t>(DType::kUint32, {1}, {4294967295U})),
              ElementsAre(4294967295.0));
}

}  // namespace
}  // namespace mezzo::lifecycle
