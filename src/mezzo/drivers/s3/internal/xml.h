#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"

namespace mezzo::drivers::internal {

/// An element: its name without prefix, the text directly in it, and the elements in it. Attributes are
/// dropped.
struct XmlNode {
  std::string name;
  std::string text;
  std::vector<XmlNode> children;

  /// The first child of this name, or null.
  [[nodiscard]] const XmlNode* Child(std::string_view child) const;
  /// Its text; empty when there is no such child.
  [[nodiscard]] std::string_view ChildText(std::string_view child) const;
};

struct XmlLimits {
  std::size_t max_bytes = std::size_t{8} << 20;
  std::size_t max_nodes = 50'000;
  std::size_t max_depth = 16;
};

/// Reads the XML that S3 answers with: elements, attributes, text, the five named entities, character
/// references and comments. Document types, other entities and CDATA sections are refused, so that nothing
/// can expand or refer outside. Fails with kInternal "blob_answer_invalid".
Result<XmlNode> ParseXml(std::string_view text, const XmlLimits& limits = {});

/// Text as the content of an element.
std::string EscapeXml(std::string_view text);

}  // namespace mezzo::drivers::internal
