#include "mezzo/inference/answer_codec.h"

#include <array>
#include <cstring>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace mezzo::inference {
namespace {

SharedBytes Bytes(std::string text) { return SharedBytes::FromString(std::move(text)); }

CachedAnswer Example() {
  const std::array<float, 6> numbers = {1, -2, 3.5, 0, 1e30F, -0.0F};
  std::string floats(sizeof(numbers), '\0');
  std::memcpy(floats.data(), numbers.data(), sizeof(numbers));
  std::string texts;
  tensor::AppendBytesElement(texts, "one");
  tensor::AppendBytesElement(texts, "");
  std::vector<NamedTensor> outputs;
  outputs.push_back(
      {.name = "y", .tensor = {.dtype = tensor::DType::kFp32, .shape = {2, 3}, .data = Bytes(floats)}});
  outputs.push_back(
      {.name = "labels", .tensor = {.dtype = tensor::DType::kBytes, .shape = {2}, .data = Bytes(texts)}});
  outputs.push_back(
      {.name = "none", .tensor = {.dtype = tensor::DType::kInt64, .shape = {0, 4}, .data = Bytes("")}});
  outputs.push_back(
      {.name = "scalar", .tensor = {.dtype = tensor::DType::kBool, .shape = {}, .data = Bytes("\1")}});
  Parameters parameters = {
      {"flag", true}, {"count", std::int64_t{-5}}, {"part", 0.25}, {"text", std::string("t\0x", 3)}};
  return {std::move(outputs), std::move(parameters), std::chrono::milliseconds(3)};
}

TEST(AnswerCodec, AnswersComeBackAsTheyWere) {
  const CachedAnswer answer = Example();
  const auto decoded = DecodeAnswer(EncodeAnswer(answer), answer.cost());
  ASSERT_NE(decoded, nullptr);
  EXPECT_EQ(decoded->bytes(), answer.bytes());
  EXPECT_EQ(decoded->cost(), answer.cost());
  EXPECT_EQ(decoded->parameters(), answer.parameters());
  ASSERT_EQ(decoded->outputs().size(), answer.outputs().size());
  for (std::size_t i = 0; i < answer.outputs().size(); ++i) {
    const NamedTensor& want = answer.outputs()[i];
    const NamedTensor& got = decoded->outputs()[i];
    EXPECT_EQ(got.name, want.name);
    EXPECT_EQ(got.tensor.dtype, want.tensor.dtype);
    EXPECT_EQ(got.tensor.shape, want.tensor.shape);
    EXPECT_EQ(got.tensor.data.text(), want.tensor.data.text());
  }
}

TEST(AnswerCodec, NoTruncationAndNoExtensionDecodes) {
  const std::string bytes = EncodeAnswer(Example());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeAnswer(bytes.substr(0, size), Duration()), nullptr) << size;
  }
  EXPECT_EQ(DecodeAnswer(bytes + '\0', Duration()), nullptr);
}

TEST(AnswerCodec, ChangedBytesNeverCrashAndWhatDecodesIsWhole) {
  const std::string bytes = EncodeAnswer(Example());
  std::mt19937_64 random(1);
  for (int round = 0; round < 50'000; ++round) {
    std::string changed = bytes;
    for (std::size_t changes = 1 + random() % 4; changes > 0; --changes) {
      changed[random() % changed.size()] = static_cast<char>(random() % 2 == 0 ? random() : 0xff);
    }
    const auto decoded = DecodeAnswer(changed, Duration());
    if (decoded == nullptr) continue;
    for (const NamedTensor& output : decoded->outputs()) {
      EXPECT_TRUE(tensor::CheckTensor(output.name, output.tensor).ok());
    }
  }
}

TEST(AnswerCodec, RandomBytesDoNotDecode) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes = round % 2 == 0 ? "MZA1" : "";
    for (std::size_t left = 1 + random() % 200; left > 0; --left)
      bytes.push_back(static_cast<char>(random()));
    EXPECT_EQ(DecodeAnswer(bytes, Duration()), nullptr);
  }
}

TEST(AnswerCodec, CountsOfNonsenseTakeNoMemory) {
  std::string bytes = "MZA1";
  bytes.append(8, '\xff');
  EXPECT_EQ(DecodeAnswer(bytes, Duration()), nullptr);
  bytes = "MZA1";
  bytes += std::string("\x01\0\0\0\0\0\0\0", 8);       // One output,
  bytes += std::string(8, '\0');                       // without a name,
  bytes += std::string("\x04\0\0\0\0\0\0\0FP32", 12);  // of FP32,
  bytes += std::string("\x01\0\0\0\0\0\0\0", 8);       // of one dimension
  bytes += std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8);
  bytes += std::string("\xfc\xff\xff\xff\xff\xff\xff\xff", 8);
  EXPECT_EQ(DecodeAnswer(bytes, Duration()), nullptr);
}

}  // namespace
}  // namespace mezzo::inference
