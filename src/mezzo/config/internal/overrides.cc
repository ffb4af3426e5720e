#include "mezzo/config/internal/overrides.h"

#include <algorithm>

#include "mezzo/base/strings.h"
#include "mezzo/config/internal/decode.h"
#include "mezzo/config/internal/scalar.h"

namespace mezzo::config::internal {
namespace {

using Segments = std::vector<std::string>;

std::string UpperCase(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

const ValueType& WithoutOptional(const ValueType& type) {
  return type.kind == Kind::kOptional ? WithoutOptional(*type.element) : type;
}

void CollectVariables(const ValueType& type, const std::string& name, const Segments& path,
                      std::vector<std::pair<std::string, Segments>>& out) {
  for (const FieldDescriptor& field : type.fields) {
    Segments inner = path;
    inner.push_back(field.name);
    const ValueType& inner_type = WithoutOptional(*field.type);
    const std::string inner_name = name + UpperCase(field.name);
    if (inner_type.kind == Kind::kStruct) {
      CollectVariables(inner_type, inner_name + "_", inner, out);
    } else {
      out.emplace_back(inner_name, std::move(inner));
    }
  }
}

/// The type at `path`, or an error completing "<flag>: ...".
Result<const ValueType*> TypeAt(const ValueType& root, const Segments& path) {
  const ValueType* type = &root;
  std::string walked;
  for (const std::string& segment : path) {
    type = &WithoutOptional(*type);
    if (type->kind == Kind::kStruct) {
      const FieldDescriptor* field = FindField(*type, segment);
      if (field == nullptr) {
        return InvalidArgument("config_unknown_key", "unknown key '" + Printable(segment, 64) + "'" +
                                                         InSection(walked) +
                                                         Suggestion(segment, FieldNames(*type)));
      }
      type = field->type;
    } else if (type->kind == Kind::kMap && !segment.empty()) {
      type = type->element;
    } else if (type->kind == Kind::kList && ParseUint(segment)) {
      type = type->element;
    } else {
      return InvalidArgument("config_unknown_key", "'" + Printable(segment, 64) + "' does not exist below " +
                                                       walked + ", which is " + Expected(*type));
    }
    walked = JoinPath(walked, Printable(segment, 64));
  }
  return type;
}

/// The node for a value given as text: raw for a scalar, parsed as YAML for everything else.
Result<Node> NodeOf(const ValueType& given_type, std::string_view text, const Origin& origin,
                    const DocumentLimits& limits) {
  MEZZO_TRY_VOID(CheckText(text, origin));
  Node node;
  node.kind = Node::Kind::kScalar;
  node.style = Node::Style::kRaw;
  node.origin = origin;
  node.text = text;
  const ValueType& type = WithoutOptional(given_type);
  if (IsScalar(type.kind)) return node;

  const std::string_view trimmed = Trim(text);
  const bool flow = trimmed.starts_with('[') || trimmed.starts_with('{') || trimmed == "null" ||
                    trimmed.empty() || trimmed.find('\n') != std::string_view::npos;
  if (type.kind == Kind::kList && IsScalar(type.element->kind) && !flow) {
    Node list;
    list.kind = Node::Kind::kList;
    list.origin = origin;
    for (const std::string_view part : Split(text, ',')) {
      node.text = Trim(part);
      list.items.push_back(node);
    }
    return list;
  }
  MEZZO_TRY(Node parsed, ParseDocument(text, *origin.source, limits));
  // One line of text: the variable or flag says enough about the place.
  if (text.find('\n') == std::string_view::npos) parsed.origin = origin;
  return parsed;
}

/// Replaces or adds the value at `path`. Where the tree contradicts the schema on the way, it stays as it is:
/// decoding reports that.
Result<void> Insert(Node& root, const ValueType& root_type, const Segments& path, Node value) {
  Node* node = &root;
  Node* first_changed = nullptr;  // Gained an entry for this path, to be taken back on failure.
  const ValueType* type = &root_type;
  std::string walked;
  for (std::size_t i = 0; i < path.size(); ++i) {
    type = &WithoutOptional(*type);
    const std::string& segment = path[i];
    Node* next = nullptr;
    if (type->kind == Kind::kList) {
      if (node->kind != Node::Kind::kList && node->kind != Node::Kind::kNull) return {};
      const auto index = ParseUint(segment).value_or(0);
      if (index >= node->items.size()) {
        const std::size_t items = node->items.size();
        if (first_changed != nullptr) first_changed->items.pop_back();
        return InvalidArgument(
            "config_unknown_key",
            walked + " has " + std::to_string(items) + " items in the file, so there is no item " + segment);
      }
      next = &node->items[index];
      type = type->element;
    } else {
      if (node->kind == Node::Kind::kNull) node->kind = Node::Kind::kMap;
      if (node->kind != Node::Kind::kMap) return {};
      next = node->Find(segment);
      if (next == nullptr) {
        Node fresh;
        fresh.origin = value.origin;
        fresh.key = segment;
        fresh.key_origin = value.origin;
        next = &node->items.emplace_back(std::move(fresh));
        if (first_changed == nullptr) first_changed = node;
      }
      type = type->kind == Kind::kMap ? type->element : FindField(*type, segment)->type;
    }
    walked = JoinPath(walked, segment);
    node = next;
  }
  value.key = node->key;
  value.key_origin = node->key_origin;
  *node = std::move(value);
  return {};
}

class Overrides {
 public:
  Overrides(const ValueType& type, const LoadOptions& options, Node& root, Problems& problems)
      : type_(type), options_(options), root_(root), problems_(problems) {}

  void ApplyEnvironment() {
    const auto known = Variables(type_, options_.environment_prefix);
    for (const auto& [name, value] : options_.environment) {
      if (!name.starts_with(options_.environment_prefix) || IsIgnored(name)) continue;
      const auto found = std::find_if(known.begin(), known.end(),
                                      [&](const auto& variable) { return variable.first == name; });
      if (found == known.end()) {
        ReportUnknownVariable(name, known);
      } else {
        Apply(name, found->second, value);
      }
    }
  }

  void ApplyFlags() {
    for (const NamedFlag& flag : options_.flags) ApplyPath(flag.flag, flag.path, flag.value);
    for (const std::string& set : options_.sets) {
      const std::size_t equals = set.find('=');
      if (equals == std::string::npos || equals == 0) {
        problems_.Add("config_syntax", "--set " + Printable(set, 64), "must have the form path=value");
        continue;
      }
      ApplyPath("--set " + Printable(set.substr(0, equals)), set.substr(0, equals), set.substr(equals + 1));
    }
  }

 private:
  [[nodiscard]] bool IsIgnored(const std::string& name) const {
    const auto& ignored = options_.ignored_variables;
    return std::find(ignored.begin(), ignored.end(), name) != ignored.end();
  }

  void ReportUnknownVariable(const std::string& name,
                             const std::vector<std::pair<std::string, Segments>>& known) {
    std::vector<std::string> names;
    names.reserve(known.size());
    for (const auto& variable : known) names.push_back(variable.first);
    std::string message = "unknown variable " + Printable(name) + Suggestion(name, names);
    // Kubernetes gives every pod MEZZO_PORT_… and MEZZO_SERVICE_… when a service is called "mezzo".
    const std::string_view rest = std::string_view(name).substr(options_.environment_prefix.size());
    if (rest.starts_with("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_")) {
      message += " (a Kubernetes service of that name makes such variables; set enableServiceLinks: false)";
    }
    problems_.Add("config_unknown_key", "", message);
  }

  void ApplyPath(const std::string& source, const std::string& path, std::string_view value) {
    Segments segments;
    for (const std::string_view segment : Split(path, '.')) segments.emplace_back(segment);
    Apply(source, segments, value);
  }

  void Apply(const std::string& source, const Segments& path, std::string_view text) {
    const Origin origin{std::make_shared<const std::string>(source)};
    const auto type = TypeAt(type_, path);
    if (!type.ok()) return problems_.Add(type.error().reason(), source, type.error().message());
    auto node = NodeOf(**type, text, origin, options_.limits);
    if (!node.ok()) return problems_.Add(node.error());
    const auto inserted = Insert(root_, type_, path, std::move(*node));
    if (!inserted.ok()) problems_.Add(inserted.error().reason(), source, inserted.error().message());
  }

  const ValueType& type_;
  const LoadOptions& options_;
  Node& root_;
  Problems& problems_;
};

}  // namespace

std::vector<std::pair<std::string, std::vector<std::string>>> Variables(const ValueType& type,
                                                                        const std::string& prefix) {
  std::vector<std::pair<std::string, Segments>> out;
  CollectVariables(type, prefix, {}, out);
  return out;
}

void ApplyOverrides(const ValueType& type, const LoadOptions& options, Node& root, Problems& problems) {
  // Decoding reports a root of another kind.
  if (root.kind != Node::Kind::kMap && root.kind != Node::Kind::kNull) return;
  Overrides overrides(type, options, root, problems);
  overrides.ApplyEnvironment();
  overrides.ApplyFlags();
}

}  // namespace mezzo::config::internal
