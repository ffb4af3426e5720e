// What an object store answers, or whoever sits in its place: a tree that is read must be the one that was
// written.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/drivers/s3/internal/xml.h"

namespace {

using mezzo::drivers::internal::EscapeXml;
using mezzo::drivers::internal::ParseXml;
using mezzo::drivers::internal::XmlNode;

constexpr std::size_t kMaxDepth = 16;

std::size_t Count(const XmlNode& node, std::size_t depth) {
  MEZZO_CHECK(depth <= kMaxDepth && !node.name.empty());
  std::size_t count = 1;
  for (const XmlNode& child : node.children) count += Count(child, depth + 1);
  return count;
}

/// The text of a node comes before its children, wherever it stood.
std::string Write(const XmlNode& node) {
  std::string text = "<" + node.name + ">" + EscapeXml(node.text);
  for (const XmlNode& child : node.children) text += Write(child);
  return text + "</" + node.name + ">";
}

bool Equal(const XmlNode& a, const XmlNode& b) {
  if (a.name != b.name || a.text != b.text || a.children.size() != b.children.size()) return false;
  for (std::size_t i = 0; i < a.children.size(); ++i) {
    if (!Equal(a.children[i], b.children[i])) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto root = ParseXml(text);
  if (!root.ok()) {
    MEZZO_CHECK(root.error().reason() == "blob_answer_invalid");
    return 0;
  }
  MEZZO_CHECK(Count(*root, 1) <= size);  // Nothing expands.
  const auto again = ParseXml(Write(*root));
  MEZZO_CHECK(again.ok() && Equal(*root, *again));
  return 0;
}
