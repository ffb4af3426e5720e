#include "mezzo/api/openai/embedding_response.h"

#include <cmath>
#include <cstring>
#include <span>

#include "mezzo/api/json_text.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::openai {
namespace {

bool AllFinite(std::span<const float> values) {
  for (const float value : values) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

/// To length 1; a vector of zeros stays.
void Normalize(std::span<float> values) {
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  if (squares <= 0) return;
  const double scale = 1.0 / std::sqrt(squares);
  for (float& value : values) value = static_cast<float>(value * scale);
}

void AppendVector(std::span<const float> values, EncodingFormat format, std::string* out) {
  if (format == EncodingFormat::kBase64) {
    *out += '"';
    out->append(Base64Encode({reinterpret_cast<const char*>(values.data()), values.size_bytes()}));
    *out += '"';
    return;
  }
  char separator = '[';
  for (const float value : values) {
    *out += separator;
    AppendJsonFloat(value, out);
    separator = ',';
  }
  *out += ']';
}

}  // namespace

Result<void> CheckDimensions(std::string_view model, std::optional<std::uint64_t> wanted,
                             std::size_t available) {
  if (!wanted || *wanted <= available) return {};
  return InvalidArgument("dimensions_invalid", "invalid value for 'dimensions' = " + std::to_string(*wanted) +
                                                   ": the vectors of model '" + std::string(model) +
                                                   "' have " + std::to_string(available));
}

Result<std::string> EncodeEmbeddings(std::string_view model, const Embeddings& embeddings,
                                     EncodingFormat format, std::optional<std::uint64_t> dimensions) {
  constexpr std::size_t kCharsPerFloat = 13;
  constexpr std::size_t kCharsPerBase64Float = 6;
  constexpr std::size_t kCharsPerRow = 64;
  const std::size_t width = dimensions ? static_cast<std::size_t>(*dimensions) : embeddings.dimensions;
  std::string out;
  out.reserve(embeddings.rows.size() *
                  (kCharsPerRow +
                   width * (format == EncodingFormat::kFloat ? kCharsPerFloat : kCharsPerBase64Float)) +
              kCharsPerRow * 2);
  out += R"({"object":"list","data":[)";
  std::vector<float> values(width);  // A copy: rows need not be aligned.
  for (std::size_t i = 0; i < embeddings.rows.size(); ++i) {
    if (width != 0) std::memcpy(values.data(), embeddings.rows[i].data(), width * sizeof(float));
    if (!AllFinite(values)) {
      return Internal("embedding_not_finite", "model '" + std::string(model) + "' gave input " +
                                                  std::to_string(i) + " a vector with NaN or infinity");
    }
    if (width < embeddings.dimensions) Normalize(values);
    out += i == 0 ? R"({"object":"embedding","index":)" : R"(,{"object":"embedding","index":)";
    AppendJsonInteger(static_cast<std::uint64_t>(i), &out);
    out += R"(,"embedding":)";
    AppendVector(values, format, &out);
    out += '}';
  }
  out += R"(],"model":)";
  AppendJsonString(model, &out);
  out += R"(,"usage":{"prompt_tokens":)";
  AppendJsonInteger(embeddings.tokens, &out);
  out += R"(,"total_tokens":)";
  AppendJsonInteger(embeddings.tokens, &out);
  out += "}}";
  return out;
}

}  // namespace mezzo::api::openai
