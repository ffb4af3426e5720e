#include "mezzo/api/openai/embedding_model.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "mezzo/base/strings.h"

namespace mezzo::api::openai {
namespace {

constexpr std::string_view kIds = "input_ids";
constexpr std::string_view kMask = "attention_mask";
constexpr std::string_view kTypes = "token_type_ids";

const models::TensorConfig* Find(const std::vector<models::TensorConfig>& tensors, std::string_view name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [name](const auto& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

Error NotEmbedding(const models::ModelConfig& config, const std::string& why) {
  return InvalidArgument("model_not_embedding", "model '" + config.name + "' can't embed: " + why);
}

std::string ParameterOr(const models::ModelConfig& config, const char* name, std::string_view fallback) {
  const auto found = config.parameters.find(name);
  return found == config.parameters.end() || found->second.empty() ? std::string(fallback) : found->second;
}

Error BadParameter(const models::ModelConfig& config, std::string_view name, std::string_view wanted,
                   std::string_view value) {
  return FailedPrecondition("model_parameter_invalid", "parameter '" + std::string(name) + "' of model '" +
                                                           config.name + "' must be " + std::string(wanted) +
                                                           ", not '" + Printable(value) + "'");
}

/// True when the first dimension takes rows: any number of them when the model batches, else one.
bool TakesRows(const models::ModelConfig& config, const tensor::Shape& shape) {
  return shape.rank() == 2 && (shape[0] == -1 || (config.max_batch_size == 0 && shape[0] == 1));
}

Result<void> CheckInput(const models::ModelConfig& config, std::string_view name) {
  const models::TensorConfig* input = Find(config.inputs, name);
  if (input == nullptr) return NotEmbedding(config, "it has no input '" + std::string(name) + "'");
  if (input->dtype != tensor::DType::kInt64) {
    return NotEmbedding(config, "its input '" + input->name + "' is " +
                                    std::string(tensor::DTypeName(input->dtype)) + ", not INT64");
  }
  if (!TakesRows(config, input->shape)) {
    return NotEmbedding(config, "its input '" + input->name + "' has shape " + input->shape.ToString() +
                                    ", not [batch, tokens]");
  }
  return {};
}

Result<void> ReadParameters(const models::ModelConfig& config, EmbeddingModel* model) {
  constexpr std::uint64_t kFewest = 3;  // The first token, the last and one between.
  constexpr std::uint64_t kMost = 65536;
  model->output = ParameterOr(config, "embedding_output", "sentence_embedding");
  model->tokenizer_file = ParameterOr(config, "embedding_tokenizer", "vocab.txt");
  if (const std::string text = ParameterOr(config, "embedding_max_tokens", ""); !text.empty()) {
    const auto number = ParseUint(text);
    if (!number || *number < kFewest || *number > kMost) {
      return BadParameter(config, "embedding_max_tokens", "a number in [3, 65536]", text);
    }
    model->max_tokens = *number;
  }
  const std::string truncate = ParameterOr(config, "embedding_truncate", "false");
  if (truncate != "true" && truncate != "false") {
    return BadParameter(config, "embedding_truncate", "'true' or 'false'", truncate);
  }
  model->truncate = truncate == "true";
  return {};
}

}  // namespace

Result<EmbeddingModel> EmbeddingModel::Of(const models::ModelConfig& config) {
  EmbeddingModel model;
  MEZZO_TRY_VOID(ReadParameters(config, &model));
  MEZZO_TRY_VOID(CheckInput(config, kIds));
  MEZZO_TRY_VOID(CheckInput(config, kMask));
  for (const models::TensorConfig& input : config.inputs) {
    if (input.name == kIds || input.name == kMask) continue;
    if (input.name == kTypes) {
      MEZZO_TRY_VOID(CheckInput(config, kTypes));
      model.token_types = true;
    } else if (!input.optional) {
      return NotEmbedding(config, "it also needs an input '" + input.name + "'");
    }
  }
  const models::TensorConfig* output = Find(config.outputs, model.output);
  if (output == nullptr) {
    return NotEmbedding(config, "it has no output '" + Printable(model.output) +
                                    "' (parameter 'embedding_output' names another)");
  }
  if (output->dtype != tensor::DType::kFp32 || !TakesRows(config, output->shape)) {
    return NotEmbedding(config, "its output '" + output->name + "' is " +
                                    std::string(tensor::DTypeName(output->dtype)) + " " +
                                    output->shape.ToString() + ", not FP32 [batch, dimensions]");
  }
  const std::int64_t length = Find(config.inputs, kIds)->shape[1];
  model.fixed_length = length > 0 ? static_cast<std::size_t>(length) : 0;
  if (model.fixed_length != 0 && (model.max_tokens == 0 || model.max_tokens > model.fixed_length)) {
    model.max_tokens = model.fixed_length;
  }
  model.dimensions = output->shape[1] > 0 ? static_cast<std::size_t>(output->shape[1]) : 0;
  model.max_rows = static_cast<std::size_t>(std::max<std::int64_t>(config.max_batch_size, 1));
  return model;
}

std::vector<RowGroup> GroupRows(std::span<const std::size_t> lengths, const Grouping& grouping) {
  std::map<std::size_t, std::vector<std::size_t>, std::greater<>> by_length;
  for (std::size_t row = 0; row < lengths.size(); ++row) {
    const std::size_t rounded =
        (lengths[row] + grouping.multiple - 1) / grouping.multiple * grouping.multiple;
    const std::size_t padded = std::max(lengths[row], std::min(rounded, grouping.max_length));
    by_length[grouping.fixed_length != 0 ? grouping.fixed_length : padded].push_back(row);
  }
  std::vector<RowGroup> groups;
  for (const auto& [length, rows] : by_length) {
    for (std::size_t begin = 0; begin < rows.size(); begin += grouping.max_rows) {
      const auto first = rows.begin() + static_cast<std::ptrdiff_t>(begin);
      const std::size_t count = std::min(grouping.max_rows, rows.size() - begin);
      groups.push_back({.length = length, .rows = {first, first + static_cast<std::ptrdiff_t>(count)}});
    }
  }
  return groups;
}

}  // namespace mezzo::api::openai
