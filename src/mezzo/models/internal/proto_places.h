#pragma once

#include <string>
#include <utility>

#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include "mezzo/base/result.h"

namespace mezzo::models::internal {

/// Where a message of a configuration stands in its file, to begin messages with: "config.pbtxt:7: ". A
/// configuration without lines (JSON) has only the source's name.
class Place {
 public:
  using Tree = google::protobuf::TextFormat::ParseInfoTree;

  /// `tree` may be null and outlives the place.
  Place(std::string source, const Tree* tree) : source_(std::move(source)), tree_(tree) {}

  /// The prefix for field `number` of `message`; `index` for repeated ones.
  [[nodiscard]] std::string At(const google::protobuf::Message& message, int number, int index = -1) const {
    const auto* field = message.GetDescriptor()->FindFieldByNumber(number);
    const int line = tree_ == nullptr ? -1 : tree_->GetLocation(field, index).line;
    if (line >= 0) return source_ + ":" + std::to_string(line + 1) + ": ";
    return prefix();
  }
  /// The place of a nested message; `number` and `index` as above.
  [[nodiscard]] Place Into(const google::protobuf::Message& message, int number, int index = -1) const {
    const auto* field = message.GetDescriptor()->FindFieldByNumber(number);
    Place nested(source_, tree_ == nullptr ? nullptr : tree_->GetTreeForNested(field, index));
    const int line = tree_ == nullptr ? -1 : tree_->GetLocation(field, index).line;
    nested.line_ = line >= 0 ? line : line_;
    return nested;
  }
  /// The prefix for the message itself.
  [[nodiscard]] std::string prefix() const {
    return line_ < 0 ? source_ + ": " : source_ + ":" + std::to_string(line_ + 1) + ": ";
  }
  /// Whether the file gives the field at all: proto3 can't tell a zero from nothing, a file's text can.
  [[nodiscard]] bool Gives(const google::protobuf::Message& message, int number) const {
    const auto* field = message.GetDescriptor()->FindFieldByNumber(number);
    return tree_ != nullptr && tree_->GetLocation(field, -1).line >= 0;
  }
  [[nodiscard]] const std::string& source() const { return source_; }

 private:
  std::string source_;
  const Tree* tree_;
  int line_ = -1;
};

/// kInvalidArgument "model_config_invalid".
inline Error Invalid(std::string message) {
  return InvalidArgument("model_config_invalid", std::move(message));
}
/// kUnimplemented "model_config_unsupported": "<place><feature> is not supported<hint>".
inline Error Unsupported(const std::string& place, const std::string& feature, const std::string& hint = "") {
  return Unimplemented("model_config_unsupported", place + feature + " is not supported" + hint);
}

}  // namespace mezzo::models::internal
