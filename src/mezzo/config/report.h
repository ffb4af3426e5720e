#pragma once

#include <string>
#include <vector>

#include "mezzo/config/load.h"
#include "mezzo/config/schema.h"

namespace mezzo::config {

/// One path whose value differs. Secrets are shown as "***".
struct Change {
  std::string path;
  Reload reload = Reload::kRestart;
  std::string before;  ///< As YAML flow text; empty when the path did not exist (a new map entry).
  std::string after;
};

/// The erased forms of the templates below.
std::string ReferenceOf(const ValueType& type);
std::string EffectiveYamlOf(const ValueType& type, const void* object, const Provenance* provenance);
std::vector<Change> DiffOf(const ValueType& type, const void* before, const void* after);

/// Every key as Markdown tables, one per section: key, type, default, bounds, reload, meaning.
template <typename T>
std::string Reference() {
  return ReferenceOf(TypeOf<T>());
}

/// Every key and its value as YAML that loads to the same values, except that secrets are "***" with their
/// reference as a comment. With `provenance`, each given value is followed by its source as a comment.
template <typename T>
std::string EffectiveYaml(const T& value, const Provenance* provenance = nullptr) {
  return EffectiveYamlOf(TypeOf<T>(), &value, provenance);
}

/// What changed from `before` to `after`, in the order of the schema. Lists change as a whole; so do entries
/// that a map gained or lost. Those carry the kind of the list or map itself, everything else that of its
/// field.
template <typename T>
std::vector<Change> Diff(const T& before, const T& after) {
  return DiffOf(TypeOf<T>(), &before, &after);
}

}  // namespace mezzo::config
