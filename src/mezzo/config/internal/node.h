#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/config/load.h"

namespace mezzo::config::internal {

/// Where a node was written. Line and column count from 1; 0 means the source as a whole.
struct Origin {
  std::shared_ptr<const std::string> source;
  int line = 0;
  int column = 0;

  /// "mezzo.yaml:12:3", or "MEZZO_X".
  [[nodiscard]] std::string ToString() const;
};

/// One value of a document, not yet typed.
struct Node {
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };
  /// kRaw: the text of a variable or flag, which has no notion of quotes.
  enum class Style : std::uint8_t { kPlain, kQuoted, kRaw };

  Kind kind = Kind::kNull;
  Style style = Style::kPlain;
  Origin origin;
  std::string text;  ///< kScalar.
  std::string key;   ///< In a map: this value's key, and where the key stands.
  Origin key_origin;
  std::vector<Node> items;  ///< kList, and kMap in the order written.

  /// The entry of a map, or null.
  [[nodiscard]] Node* Find(std::string_view name);
};

/// Refuses with "config_syntax" what no text of a configuration may hold: control bytes except tabs and line
/// ends, and what is not UTF-8. Names the place within `text`, or just the source when `at` has no line.
Result<void> CheckText(std::string_view text, Origin at);

/// Parses one YAML document within `limits`. Refuses with "config_syntax": NUL and control bytes, text that
/// is not UTF-8, anchors, aliases, tags, keys that are not plain words, duplicate keys, a second document. An
/// empty document is a null node.
Result<Node> ParseDocument(std::string_view text, std::string_view source, const DocumentLimits& limits);

}  // namespace mezzo::config::internal
