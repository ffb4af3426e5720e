// Filters of MLflow's searches: what is taken is sound and bounded, and survives being written and read
// again.

#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/api/mlflow/filter.h"
#include "mezzo/api/mlflow/source.h"
#include "mezzo/base/check.h"

using namespace mezzo;               // NOLINT(google-build-using-namespace): a program of one file.
using namespace mezzo::api::mlflow;  // NOLINT(google-build-using-namespace)

namespace {

using lifecycle::RegistryCondition;

std::string Quoted(std::string_view text, char quote) {
  std::string quoted(1, quote);
  for (const char c : text) {
    quoted += c;
    if (c == quote) quoted += c;
  }
  return quoted + quote;
}

std::string TextOf(const RegistryCondition& condition) {
  using Comparison = RegistryCondition::Comparison;
  constexpr std::string_view kSigns[] = {"=", "!=", "LIKE", "ILIKE", "IN", "!=", "<", "<=", ">", ">="};
  constexpr std::string_view kFields[] = {"name", "tags.", "run_id", "source_path", "version_number"};
  std::string text(kFields[static_cast<std::size_t>(condition.field)]);
  if (condition.field == RegistryCondition::Field::kTag) text += Quoted(condition.key, '`');
  text += " " + std::string(kSigns[static_cast<std::size_t>(condition.comparison)]) + " ";
  if (condition.field == RegistryCondition::Field::kVersion) return text + std::to_string(condition.number);
  if (condition.comparison != Comparison::kIn) return text + Quoted(condition.values.front(), '\'');
  std::string list;
  for (const std::string& value : condition.values) list += (list.empty() ? "" : ",") + Quoted(value, '\'');
  return text + "(" + list + ")";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Searched searched : {Searched::kModels, Searched::kVersions, Searched::kLoggedModels}) {
    const auto conditions = ParseFilter(text, searched);
    if (!conditions.ok()) {
      MEZZO_CHECK(conditions.error().reason() == "mlflow_filter" && !conditions.error().message().empty());
      continue;
    }
    std::string again;
    for (const RegistryCondition& condition : *conditions) {
      const bool number = condition.field == RegistryCondition::Field::kVersion;
      MEZZO_CHECK(number || !condition.values.empty());
      again += (again.empty() ? "" : " AND ") + TextOf(condition);
    }
    if (searched == Searched::kLoggedModels || again.size() > 4096) continue;  // Quotes make it longer.
    const auto second = ParseFilter(again, searched);
    MEZZO_CHECK(second.ok());
    MEZZO_CHECK(*second == *conditions);
  }
  if (const auto source = ParseSource(text); source.ok()) {
    MEZZO_CHECK(source->id.find('/') == std::string::npos && !source->id.empty());
    MEZZO_CHECK(("/" + source->folder + "/").find("/../") == std::string::npos);
  }
  return 0;
}
