#include "mezzo/generation/internal/prompt_states.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "mezzo/base/strings.h"
#include "mezzo/generation/internal/number_tensor.h"

namespace mezzo::generation::internal {
namespace {

using tensor::DType;
using tensor::Shape;
using tensor::Tensor;

/// Token ids by row, all of one length.
struct TokenRows {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> mask;
  std::vector<std::size_t> counts;
  std::int64_t length = 0;
};

Result<TokenRows> Tokenize(const TextEncoder& encoder, std::span<const std::string> texts) {
  TokenRows rows;
  for (const std::string& text : texts) {
    std::vector<text::TokenId> ids;
    std::size_t count = 0;
    if (const auto* clip = std::get_if<ClipTokenizer>(encoder.tokenizer.get())) {
      MEZZO_TRY(ClipTokens tokens, clip->Encode(text));
      count = tokens.count;
      ids = std::move(tokens.ids);
    } else {
      const auto& pieces = std::get<text::WordPiece>(*encoder.tokenizer);
      ids = pieces.Encode(text, encoder.config.max_tokens).ids;
      count = ids.size();
      ids.resize(encoder.config.max_tokens, pieces.padding());
    }
    rows.length = static_cast<std::int64_t>(ids.size());
    rows.counts.push_back(count);
    rows.ids.insert(rows.ids.end(), ids.begin(), ids.end());
    for (std::size_t i = 0; i < ids.size(); ++i) rows.mask.push_back(i < count ? 1 : 0);
  }
  return rows;
}

/// The name of the last but one of "hidden_states.0", "hidden_states.1" …, which SDXL reads.
Result<std::string> PenultimateState(const models::ModelVersion& encoder) {
  constexpr std::string_view kPrefix = "hidden_states.";
  std::optional<std::uint64_t> last;
  for (const models::TensorConfig& output : encoder.config->outputs) {
    if (!output.name.starts_with(kPrefix)) continue;
    const auto number = ParseUint(std::string_view(output.name).substr(kPrefix.size()));
    if (number.has_value()) last = std::max(last.value_or(0), *number);
  }
  if (last.value_or(0) == 0) {
    return InvalidArgument("pipeline_invalid", "'" + encoder.name.str() +
                                                   "' has no outputs 'hidden_states.N': SDXL needs a text "
                                                   "encoder that was exported with them");
  }
  return std::string(kPrefix) + std::to_string(*last - 1);
}

/// `states` [rows, tokens, width] with zeros in row `row` from token `from` on.
Tensor ZeroedFrom(const Tensor& states, std::int64_t row, std::int64_t from) {
  const tensor::MutableBuffer copy = tensor::AllocateBuffer(states.data.size());
  std::memcpy(copy.data(), states.data.data(), states.data.size());
  const std::size_t token_bytes = static_cast<std::size_t>(states.shape[2]) * tensor::DTypeSize(states.dtype);
  const auto begin = static_cast<std::size_t>(row * states.shape[1] + from) * token_bytes;
  const auto end = static_cast<std::size_t>((row + 1) * states.shape[1]) * token_bytes;
  std::memset(copy.data() + begin, 0, end - begin);
  return {.dtype = states.dtype, .shape = states.shape, .data = copy.Share()};
}

Error WrongStates(const Tensor& states) {
  return Internal("part_output", "a text encoder gave " + std::string(tensor::DTypeName(states.dtype)) +
                                     states.shape.ToString() +
                                     "; states [rows, tokens, width] of FP16 or FP32 are expected");
}

/// [rows, tokens, a] and [rows, tokens, b] as [rows, tokens, a + b].
Tensor JoinWidths(const Tensor& a, const Tensor& b) {
  const std::size_t size = tensor::DTypeSize(a.dtype);
  const std::size_t lines = static_cast<std::size_t>(a.shape[0] * a.shape[1]);
  const std::size_t wide_a = static_cast<std::size_t>(a.shape[2]) * size;
  const std::size_t wide_b = static_cast<std::size_t>(b.shape[2]) * size;
  const tensor::MutableBuffer joined = tensor::AllocateBuffer(lines * (wide_a + wide_b));
  for (std::size_t line = 0; line < lines; ++line) {
    std::byte* to = joined.data() + line * (wide_a + wide_b);
    std::memcpy(to, a.data.data() + line * wide_a, wide_a);
    std::memcpy(to + wide_a, b.data.data() + line * wide_b, wide_b);
  }
  return {
      .dtype = a.dtype, .shape = {a.shape[0], a.shape[1], a.shape[2] + b.shape[2]}, .data = joined.Share()};
}

/// `tensor` in the type that the network's input has.
Result<Tensor> As(DType dtype, Tensor tensor) {
  if (tensor.dtype == dtype) return tensor;
  MEZZO_TRY(const std::vector<float> values, ReadNumbers(tensor));
  return MakeNumbers(dtype, tensor.shape, std::span<const float>(values));
}

/// The guidance scale as LCM's networks take it: a sinusoidal embedding of 1000 (guidance - 1), sines first
/// (get_guidance_scale_embedding() of Diffusers, after Vaswani et al. 2017).
std::vector<float> EmbedGuidance(double guidance, std::size_t width) {
  std::vector<float> embedding(width, 0.0F);
  const std::size_t half = width / 2;
  const float scaled = static_cast<float>(guidance - 1) * 1000.0F;
  const double step = std::log(10000.0) / static_cast<double>(half - 1);
  for (std::size_t i = 0; i < half; ++i) {
    const float angle = scaled * std::exp(static_cast<float>(i) * static_cast<float>(-step));
    embedding[i] = std::sin(angle);
    embedding[half + i] = std::cos(angle);
  }
  return embedding;
}

/// Adds a number list as an input of `rows` equal rows.
void AddRepeated(const Pipeline& pipeline, const std::string& name, std::span<const float> row,
                 std::int64_t rows, Conditions* conditions) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < rows; ++i) values.insert(values.end(), row.begin(), row.end());
  const Shape shape{rows, static_cast<std::int64_t>(row.size())};
  conditions->push_back(
      {.name = name,
       .tensor = MakeNumbers(FindInput(*pipeline.unet, name)->dtype, shape, std::span<const float>(values))});
}

bool IsXl(const Pipeline& pipeline) { return pipeline.config.family == PipelineFamily::kStableDiffusionXl; }

/// Pooled state and sizes, which SDXL adds to its timestep.
Result<void> AddXlConditions(const Pipeline& pipeline, const ImagePlan& plan, bool zero_negative,
                             const Tensor& pooled, Conditions* conditions) {
  const std::int64_t rows = plan.two_rows ? 2 : 1;
  if (pooled.shape.rank() != 2 || pooled.shape[0] != rows) {
    return Internal("part_output",
                    "the second text encoder gave pooled states of shape " + pooled.shape.ToString());
  }
  MEZZO_TRY(std::vector<float> values, ReadNumbers(pooled));
  if (zero_negative) std::fill_n(values.begin(), pooled.shape[1], 0.0F);
  conditions->push_back({.name = "text_embeds",
                         .tensor = MakeNumbers(FindInput(*pipeline.unet, "text_embeds")->dtype, pooled.shape,
                                               std::span<const float>(values))});
  // Original size, upper left corner of the crop, target size; height first.
  const auto height = static_cast<float>(plan.size.height);
  const auto width = static_cast<float>(plan.size.width);
  const std::array<float, 6> sizes = {height, width, 0, 0, height, width};
  AddRepeated(pipeline, "time_ids", sizes, rows, conditions);
  return {};
}

}  // namespace

Result<PromptCall> MakePromptCall(const Pipeline& pipeline, std::size_t index, const ImageRequest& request,
                                  const ImagePlan& plan) {
  const TextEncoder& encoder = pipeline.text_encoders[index];
  std::vector<std::string> texts;
  if (plan.two_rows) texts.push_back(request.negative_prompt.value_or(""));
  texts.push_back(request.prompt);
  MEZZO_TRY(TokenRows rows, Tokenize(encoder, texts));

  PromptCall made;
  made.tokens = std::move(rows.counts);
  made.call.model = encoder.model->name;
  const Shape shape{static_cast<std::int64_t>(texts.size()), rows.length};
  const auto add = [&](const char* name, const std::vector<std::int64_t>& values) {
    const models::TensorConfig* input = FindInput(*encoder.model, name);
    if (input == nullptr || !IsNumberType(input->dtype)) return;
    made.call.inputs.push_back(
        {.name = name, .tensor = MakeNumbers(input->dtype, shape, std::span<const std::int64_t>(values))});
  };
  add("input_ids", rows.ids);
  // CLIP's pipelines in Diffusers attend to padding as well.
  if (!encoder.config.served_model.empty()) {
    add("attention_mask", rows.mask);
    add("token_type_ids", std::vector<std::int64_t>(rows.ids.size(), 0));
  }

  std::string states = encoder.config.output.empty() ? "last_hidden_state" : encoder.config.output;
  if (IsXl(pipeline)) {
    MEZZO_TRY(states, PenultimateState(*encoder.model));
  }
  made.call.outputs.push_back({.name = states});
  // The pooled state is that of the last encoder.
  if (IsXl(pipeline) && index + 1 == pipeline.text_encoders.size()) {
    made.call.outputs.push_back({.name = "text_embeds"});
    made.pooled = true;
  }
  return made;
}

Result<Conditions> MakeConditions(const Pipeline& pipeline, const ImageRequest& request,
                                  const ImagePlan& plan, std::span<const PromptCall> calls,
                                  std::span<const std::vector<Tensor>> outputs) {
  const std::int64_t rows = plan.two_rows ? 2 : 1;
  const bool zero_negative =
      plan.two_rows && pipeline.config.zero_for_empty_prompt && !request.negative_prompt.has_value();
  std::optional<Tensor> states;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Tensor own = outputs[i][0];
    if (own.shape.rank() != 3 || own.shape[0] != rows ||
        (own.dtype != DType::kFp32 && own.dtype != DType::kFp16))
      return WrongStates(own);
    if (pipeline.text_encoders[i].config.zero_padding) {
      for (std::int64_t row = 0; row < rows; ++row) {
        const auto from = static_cast<std::int64_t>(calls[i].tokens[static_cast<std::size_t>(row)]);
        if (from < own.shape[1]) own = ZeroedFrom(own, row, from);
      }
    }
    if (!states.has_value()) {
      states = std::move(own);
    } else if (states->dtype != own.dtype || states->shape[1] != own.shape[1]) {
      return WrongStates(own);
    } else {
      states = JoinWidths(*states, own);
    }
  }
  if (zero_negative) states = ZeroedFrom(*states, 0, 0);

  Conditions conditions;
  MEZZO_TRY(Tensor hidden, As(FindInput(*pipeline.unet, "encoder_hidden_states")->dtype, *std::move(states)));
  conditions.push_back({.name = "encoder_hidden_states", .tensor = std::move(hidden)});
  if (calls.back().pooled)
    MEZZO_TRY_VOID(AddXlConditions(pipeline, plan, zero_negative, outputs.back()[1], &conditions));
  if (pipeline.config.guidance_embedding > 0) {
    AddRepeated(pipeline, "timestep_cond", EmbedGuidance(plan.guidance, pipeline.config.guidance_embedding),
                rows, &conditions);
  }
  return conditions;
}

}  // namespace mezzo::generation::internal
