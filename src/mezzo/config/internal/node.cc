#include "mezzo/config/internal/node.h"

#include <algorithm>
#include <exception>
#include <istream>
#include <optional>
#include <streambuf>
#include <unordered_map>
#include <utility>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "mezzo/base/strings.h"
#include "mezzo/base/utf8.h"

namespace mezzo::config::internal {
namespace {

/// Leaves the parser; never leaves ParseDocument.
struct Refused {
  Origin origin;
  std::string message;
};

Error SyntaxError(const Origin& origin, const std::string& message) {
  return InvalidArgument("config_syntax", origin.ToString() + ": " + message);
}

/// Builds the tree from yaml-cpp's events. Events rather than YAML::Load, so that a limit stops the parse
/// where it is crossed, before the rest costs anything.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view text, std::shared_ptr<const std::string> source, const DocumentLimits& limits)
      : text_(text), source_(std::move(source)), limits_(limits) {}

  [[nodiscard]] Node TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) Refuse(mark, "one document is allowed, but a second one starts here");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    CheckNode(mark, "", anchor);
    if (AwaitsKey()) Refuse(mark, "a key must not be null");
    Place(NodeAt(mark, Node::Kind::kNull));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Refuse(mark, "aliases (*name) are not allowed");
  }
  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    if (!name.empty()) Refuse(mark, "anchors (&name) are not allowed");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckNode(mark, tag, anchor);
    if (tag == "!") CheckQuotesClose(mark);
    if (AwaitsKey()) return TakeKey(mark, value);
    Node node = NodeAt(mark, Node::Kind::kScalar);
    node.text = value;
    // yaml-cpp tags quoted and block scalars "!" and plain ones "?".
    node.style = tag == "!" ? Node::Style::kQuoted : Node::Style::kPlain;
    Place(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Node::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Node::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Frame {
    Node node;
    std::optional<std::string> key;  ///< Of the value to come.
    Origin key_origin;
    std::unordered_map<std::string, int> lines;  ///< Of every key so far.
  };

  [[nodiscard]] Origin At(const YAML::Mark& mark) const { return {source_, mark.line + 1, mark.column + 1}; }
  [[nodiscard]] Node NodeAt(const YAML::Mark& mark, Node::Kind kind) const {
    Node node;
    node.kind = kind;
    node.origin = At(mark);
    return node;
  }
  [[noreturn]] void Refuse(const YAML::Mark& mark, std::string message) const {
    throw Refused{At(mark), std::move(message)};
  }
  [[nodiscard]] bool AwaitsKey() const {
    return !stack_.empty() && stack_.back().node.kind == Node::Kind::kMap && !stack_.back().key;
  }

  void CheckNode(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) Refuse(mark, "anchors (&name) are not allowed");
    if (!tag.empty() && tag != "?" && tag != "!") {
      Refuse(mark, "tags are not allowed, but this value has '" + Printable(tag, 64) + "'");
    }
    if (++nodes_ > limits_.max_nodes) {
      Refuse(mark, "the document has more than " + std::to_string(limits_.max_nodes) + " values");
    }
  }

  /// yaml-cpp takes the end of the document for the closing quote, so a file cut short would pass.
  void CheckQuotesClose(const YAML::Mark& mark) const {
    const std::string_view rest = text_.substr(std::min(static_cast<std::size_t>(mark.pos), text_.size()));
    if (rest.empty() || (rest[0] != '"' && rest[0] != '\'')) return;
    for (std::size_t i = 1; i < rest.size(); ++i) {
      if (rest[0] == '"' && rest[i] == '\\') {
        ++i;
      } else if (rest[i] == rest[0]) {
        // Two single quotes stand for one.
        if (rest[0] == '"' || i + 1 == rest.size() || rest[i + 1] != rest[0]) return;
        ++i;
      }
    }
    Refuse(mark, "the quoted text has no end");
  }

  void TakeKey(const YAML::Mark& mark, const std::string& key) {
    Frame& frame = stack_.back();
    const auto [seen, fresh] = frame.lines.emplace(key, mark.line + 1);
    if (!fresh) {
      Refuse(mark, "duplicate key '" + Printable(key, 64) + "', first given on line " +
                       std::to_string(seen->second));
    }
    frame.key = key;
    frame.key_origin = At(mark);
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind) {
    CheckNode(mark, tag, anchor);
    if (AwaitsKey()) Refuse(mark, "a key must be a plain word, not a list or a mapping");
    if (stack_.size() >= limits_.max_depth) {
      Refuse(mark, "nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    }
    stack_.push_back({.node = NodeAt(mark, kind), .key = {}, .key_origin = {}, .lines = {}});
  }

  void Close() {
    Node node = std::move(stack_.back().node);
    stack_.pop_back();
    Place(std::move(node));
  }

  void Place(Node node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = stack_.back();
    if (frame.key) {
      node.key = std::move(*frame.key);
      node.key_origin = frame.key_origin;
      // The place of "nothing" is that of its key; the parser would name the next line's token.
      if (node.kind == Node::Kind::kNull) node.origin = frame.key_origin;
      frame.key.reset();
    }
    frame.node.items.push_back(std::move(node));
  }

  const std::string_view text_;
  const std::shared_ptr<const std::string> source_;
  const DocumentLimits limits_;
  std::size_t documents_ = 0;
  std::size_t nodes_ = 0;
  std::vector<Frame> stack_;
  Node root_;
};

/// What the parser says, and what it does not: that a tab is to blame.
std::string Explain(const YAML::Exception& e, std::string_view text) {
  std::size_t begin = 0;
  for (int line = 0; line < e.mark.line && begin != std::string_view::npos; ++line) {
    const std::size_t end = text.find('\n', begin);
    begin = end == std::string_view::npos ? end : end + 1;
  }
  if (begin == std::string_view::npos) return e.msg;
  const std::string_view line = text.substr(begin);
  const std::string_view indentation = line.substr(0, line.find_first_not_of(" \t"));
  if (indentation.find('\t') == std::string_view::npos) return e.msg;
  return e.msg + " (this line is indented with a tab; YAML takes spaces only)";
}

/// yaml-cpp reads streams; this one reads the caller's text in place.
class ViewBuffer final : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // NOLINT(*-const-cast): a get area is never written to.
    setg(begin, begin, begin + text.size());
  }
};

}  // namespace

std::string Origin::ToString() const {
  std::string text = source ? *source : "";
  if (line > 0) text += ":" + std::to_string(line) + ":" + std::to_string(column);
  return text;
}

Node* Node::Find(std::string_view name) {
  for (Node& item : items) {
    if (item.key == name) return &item;
  }
  return nullptr;
}

Result<void> CheckText(std::string_view text, Origin at) {
  const bool counts = at.line > 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7F) {
      return SyntaxError(at, "the byte " + Printable(text.substr(i, 1)) + " is not allowed");
    }
    const std::size_t length = Utf8Length(text.substr(i));
    if (length == 0) return SyntaxError(at, "not UTF-8 (byte " + Printable(text.substr(i, 1)) + ")");
    i += length;
    if (!counts) continue;
    at.column += static_cast<int>(length);  // In bytes, as the parser counts.
    if (byte == '\n') {
      ++at.line;
      at.column = 1;
    }
  }
  return {};
}

Result<Node> ParseDocument(std::string_view text, std::string_view source, const DocumentLimits& limits) {
  const auto shared_source = std::make_shared<const std::string>(source);
  if (text.size() > limits.max_bytes) {
    return SyntaxError({shared_source}, "the document has " + std::to_string(text.size()) +
                                            " bytes, more than the limit of " +
                                            std::to_string(limits.max_bytes));
  }
  MEZZO_TRY_VOID(CheckText(text, {shared_source, 1, 1}));
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // A byte order mark.
  TreeBuilder builder(text, shared_source, limits);
  try {
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refused& refused) {
    return SyntaxError(refused.origin, refused.message);
  } catch (const YAML::Exception& e) {
    return SyntaxError({shared_source, e.mark.line + 1, e.mark.column + 1}, Explain(e, text));
  } catch (const std::exception& e) {
    return SyntaxError({shared_source}, e.what());
  }
  return builder.TakeRoot();
}

}  // namespace mezzo::config::internal
