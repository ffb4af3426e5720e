#include "mezzo/drivers/s3/internal/xml.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "mezzo/base/strings.h"

namespace mezzo::drivers::internal {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

bool IsNameCharacter(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
         byte == '_' || byte == '-' || byte == '.' || byte == ':' || byte >= 0x80;
}

/// XML 1.0 section 2.2: what a document may contain.
bool IsXmlCharacter(std::uint32_t code) {
  return code == 0x9 || code == 0xA || code == 0xD || (code >= 0x20 && code <= 0xD7FF) ||
         (code >= 0xE000 && code <= 0xFFFD) || (code >= 0x10000 && code <= 0x10FFFF);
}

void AppendUtf8(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | code >> 6);
    put(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    put(0xE0U | code >> 12);
    put(0x80U | (code >> 6 & 0x3FU));
    put(0x80U | (code & 0x3FU));
  } else {
    put(0xF0U | code >> 18);
    put(0x80U | (code >> 12 & 0x3FU));
    put(0x80U | (code >> 6 & 0x3FU));
    put(0x80U | (code & 0x3FU));
  }
}

/// "#65" or "#x41".
std::optional<std::uint32_t> ParseReference(std::string_view text) {
  text.remove_prefix(1);
  const bool hex = text.starts_with('x');
  if (hex) text.remove_prefix(1);
  if (text.empty() || text.size() > 7) return std::nullopt;
  std::uint32_t code = 0;
  for (const char c : text) {
    const std::size_t digit =
        std::string_view("0123456789abcdef").find(hex ? static_cast<char>(c | 0x20) : c);
    if (digit >= (hex ? 16U : 10U)) return std::nullopt;
    code = code * (hex ? 16U : 10U) + static_cast<std::uint32_t>(digit);
  }
  if (!IsXmlCharacter(code)) return std::nullopt;
  return code;
}

class Parser {
 public:
  Parser(std::string_view text, const XmlLimits& limits) : text_(text), limits_(limits) {}

  Result<XmlNode> Document() {
    if (text_.size() > limits_.max_bytes) return Fail("it is too long");
    if (Take("<?xml")) MEZZO_TRY_VOID(SkipPast("?>"));
    MEZZO_TRY_VOID(SkipMisc());
    XmlNode root;
    MEZZO_TRY_VOID(Element(root, 1));
    MEZZO_TRY_VOID(SkipMisc());
    if (at_ != text_.size()) return Fail("something follows the root element");
    return root;
  }

 private:
  [[nodiscard]] Error Fail(std::string_view what) const {
    return Internal("blob_answer_invalid", "the object store's XML can't be read: " + std::string(what) +
                                               " (byte " + std::to_string(at_) + ")");
  }
  [[nodiscard]] std::string_view rest() const { return text_.substr(at_); }
  bool Take(std::string_view token) {
    if (!rest().starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  void SkipSpace() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }
  Result<void> SkipPast(std::string_view end) {
    const std::size_t found = text_.find(end, at_);
    if (found == std::string_view::npos) return Fail("it ends too early");
    at_ = found + end.size();
    return {};
  }
  Result<void> SkipMisc() {
    SkipSpace();
    while (Take("<!--")) {
      MEZZO_TRY_VOID(SkipPast("-->"));
      SkipSpace();
    }
    return {};
  }
  Result<std::string_view> Name() {
    const std::size_t from = at_;
    while (at_ < text_.size() && IsNameCharacter(text_[at_])) ++at_;
    if (at_ == from) return Fail("a name was expected");
    return text_.substr(from, at_ - from);
  }

  /// From "<name" to behind its end.
  Result<void> Element(XmlNode& node, std::size_t depth) {
    if (depth > limits_.max_depth) return Fail("it is nested too deep");
    if (++nodes_ > limits_.max_nodes) return Fail("it has too many elements");
    if (!Take("<")) return Fail("an element was expected");
    MEZZO_TRY(const std::string_view name, Name());
    node.name = std::string(name.substr(name.rfind(':') + 1));
    if (node.name.empty()) return Fail("a name was expected");
    MEZZO_TRY(const bool empty, RestOfTag());
    if (empty) return {};
    MEZZO_TRY_VOID(Content(node, depth));
    if (!Take(name)) return Fail("an end tag does not match");
    SkipSpace();
    if (!Take(">")) return Fail("'>' was expected");
    return {};
  }

  /// Attributes; true for an element without content.
  Result<bool> RestOfTag() {
    while (true) {
      SkipSpace();
      if (Take("/>")) return true;
      if (Take(">")) return false;
      MEZZO_TRY_VOID(Name());
      SkipSpace();
      if (!Take("=")) return Fail("'=' was expected");
      SkipSpace();
      const char quote = at_ < text_.size() ? text_[at_] : '\0';
      if (quote != '"' && quote != '\'') return Fail("a quoted value was expected");
      ++at_;
      MEZZO_TRY_VOID(SkipPast(std::string_view(&quote, 1)));
    }
  }

  /// Up to and with the "</" of the end tag.
  Result<void> Content(XmlNode& node, std::size_t depth) {
    while (true) {
      const std::size_t mark = text_.find_first_of("<&", at_);
      if (mark == std::string_view::npos) return Fail("it ends too early");
      node.text.append(text_.substr(at_, mark - at_));
      at_ = mark;
      if (Take("</")) return {};
      if (Take("<!--")) {
        MEZZO_TRY_VOID(SkipPast("-->"));
      } else if (text_[at_] == '&') {
        MEZZO_TRY_VOID(Entity(node.text));
      } else {
        node.children.emplace_back();
        MEZZO_TRY_VOID(Element(node.children.back(), depth + 1));
      }
    }
  }

  Result<void> Entity(std::string& out) {
    const std::string_view window = rest().substr(0, 12);
    const std::size_t end = window.find(';');
    if (end == std::string_view::npos) return Fail("an entity does not end");
    const std::string_view name = window.substr(1, end - 1);
    if (name.starts_with('#')) {
      const auto code = ParseReference(name);
      if (!code) return Fail("a character reference is not valid");
      AppendUtf8(out, *code);
    } else if (name == "amp") {
      out += '&';
    } else if (name == "lt") {
      out += '<';
    } else if (name == "gt") {
      out += '>';
    } else if (name == "quot") {
      out += '"';
    } else if (name == "apos") {
      out += '\'';
    } else {
      return Fail("an entity is not known");
    }
    at_ += end + 1;
    return {};
  }

  const std::string_view text_;
  const XmlLimits limits_;
  std::size_t at_ = 0;
  std::size_t nodes_ = 0;
};

}  // namespace

const XmlNode* XmlNode::Child(std::string_view child) const {
  const auto it =
      std::find_if(children.begin(), children.end(), [&](const XmlNode& node) { return node.name == child; });
  return it == children.end() ? nullptr : &*it;
}

std::string_view XmlNode::ChildText(std::string_view child) const {
  const XmlNode* node = Child(child);
  return node == nullptr ? std::string_view() : std::string_view(node->text);
}

Result<XmlNode> ParseXml(std::string_view text, const XmlLimits& limits) {
  return Parser(text, limits).Document();
}

std::string EscapeXml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace mezzo::drivers::internal
