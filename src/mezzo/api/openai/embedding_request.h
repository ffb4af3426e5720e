#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/text/wordpiece.h"

namespace mezzo::api::openai {

/// A text, or the ids of its tokens as the model reads them (special tokens included).
using EmbeddingInput = std::variant<std::string, std::vector<text::TokenId>>;

enum class EncodingFormat : std::uint8_t { kFloat, kBase64 };

/// The body of POST /v1/embeddings.
struct EmbeddingRequest {
  std::string model;
  std::vector<EmbeddingInput> inputs;
  EncodingFormat format = EncodingFormat::kFloat;
  std::optional<std::uint64_t> dimensions;  ///< At least 1.
};

struct EmbeddingLimits {
  std::size_t max_inputs = 2048;
  std::size_t max_tokens_per_input =
      65536;                   ///< Of inputs that are token ids; the model's own limit comes later.
  std::size_t max_depth = 32;  ///< Nested objects and arrays, in members that are ignored.
};

/// `input` may be a string, an array of strings, an array of token ids or an array of such arrays. Unknown
/// members and "user" are ignored. Errors are kInvalidArgument and name the place: "json_malformed",
/// "json_too_deep", "field_type", "field_duplicate", "model_missing", "embedding_input_empty",
/// "embedding_input_invalid", "embedding_too_many_inputs", "context_length_exceeded",
/// "encoding_format_invalid", "dimensions_invalid".
Result<EmbeddingRequest> DecodeEmbeddingRequest(std::string_view body, const EmbeddingLimits& limits);

}  // namespace mezzo::api::openai
