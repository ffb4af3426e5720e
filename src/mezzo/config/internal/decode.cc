#include "mezzo/config/internal/decode.h"

#include <unordered_set>

#include "mezzo/base/strings.h"

namespace mezzo::config::internal {

std::string JoinPath(const std::string& parent, const std::string& name) {
  return parent.empty() ? name : parent + "." + name;
}

std::string InSection(const std::string& path) { return path.empty() ? " at the top level" : " in " + path; }

std::vector<std::string> FieldNames(const ValueType& type) {
  std::vector<std::string> names;
  names.reserve(type.fields.size());
  for (const FieldDescriptor& field : type.fields) names.push_back(field.name);
  return names;
}

const FieldDescriptor* FindField(const ValueType& type, std::string_view name) {
  for (const FieldDescriptor& field : type.fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

void Decoder::DecodeRoot(const ValueType& type, const Node& root, void* object) {
  if (root.kind != Node::Kind::kMap && root.kind != Node::Kind::kNull) {
    problems_.Add("config_invalid_value", root.origin.ToString(),
                  "the top level must be a mapping, not " + Actual(root));
    return;
  }
  DecodeStruct(type, root, object, "");
}

void Decoder::Decode(const ValueType& type, const FieldDescriptor& field, const Node& node, void* object,
                     const std::string& path) {
  switch (type.kind) {
    case Kind::kOptional: {
      const bool raw_null =
          node.kind == Node::Kind::kScalar && node.style == Node::Style::kRaw && node.text == "null";
      type.clear(object);
      if (node.kind == Node::Kind::kNull || raw_null) return Record(path, node);
      return Decode(*type.element, field, node, type.add(object, ""), path);
    }
    case Kind::kList:
      return DecodeList(type, field, node, object, path);
    case Kind::kMap:
      return DecodeMap(type, field, node, object, path);
    case Kind::kStruct:
      // A section whose keys are all commented out is null: nothing is given.
      if (node.kind != Node::Kind::kMap && node.kind != Node::Kind::kNull) {
        return AddInvalid(node, path, "must be " + Expected(type) + ", not " + Actual(node));
      }
      return DecodeStruct(type, node, object, path);
    default:
      return DecodeScalar(type, field, node, object, path);
  }
}

void Decoder::DecodeStruct(const ValueType& type, const Node& node, void* object, const std::string& path) {
  const std::size_t problems_before = problems_.count();
  std::unordered_set<const FieldDescriptor*> given;
  for (const Node& item : node.items) {
    const FieldDescriptor* field = FindField(type, item.key);
    if (field == nullptr) {
      // Only what will be shown is worth the search for a nearest name: a hostile file has many unknown keys.
      const bool shown = problems_.count() < Problems::kMaxShown;
      problems_.Add("config_unknown_key", item.key_origin.ToString(),
                    "unknown key '" + Printable(item.key, 64) + "'" + InSection(path) +
                        (shown ? Suggestion(item.key, FieldNames(type)) : ""));
      continue;
    }
    given.insert(field);
    const std::string field_path = JoinPath(path, field->name);
    const std::size_t field_problems = problems_.count();
    Decode(*field->type, *field, item, field->locate(object), field_path);
    if (!field->check || problems_.count() != field_problems) continue;
    if (const auto problem = field->check(field->locate(object))) AddInvalid(item, field_path, *problem);
  }
  for (const FieldDescriptor& field : type.fields) {
    if (!given.contains(&field)) RequireAbsent(field, node, path);
  }
  if (type.validate == nullptr || problems_.count() != problems_before) return;
  if (const auto problem = type.validate(object)) AddInvalid(node, path, *problem);
}

void Decoder::DecodeList(const ValueType& type, const FieldDescriptor& field, const Node& node, void* object,
                         const std::string& path) {
  if (node.kind != Node::Kind::kList) {
    const bool null = node.kind == Node::Kind::kNull;
    return AddInvalid(node, path,
                      "must be a list, not " + Actual(node) + (null ? " (write [] for none)" : ""));
  }
  CheckItems(field, node, path);
  type.clear(object);
  if (node.items.empty()) Record(path, node);
  FieldDescriptor inner = field;  // Its length bounds are the list's, not the elements'.
  inner.length = {};
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    Decode(*type.element, inner, node.items[i], type.add(object, ""), path + "[" + std::to_string(i) + "]");
  }
}

void Decoder::DecodeMap(const ValueType& type, const FieldDescriptor& field, const Node& node, void* object,
                        const std::string& path) {
  if (node.kind != Node::Kind::kMap) {
    const bool null = node.kind == Node::Kind::kNull;
    return AddInvalid(node, path,
                      "must be a mapping, not " + Actual(node) + (null ? " (write {} for none)" : ""));
  }
  CheckItems(field, node, path);
  type.clear(object);
  if (node.items.empty()) Record(path, node);
  FieldDescriptor inner = field;
  inner.length = {};
  for (const Node& item : node.items) {
    Decode(*type.element, inner, item, type.add(object, item.key), JoinPath(path, Printable(item.key)));
  }
}

void Decoder::DecodeScalar(const ValueType& type, const FieldDescriptor& field, const Node& node,
                           void* object, const std::string& path) {
  auto value = ParseScalar(type, field, node, secrets_);
  if (!value.ok()) return AddInvalid(node, path, value.error().message());
  if (type.kind == Kind::kText) {
    if (const auto problem = CheckLength(field.length, node.text.size(), "bytes")) {
      return AddInvalid(node, path, *problem);
    }
  }
  type.store(object, *value);
  Record(path, node);
}

void Decoder::RequireAbsent(const FieldDescriptor& field, const Node& near, const std::string& path) {
  const std::string field_path = JoinPath(path, field.name);
  if (field.required) {
    problems_.Add("config_missing", near.origin.ToString(), field_path + " is required");
    return;
  }
  if (field.type->kind != Kind::kStruct) return;
  for (const FieldDescriptor& inner : field.type->fields) RequireAbsent(inner, near, field_path);
}

void Decoder::CheckItems(const FieldDescriptor& field, const Node& node, const std::string& path) {
  if (const auto problem = CheckLength(field.length, node.items.size(), "items")) {
    AddInvalid(node, path, *problem);
  }
}

void Decoder::Record(const std::string& path, const Node& node) {
  if (provenance_ != nullptr) (*provenance_)[path] = node.origin.ToString();
}

void Decoder::AddInvalid(const Node& node, const std::string& path, const std::string& message) {
  problems_.Add("config_invalid_value", node.origin.ToString(),
                (path.empty() ? "the configuration" : path) + " " + message);
}

}  // namespace mezzo::config::internal
