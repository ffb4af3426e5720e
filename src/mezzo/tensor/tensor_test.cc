#include "mezzo/tensor/tensor.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::tensor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
Tensor Make(DType dtype, Shape shape, std::vector<T> values) {
  std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return {.dtype = dtype, .shape = shape, .data = SharedBytes::FromString(std::move(bytes))};
}

Tensor MakeStrings(Shape shape, const std::vector<std::string>& values) {
  std::string bytes;
  for (const auto& value : values) AppendBytesElement(bytes, value);
  return {.dtype = DType::kBytes, .shape = shape, .data = SharedBytes::FromString(std::move(bytes))};
}

std::vector<std::string> Strings(const Tensor& tensor) {
  std::vector<std::string> out;
  ForEachBytesElement(tensor.data.view(), [&](std::string_view element) { out.emplace_back(element); });
  return out;
}

std::vector<float> Floats(const Tensor& tensor) {
  std::vector<float> out(tensor.data.size() / sizeof(float));
  std::memcpy(out.data(), tensor.data.data(), tensor.data.size());
  return out;
}

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::kBytes); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(ParseDType(DTypeName(dtype)), dtype);
  }
  EXPECT_EQ(ParseDType("fp32"), std::nullopt);
  EXPECT_EQ(ParseDType("STRING"), std::nullopt);
}

TEST(Shape, ProductsThatOverflowAreErrors) {
  EXPECT_EQ(ElementCount({2, 3, 4}).value(), 24u);
  EXPECT_EQ(ElementCount({}).value(), 1u);
  EXPECT_EQ(ElementCount({0, 5}).value(), 0u);
  EXPECT_EQ(ElementCount({1LL << 32, 1LL << 32}).error().reason(), "shape_overflow");
  EXPECT_EQ(ElementCount({0, 1LL << 62, 1LL << 62}).error().reason(), "shape_overflow");
  EXPECT_EQ(ElementCount({2, -1}).error().reason(), "shape_negative");
  EXPECT_EQ(ByteSize(DType::kFp64, {1LL << 61}).error().reason(), "shape_overflow");
}

TEST(CheckTensor, NamesTheInputAndBothSizes) {
  const Tensor lies = Make<float>(DType::kFp32, {2, 2}, {1, 2, 3});

  const auto checked = CheckTensor("x", lies);

  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().message(), "input 'x' of type FP32 and shape [2,2] needs 16 bytes, got 12");
}

TEST(CheckTensor, ProvesEveryStringLength) {
  EXPECT_TRUE(CheckTensor("s", MakeStrings({2}, {"a", ""})).ok());
  EXPECT_THAT(CheckTensor("s", MakeStrings({3}, {"a", ""})).error().message(),
              HasSubstr("expected 3 string elements"));

  Tensor cut = MakeStrings({1}, {"hello"});
  cut.data = cut.data.Slice(0, 8);
  EXPECT_THAT(CheckTensor("s", cut).error().message(), HasSubstr("element 0 at byte 0 runs past the end"));
  cut.data = cut.data.Slice(0, 2);
  EXPECT_FALSE(CheckTensor("s", cut).ok());

  std::string huge("\xff\xff\xff\xff", 4);
  const Tensor wraps{.dtype = DType::kBytes, .shape = {1}, .data = SharedBytes::FromString(huge)};
  EXPECT_FALSE(CheckTensor("s", wraps).ok());
}

TEST(ConcatRows, JoinsAndOfOneSharesTheBytes) {
  const Tensor a = Make<float>(DType::kFp32, {1, 2}, {1, 2});
  const Tensor b = Make<float>(DType::kFp32, {2, 2}, {3, 4, 5, 6});
  const std::vector<const Tensor*> both = {&a, &b};
  const std::vector<const Tensor*> one = {&a};

  const Tensor joined = ConcatRows(both);

  EXPECT_EQ(joined.shape, (Shape{3, 2}));
  EXPECT_THAT(Floats(joined), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(joined.data.data()) % 64, 0u);
  EXPECT_EQ(ConcatRows(one).data.data(), a.data.data());
}

TEST(SliceRows, ViewsRowsOfNumbersAndStrings) {
  const Tensor numbers = Make<float>(DType::kFp32, {3, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor strings = MakeStrings({3, 2}, {"a", "bb", "", "dddd", "e", "f"});

  const Tensor middle = SliceRows(numbers, 1, 1);
  const Tensor tail = SliceRows(strings, 1, 2);

  EXPECT_THAT(Floats(middle), ElementsAre(3, 4));
  EXPECT_EQ(middle.data.data(), numbers.data.data() + 8);
  EXPECT_THAT(Strings(tail), ElementsAre("", "dddd", "e", "f"));
  EXPECT_EQ(tail.shape, (Shape{2, 2}));
}

}  // namespace
}  // namespace mezzo::tensor
