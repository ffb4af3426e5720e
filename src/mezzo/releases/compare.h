#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/tensor/tensor.h"

namespace mezzo::releases {

/// How far one output of a version is from another version's.
struct TensorDifference {
  std::string name;
  bool exact = false;  ///< Bit by bit.
  /// False when types or shapes differ, or when elements are texts that differ; then the numbers say nothing.
  bool comparable = true;
  double max_abs = 0;  ///< The largest |a - b|; infinite where one is not a number and the other is.
  double max_rel = 0;  ///< The largest |a - b| / max(|a|, |b|), of elements that differ.
  double cosine = 1;   ///< Of both as vectors; 1 when both are zero, 0 when one is.
};

struct AnswerDifference {
  std::vector<TensorDifference> outputs;
  bool exact = true;       ///< All are.
  bool comparable = true;  ///< All are, and both answers have the same outputs.
  double max_abs = 0;      ///< The worst of all outputs,
  double max_rel = 0;
  double cosine = 1;

  /// Takes one output's part.
  void Take(TensorDifference one);
};

struct ComparedOutput {
  std::string_view name;
  const tensor::Tensor* tensor = nullptr;
};

/// Both are checked tensors. Runs through all elements once: for large ones not on a loop.
TensorDifference CompareTensors(std::string_view name, const tensor::Tensor& a, const tensor::Tensor& b);
/// Outputs are matched by name.
AnswerDifference CompareAnswers(std::span<const ComparedOutput> a, std::span<const ComparedOutput> b);

}  // namespace mezzo::releases
