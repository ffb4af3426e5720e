#include "mezzo/inference/answer_text.h"

#include <random>

#include <gtest/gtest.h>

#include "mezzo/inference/testing/fake_models.h"

namespace mezzo::inference {
namespace {

std::vector<NamedTensor> Sample() {
  std::vector<NamedTensor> outputs;
  outputs.push_back({"Y", {tensor::DType::kInt64, {2, 1}, SharedBytes::FromString(std::string(16, '\x07'))}});
  std::string words;
  tensor::AppendBytesElement(words, "one");
  tensor::AppendBytesElement(words, std::string("\0x", 2));
  outputs.push_back({"", {tensor::DType::kBytes, {2}, SharedBytes::FromString(words)}});
  outputs.push_back({"none", {tensor::DType::kFp16, {0, 3}, SharedBytes()}});
  return outputs;
}

TEST(AnswerText, ComesBackAsItWas) {
  const auto outputs = Sample();
  const auto again = DecodeOutputs(EncodeOutputs(outputs)).value();
  ASSERT_EQ(again.size(), outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    EXPECT_EQ(again[i].name, outputs[i].name);
    EXPECT_EQ(again[i].tensor.dtype, outputs[i].tensor.dtype);
    EXPECT_EQ(again[i].tensor.shape, outputs[i].tensor.shape);
    EXPECT_EQ(again[i].tensor.data.text(), outputs[i].tensor.data.text());
  }
}

TEST(AnswerText, WhatIsCutOrChangedIsRefusedOrWholeAndNeverReadBeyond) {
  const std::string text = EncodeOutputs(Sample());
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(DecodeOutputs(text.substr(0, size)).error().reason(), "answer_text") << size;
  }
  EXPECT_FALSE(DecodeOutputs(text + "x").ok());
  std::mt19937_64 draw(7);
  for (int i = 0; i < 5000; ++i) {
    std::string changed = text;
    changed[draw() % changed.size()] = static_cast<char>(draw());
    const auto read = DecodeOutputs(changed);
    if (!read.ok()) continue;
    for (const auto& output : *read) EXPECT_TRUE(tensor::CheckTensor(output.name, output.tensor).ok());
  }
}

}  // namespace
}  // namespace mezzo::inference
