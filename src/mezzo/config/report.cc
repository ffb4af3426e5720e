#include "mezzo/config/report.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mezzo/base/strings.h"
#include "mezzo/config/internal/decode.h"
#include "mezzo/config/internal/scalar.h"

namespace mezzo::config {
namespace {

using internal::FormatScalar;
using internal::JoinPath;
using internal::QuoteIfNeeded;

const void* Locate(const FieldDescriptor& field, const void* object) {
  return field.locate(const_cast<void*>(object));  // NOLINT(*-const-cast): only its address is used.
}

/// On one line: "[a, b]", "{x: 1}", "null".
std::string FormatFlow(const ValueType& type, const void* object) {
  if (internal::IsScalar(type.kind)) return FormatScalar(type, type.fetch(object));
  std::vector<std::string> parts;
  if (type.kind == Kind::kStruct) {
    for (const FieldDescriptor& field : type.fields) {
      parts.push_back(field.name + ": " + FormatFlow(*field.type, Locate(field, object)));
    }
    return fmt::format("{{{}}}", fmt::join(parts, ", "));
  }
  type.visit(object, [&](const std::string& key, const void* element) {
    const std::string text = FormatFlow(*type.element, element);
    parts.push_back(type.kind == Kind::kMap ? QuoteIfNeeded(key) + ": " + text : text);
  });
  if (type.kind == Kind::kOptional) return parts.empty() ? "null" : parts[0];
  if (type.kind == Kind::kMap) return fmt::format("{{{}}}", fmt::join(parts, ", "));
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

std::string TypeName(const ValueType& type) {
  switch (type.kind) {
    case Kind::kBool:
      return "bool";
    case Kind::kSigned:
    case Kind::kUnsigned:
      return "integer";
    case Kind::kReal:
      return "number";
    case Kind::kText:
      return "string";
    case Kind::kDuration:
      return "duration";
    case Kind::kBytes:
      return "size";
    case Kind::kEnum:
      return fmt::format("`{}`", fmt::join(type.names, "`, `"));
    case Kind::kSecret:
      return "secret";
    case Kind::kOptional:
      return TypeName(*type.element) + ", or null";
    case Kind::kList:
      return "list of " + TypeName(*type.element);
    case Kind::kMap:
      return "map of " + TypeName(*type.element);
    case Kind::kStruct:
      return "section";
  }
  return "";
}

const ValueType& LeafType(const ValueType& type) {
  return type.element == nullptr ? type : LeafType(*type.element);
}

std::string BoundsText(const FieldDescriptor& field) {
  std::vector<std::string> parts;
  const Kind kind = LeafType(*field.type).kind;
  const auto bound = [kind](long double value) { return internal::FormatBound(kind, value); };
  if (field.min && field.max) {
    parts.push_back(bound(*field.min) + " to " + bound(*field.max));
  } else if (field.min) {
    parts.push_back("at least " + bound(*field.min));
  }
  const Kind outer = field.type->kind == Kind::kOptional ? field.type->element->kind : field.type->kind;
  const std::string noun = outer == Kind::kList || outer == Kind::kMap ? "items" : "bytes";
  const bool capped = field.length.max != LengthBounds().max;
  if (capped && field.length.min > 0) {
    parts.push_back(fmt::format("{} to {} {}", field.length.min, field.length.max, noun));
  } else if (capped) {
    parts.push_back(fmt::format("at most {} {}", field.length.max, noun));
  } else if (field.length.min == 1) {
    parts.emplace_back("not empty");
  } else if (field.length.min > 1) {
    parts.push_back(fmt::format("at least {} {}", field.length.min, noun));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string Cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

class ReferenceWriter {
 public:
  void Write(const ValueType& type, const void* object, const std::string& path, const std::string& doc) {
    struct Section {
      const ValueType* type;
      std::shared_ptr<const void> owner;
      const void* object;
      std::string path;
      std::string doc;
    };
    std::vector<Section> sections;
    std::string rows;
    for (const FieldDescriptor& field : type.fields) {
      const std::string field_path = JoinPath(path, field.name);
      const void* value = Locate(field, object);
      if (field.type->kind == Kind::kStruct) {
        sections.push_back({field.type, nullptr, value, field_path, field.doc});
        continue;
      }
      rows += Row(field, field_path, value);
      if (const ValueType& leaf = LeafType(*field.type); leaf.kind == Kind::kStruct) {
        auto example = leaf.make();
        const void* example_object = example.get();
        sections.push_back(
            {&leaf, std::move(example), example_object, field_path + ElementPath(*field.type), field.doc});
      }
    }
    if (!rows.empty()) {
      text_ += fmt::format("\n## {}\n\n", path.empty() ? "Top level" : Cell(path));
      if (!doc.empty()) text_ += doc + "\n\n";
      text_ += "| key | type | default | bounds | reload | meaning |\n|---|---|---|---|---|---|\n" + rows;
    }
    for (const Section& section : sections) Write(*section.type, section.object, section.path, section.doc);
  }

  [[nodiscard]] std::string Take() { return std::move(text_); }

 private:
  static std::string ElementPath(const ValueType& type) {
    if (type.element == nullptr) return "";
    const std::string inner = ElementPath(*type.element);
    if (type.kind == Kind::kMap) return ".<name>" + inner;
    return type.kind == Kind::kList ? "[]" + inner : inner;
  }

  static std::string Row(const FieldDescriptor& field, const std::string& path, const void* value) {
    const std::string fallback = field.required ? "required" : "`" + FormatFlow(*field.type, value) + "`";
    return fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", Cell(path), Cell(TypeName(*field.type)),
                       Cell(fallback), Cell(BoundsText(field)),
                       field.reload == Reload::kLive ? "live" : "restart", Cell(field.doc));
  }

  std::string text_;
};

class YamlWriter {
 public:
  explicit YamlWriter(const Provenance* provenance) : provenance_(provenance) {}

  void WriteStruct(const ValueType& type, const void* object, const std::string& path, std::size_t indent) {
    for (const FieldDescriptor& field : type.fields) {
      WriteEntry(field.name, *field.type, Locate(field, object), JoinPath(path, field.name), indent);
    }
  }

  [[nodiscard]] std::string Take() { return std::move(text_); }

 private:
  static constexpr std::size_t kStep = 2;

  void WriteEntry(const std::string& key, const ValueType& type, const void* object, const std::string& path,
                  std::size_t indent) {
    if (type.kind == Kind::kOptional) {
      const void* inner = nullptr;
      type.visit(object, [&](const std::string&, const void* element) { inner = element; });
      if (inner != nullptr) return WriteEntry(key, *type.element, inner, path, indent);
    }
    text_.append(indent, ' ').append(key).append(":");
    if (type.kind == Kind::kStruct && !type.fields.empty()) {
      text_ += '\n';
      return WriteStruct(type, object, path, indent + kStep);
    }
    if (type.kind == Kind::kMap && HasItems(type, object)) {
      text_ += '\n';
      type.visit(object, [&](const std::string& name, const void* element) {
        WriteEntry(QuoteIfNeeded(name), *type.element, element, JoinPath(path, Printable(name)),
                   indent + kStep);
      });
      return;
    }
    if (type.kind == Kind::kList && type.element->kind == Kind::kStruct && HasItems(type, object)) {
      text_ += '\n';
      return WriteStructs(type, object, path, indent + kStep);
    }
    text_ += " " + FormatFlow(type, object) + Comment(type, object, path) + "\n";
  }

  void WriteStructs(const ValueType& type, const void* object, const std::string& path, std::size_t indent) {
    std::size_t index = 0;
    type.visit(object, [&](const std::string&, const void* element) {
      const std::size_t begin = text_.size();
      WriteStruct(*type.element, element, path + "[" + std::to_string(index++) + "]", indent + kStep);
      text_.replace(begin + indent, 1, "-");  // The element's first line starts with the dash.
    });
  }

  static bool HasItems(const ValueType& type, const void* object) {
    bool any = false;
    type.visit(object, [&](const std::string&, const void*) { any = true; });
    return any;
  }

  [[nodiscard]] std::string Comment(const ValueType& type, const void* object,
                                    const std::string& path) const {
    std::vector<std::string> parts;
    if (type.kind == Kind::kSecret) {
      const Scalar value = type.fetch(object);
      if (std::get<Secret>(value).is_set())
        parts.push_back(Printable(std::get<Secret>(value).reference(), 256));
    }
    if (provenance_ != nullptr) {
      auto source = provenance_->find(path);
      if (source == provenance_->end()) source = provenance_->find(path + "[0]");
      if (source != provenance_->end()) parts.push_back("from " + Printable(source->second, 256));
    }
    return parts.empty() ? "" : fmt::format("  # {}", fmt::join(parts, ", "));
  }

  const Provenance* provenance_;
  std::string text_;
};

using Items = std::vector<std::pair<std::string, const void*>>;

Items ItemsOf(const ValueType& type, const void* object) {
  Items items;
  type.visit(object, [&](const std::string& key, const void* element) { items.emplace_back(key, element); });
  return items;
}

bool Equal(const ValueType& type, const void* a, const void* b) {
  if (internal::IsScalar(type.kind)) return type.fetch(a) == type.fetch(b);
  if (type.kind == Kind::kStruct) {
    return std::all_of(type.fields.begin(), type.fields.end(), [&](const FieldDescriptor& field) {
      return Equal(*field.type, Locate(field, a), Locate(field, b));
    });
  }
  const Items left = ItemsOf(type, a);
  const Items right = ItemsOf(type, b);
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [&](const auto& x, const auto& y) {
    return x.first == y.first && Equal(*type.element, x.second, y.second);
  });
}

class Differ {
 public:
  void DiffStruct(const ValueType& type, const void* a, const void* b, const std::string& path) {
    for (const FieldDescriptor& field : type.fields) {
      DiffValue(*field.type, field, Locate(field, a), Locate(field, b), JoinPath(path, field.name));
    }
  }

  [[nodiscard]] std::vector<Change> Take() { return std::move(changes_); }

 private:
  void DiffValue(const ValueType& type, const FieldDescriptor& field, const void* a, const void* b,
                 const std::string& path) {
    if (type.kind == Kind::kStruct) return DiffStruct(type, a, b, path);
    if (type.kind == Kind::kMap) return DiffMap(type, field, a, b, path);
    if (type.kind == Kind::kOptional) {
      const Items left = ItemsOf(type, a);
      const Items right = ItemsOf(type, b);
      if (left.size() == 1 && right.size() == 1) {
        return DiffValue(*type.element, field, left[0].second, right[0].second, path);
      }
    }
    if (!Equal(type, a, b))
      changes_.push_back({path, field.reload, FormatFlow(type, a), FormatFlow(type, b)});
  }

  void DiffMap(const ValueType& type, const FieldDescriptor& field, const void* a, const void* b,
               const std::string& path) {
    std::map<std::string, std::pair<const void*, const void*>> both;
    for (const auto& [key, element] : ItemsOf(type, a)) both[key].first = element;
    for (const auto& [key, element] : ItemsOf(type, b)) both[key].second = element;
    for (const auto& [key, pair] : both) {
      const std::string entry = JoinPath(path, Printable(key));
      const auto& [left, right] = pair;
      if (left != nullptr && right != nullptr) {
        DiffValue(*type.element, field, left, right, entry);
      } else {
        changes_.push_back({entry, field.reload, left != nullptr ? FormatFlow(*type.element, left) : "",
                            right != nullptr ? FormatFlow(*type.element, right) : ""});
      }
    }
  }

  std::vector<Change> changes_;
};

}  // namespace

std::string ReferenceOf(const ValueType& type) {
  ReferenceWriter writer;
  writer.Write(type, type.make().get(), "", "");
  return writer.Take();
}

std::string EffectiveYamlOf(const ValueType& type, const void* object, const Provenance* provenance) {
  YamlWriter writer(provenance);
  writer.WriteStruct(type, object, "", 0);
  return writer.Take();
}

std::vector<Change> DiffOf(const ValueType& type, const void* before, const void* after) {
  Differ differ;
  differ.DiffStruct(type, before, after, "");
  return differ.Take();
}

}  // namespace mezzo::config
