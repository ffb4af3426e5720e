#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/models/model_config.h"

namespace mezzo::api::openai {

/// How a served model embeds texts: INT64 inputs "input_ids" and "attention_mask" [batch, tokens], optionally
/// "token_type_ids", and an FP32 output [batch, dimensions]. `parameters` of model.yaml refine it:
/// "embedding_output" (default "sentence_embedding"), "embedding_tokenizer" (default "vocab.txt", beside the
/// model file), "embedding_max_tokens" and "embedding_truncate" ("true": longer inputs are cut instead of
/// refused).
struct EmbeddingModel {
  std::string output;
  std::string tokenizer_file;
  bool token_types = false;
  bool truncate = false;
  std::size_t max_rows = 1;      ///< Of one call.
  std::size_t fixed_length = 0;  ///< Tokens of every row, where the model fixes them; 0: any number.
  std::size_t max_tokens = 0;    ///< What the model or its parameters say; 0: nothing.
  std::size_t dimensions = 0;    ///< 0: known from an answer only.

  /// Fails with kInvalidArgument "model_not_embedding", saying what is missing, and kFailedPrecondition
  /// "model_parameter_invalid".
  static Result<EmbeddingModel> Of(const models::ModelConfig& config);
};

/// Rows that go to the model in one call, padded to one length.
struct RowGroup {
  std::size_t length = 0;
  std::vector<std::size_t> rows;  ///< Indices of inputs.
};

/// How inputs become calls.
struct Grouping {
  std::size_t max_rows = 8;      ///< Of one group.
  std::size_t multiple = 8;      ///< Lengths are padded to multiples of it, so that calls share batch keys.
  std::size_t fixed_length = 0;  ///< Every row's length when not 0.
  std::size_t max_length = 512;  ///< Padding does not go beyond it; no row is longer.
};

/// Groups of equal padded length, the longest first, inputs in their order within.
std::vector<RowGroup> GroupRows(std::span<const std::size_t> lengths, const Grouping& grouping);

}  // namespace mezzo::api::openai
