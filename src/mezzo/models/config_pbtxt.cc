#include <optional>

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/models/declared_config.h"
#include "mezzo/models/internal/proto_config.h"

namespace mezzo::models {
namespace {

using google::protobuf::TextFormat;
using internal::Invalid;
using internal::Place;

/// Keeps the first error: the ones after it are mostly its echo.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    if (message_.has_value()) return;
    message_ = message;
    line_ = line;
    column_ = column;
  }
  [[nodiscard]] std::string Text(std::string_view source) const {
    std::string text(source);
    if (line_ >= 0) text += ":" + std::to_string(line_ + 1) + ":" + std::to_string(column_ + 1);
    return text + ": " + Printable(message_.value_or("the text is not a model configuration"), 256);
  }

 private:
  std::optional<std::string> message_;
  int line_ = -1;
  int column_ = 0;
};

Result<void> CheckSize(std::string_view text, std::string_view source) {
  if (text.size() <= ConfigLimits::kMaxFileBytes) return {};
  return Invalid(std::string(source) + ": the configuration has " + FormatBytes(text.size()) +
                 "; the limit is " + FormatBytes(ConfigLimits::kMaxFileBytes));
}

/// Only the top level of `text`, which a first parse made sure of, is looked at.
bool HasKey(const nlohmann::json& json, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (json.contains(key)) return true;
  }
  return false;
}

}  // namespace

Result<DeclaredConfig> ParseConfigPbtxt(std::string_view text, std::string_view source) {
  MEZZO_TRY_VOID(CheckSize(text, source));
  FirstError errors;
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.WriteLocationsTo(&tree);
  parser.SetRecursionLimit(ConfigLimits::kMaxDepth);
  inference::ModelConfig proto;
  google::protobuf::io::ArrayInputStream input(text.data(), static_cast<int>(text.size()));
  if (!parser.Parse(&input, &proto)) return Invalid(errors.Text(source));
  const Place place(std::string(source), &tree);
  return internal::FromProto(proto, place,
                             place.Gives(proto, inference::ModelConfig::kMaxBatchSizeFieldNumber));
}

Result<DeclaredConfig> ParseConfigJson(std::string_view text, std::string_view source) {
  MEZZO_TRY_VOID(CheckSize(text, source));
  // Protobuf's JSON reader is recursive and names no place: this one bounds the depth and finds the syntax
  // errors.
  bool too_deep = false;
  const auto watch_depth = [&too_deep](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > ConfigLimits::kMaxDepth;
    return !too_deep;
  };
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(text, watch_depth);
  } catch (const nlohmann::json::exception& error) {
    return Invalid(std::string(source) + ": " + Printable(error.what(), 256));
  }
  if (too_deep) {
    return Invalid(std::string(source) + ": the configuration nests deeper than " +
                   std::to_string(ConfigLimits::kMaxDepth) + " levels");
  }
  if (!json.is_object()) return Invalid(std::string(source) + ": the configuration must be a JSON object");
  inference::ModelConfig proto;
  const google::protobuf::util::JsonParseOptions strict;
  const google::protobuf::StringPiece piece(text.data(), text.size());
  const auto status = google::protobuf::util::JsonStringToMessage(piece, &proto, strict);
  if (!status.ok()) {
    return Invalid(std::string(source) + ": " + Printable(std::string(status.message()), 256));
  }
  return internal::FromProto(proto, Place(std::string(source), nullptr),
                             HasKey(json, {"max_batch_size", "maxBatchSize"}));
}

}  // namespace mezzo::models
