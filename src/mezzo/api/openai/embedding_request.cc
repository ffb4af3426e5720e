#include "mezzo/api/openai/embedding_request.h"

#include <limits>
#include <utility>

#include "mezzo/api/json_reader.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::openai {
namespace {

constexpr std::string_view kInputForms =
    "'input' must be a string, an array of strings, an array of token ids or an array of such arrays";

std::string Place(std::size_t index) { return "'input[" + std::to_string(index) + "]'"; }

class Decoder {
 public:
  Decoder(std::string_view body, const EmbeddingLimits& limits)
      : limits_(limits), reader_(body, limits.max_depth) {}

  Result<EmbeddingRequest> Decode() {
    if (!reader_.EnterObject()) return reader_.error();
    std::string_view key;
    while (reader_.NextMember(&key)) MEZZO_TRY_VOID(ReadMember(key));
    if (reader_.failed() || !reader_.Finish()) return reader_.error();
    if (!seen_model_) return InvalidArgument("model_missing", "you must provide 'model'");
    if (!seen_input_) return InvalidArgument("embedding_input_empty", "you must provide 'input'");
    return std::move(request_);
  }

 private:
  Result<void> ReadMember(std::string_view key) {
    if (key == "model") {
      MEZZO_TRY_VOID(First(key, &seen_model_));
      return ReadModel();
    }
    if (key == "input") {
      MEZZO_TRY_VOID(First(key, &seen_input_));
      return ReadInput();
    }
    if (key == "encoding_format") {
      MEZZO_TRY_VOID(First(key, &seen_format_));
      return ReadFormat();
    }
    if (key == "dimensions") {
      MEZZO_TRY_VOID(First(key, &seen_dimensions_));
      return ReadDimensions();
    }
    if (!reader_.Skip()) return reader_.error();
    return {};
  }

  static Result<void> First(std::string_view key, bool* seen) {
    if (!std::exchange(*seen, true)) return {};
    return InvalidArgument("field_duplicate", "'" + std::string(key) + "' stands in the request twice");
  }

  /// What is there instead of what was wanted; a syntax error when nothing valid is.
  Error Wrong(std::string_view reason, std::string_view wanted) {
    const JsonKind found = reader_.Peek();
    if (!reader_.Skip()) return reader_.error();
    return InvalidArgument(reason, std::string(wanted) + ", not " + std::string(JsonReader::KindName(found)));
  }

  Result<void> ReadModel() {
    std::string_view text;
    if (reader_.Peek() != JsonKind::kString) return Wrong("field_type", "'model' must be a string");
    if (!reader_.ReadString(&text)) return reader_.error();
    if (text.empty()) return InvalidArgument("model_missing", "'model' must not be empty");
    request_.model = text;
    return {};
  }

  Result<void> ReadFormat() {
    constexpr std::string_view kForms = "'encoding_format' must be \"float\" or \"base64\"";
    std::string_view text;
    if (reader_.Peek() == JsonKind::kNull) return ReadNull();
    if (reader_.Peek() != JsonKind::kString) return Wrong("encoding_format_invalid", kForms);
    if (!reader_.ReadString(&text)) return reader_.error();
    if (text != "float" && text != "base64") {
      return InvalidArgument("encoding_format_invalid",
                             std::string(kForms) + ", not '" + Printable(text) + "'");
    }
    request_.format = text == "float" ? EncodingFormat::kFloat : EncodingFormat::kBase64;
    return {};
  }

  Result<void> ReadDimensions() {
    constexpr std::string_view kForm = "'dimensions' must be an integer of at least 1";
    JsonNumber number;
    if (reader_.Peek() == JsonKind::kNull) return ReadNull();
    if (reader_.Peek() != JsonKind::kNumber) return Wrong("dimensions_invalid", kForm);
    if (!reader_.ReadNumber(&number)) return reader_.error();
    if (!number.integer || number.negative || number.magnitude == 0) {
      return InvalidArgument("dimensions_invalid", std::string(kForm));
    }
    request_.dimensions = number.magnitude;
    return {};
  }

  Result<void> ReadNull() {
    if (!reader_.ReadNull()) return reader_.error();
    return {};
  }

  Result<void> ReadInput() {
    if (reader_.Peek() == JsonKind::kString) return ReadText();
    if (reader_.Peek() != JsonKind::kArray) return Wrong("embedding_input_invalid", kInputForms);
    if (!reader_.EnterArray()) return reader_.error();
    std::optional<JsonKind> kind;  // Of the first element; the others must be like it.
    std::vector<text::TokenId> tokens;
    while (reader_.NextElement()) {
      const JsonKind found = reader_.Peek();
      if (!kind) kind = found;
      if (found != *kind) {
        return Wrong("embedding_input_invalid",
                     "'input' must have elements of one kind: " + std::string(JsonReader::KindName(*kind)));
      }
      if (found == JsonKind::kNumber) {
        MEZZO_TRY_VOID(ReadToken(0, &tokens));
      } else if (found == JsonKind::kString) {
        MEZZO_TRY_VOID(ReadText());
      } else if (found == JsonKind::kArray) {
        MEZZO_TRY_VOID(ReadTokens());
      } else {
        return Wrong("embedding_input_invalid", kInputForms);
      }
    }
    if (reader_.failed()) return reader_.error();
    if (!tokens.empty()) return AddInput(std::move(tokens));
    if (request_.inputs.empty()) {
      return InvalidArgument("embedding_input_empty", "'input' must have at least one element");
    }
    return {};
  }

  Result<void> ReadText() {
    std::string_view text;
    if (!reader_.ReadString(&text)) return reader_.error();
    if (text.empty()) {
      return InvalidArgument("embedding_input_empty",
                             Place(request_.inputs.size()) + " must not be an empty string");
    }
    return AddInput(std::string(text));
  }

  Result<void> ReadTokens() {
    const std::size_t index = request_.inputs.size();
    std::vector<text::TokenId> tokens;
    if (!reader_.EnterArray()) return reader_.error();
    while (reader_.NextElement()) {
      if (reader_.Peek() != JsonKind::kNumber) {
        return Wrong("embedding_input_invalid", Place(index) + " must be an array of token ids");
      }
      MEZZO_TRY_VOID(ReadToken(index, &tokens));
    }
    if (reader_.failed()) return reader_.error();
    if (tokens.empty()) {
      return InvalidArgument("embedding_input_empty", Place(index) + " must have at least one token id");
    }
    return AddInput(std::move(tokens));
  }

  Result<void> ReadToken(std::size_t index, std::vector<text::TokenId>* tokens) {
    JsonNumber number;
    if (!reader_.ReadNumber(&number)) return reader_.error();
    if (!number.integer || (number.negative && number.magnitude != 0) ||
        number.magnitude > static_cast<std::uint64_t>(std::numeric_limits<text::TokenId>::max())) {
      return InvalidArgument("embedding_input_invalid", "token " + std::to_string(tokens->size()) + " of " +
                                                            Place(index) +
                                                            " must be an integer in [0, 2147483647]");
    }
    if (tokens->size() == limits_.max_tokens_per_input) {
      return InvalidArgument(
          "context_length_exceeded",
          Place(index) + " has more than " + std::to_string(limits_.max_tokens_per_input) + " tokens");
    }
    tokens->push_back(static_cast<text::TokenId>(number.magnitude));
    return {};
  }

  Result<void> AddInput(EmbeddingInput input) {
    if (request_.inputs.size() == limits_.max_inputs) {
      return InvalidArgument("embedding_too_many_inputs",
                             "'input' has more than " + std::to_string(limits_.max_inputs) + " elements");
    }
    request_.inputs.push_back(std::move(input));
    return {};
  }

  const EmbeddingLimits& limits_;
  JsonReader reader_;
  EmbeddingRequest request_;
  bool seen_model_ = false;
  bool seen_input_ = false;
  bool seen_format_ = false;
  bool seen_dimensions_ = false;
};

}  // namespace

Result<EmbeddingRequest> DecodeEmbeddingRequest(std::string_view body, const EmbeddingLimits& limits) {
  return Decoder(body, limits).Decode();
}

}  // namespace mezzo::api::openai
