#include "mezzo/config/schema.h"

#include <map>
#include <set>

#include "mezzo/config/internal/decode.h"
#include "mezzo/config/internal/overrides.h"
#include "mezzo/config/internal/scalar.h"

namespace mezzo::config {
namespace {

Error Faulty(const std::string& path, const std::string& what) {
  return Internal("config_schema", path + " " + what);
}

bool IsFieldName(const std::string& name) {
  return !name.empty() && name[0] >= 'a' && name[0] <= 'z' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
}

Result<void> CheckFields(const ValueType& type, const void* object, const std::string& path);

/// Whether the value `object` obeys its own field, and the schema below it is sound.
Result<void> CheckValue(const ValueType& type, const FieldDescriptor& field, const void* object,
                        const std::string& path) {
  if (type.kind == Kind::kStruct) return CheckFields(type, object, path);
  if (internal::IsScalar(type.kind)) {
    const Scalar value = type.fetch(object);
    if (const auto problem = internal::CheckBounds(type, field, value)) return Faulty(path, *problem);
    // Empty is how a text says that it is not given; whether it may be is for Required to say.
    if (type.kind == Kind::kText && !std::get<std::string>(value).empty()) {
      const std::size_t bytes = std::get<std::string>(value).size();
      if (const auto problem = internal::CheckLength(field.length, bytes, "bytes"))
        return Faulty(path, *problem);
    }
    return {};
  }
  Result<void> outcome;
  std::size_t items = 0;
  type.visit(object, [&](const std::string&, const void* element) {
    ++items;
    FieldDescriptor inner = field;
    if (type.kind != Kind::kOptional) inner.length = {};
    if (outcome.ok()) outcome = CheckValue(*type.element, inner, element, path);
  });
  MEZZO_TRY_VOID(std::move(outcome));
  if (type.kind != Kind::kOptional && items > 0) {
    if (const auto problem = internal::CheckLength(field.length, items, "items"))
      return Faulty(path, *problem);
  }
  // What an element would be by default must be sound too, unless there was one to look at.
  const ValueType* element = type.element;
  while (element->element != nullptr) element = element->element;
  if (element->kind == Kind::kStruct && items == 0) return CheckFields(*element, element->make().get(), path);
  return {};
}

Result<void> CheckFields(const ValueType& type, const void* object, const std::string& path) {
  std::set<std::string> seen;
  for (const FieldDescriptor& field : type.fields) {
    const std::string field_path = internal::JoinPath(path, field.name);
    if (!IsFieldName(field.name)) return Faulty(field_path, "must be a name of a-z, 0-9 and _");
    if (!seen.insert(field.name).second) return Faulty(field_path, "is declared twice");
    if (field.doc.empty()) return Faulty(field_path, "has no doc");
    if (field.min && field.max && *field.min > *field.max) return Faulty(field_path, "has an empty range");
    if (field.required && field.type->kind != Kind::kStruct) continue;  // It has no default to check.
    MEZZO_TRY_VOID(CheckValue(
        *field.type, field,
        field.locate(const_cast<void*>(object) /* NOLINT(*-const-cast): its address only */), field_path));
  }
  return {};
}

}  // namespace

Result<void> CheckSchema(const ValueType& type) {
  if (type.kind != Kind::kStruct) return Faulty("a schema", "must be a struct's");
  MEZZO_TRY_VOID(CheckFields(type, type.make().get(), ""));
  std::set<std::string> names;
  for (const auto& variable : internal::Variables(type, "MEZZO_")) {
    if (!names.insert(variable.first).second) {
      return Faulty(variable.first, "is the variable of two paths");
    }
  }
  return {};
}

}  // namespace mezzo::config
