// Filters of MLflow's searches: what is taken is sound and bounded, and survives being written and read
// again.

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

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

std::string TextOf(const lifecycle::TrackingCondition& condition, Searched searched) {
  using C = lifecycle::SearchComparison;
  using F = lifecycle::TrackingField;
  constexpr std::string_view kSigns[] = {"=",  "!=", "LIKE", "ILIKE",  "IN",      "",           "<",
                                         "<=", ">",  ">=",   "NOT IN", "IS NULL", "IS NOT NULL"};
  constexpr std::string_view kFields[] = {"metrics.", "params.",       "run_id",        "status",
                                          "user_id",  "start_time",    "end_time",      "tags.",
                                          "run_name", "experiment_id", "creation_time", "last_update_time"};
  const bool name = condition.field == F::kName && searched == Searched::kExperiments;
  std::string text(name ? "name" : kFields[static_cast<std::size_t>(condition.field)]);
  if (text.ends_with('.')) text += Quoted(condition.key, '`');
  text += " " + std::string(kSigns[static_cast<std::size_t>(condition.comparison)]) + " ";
  if (condition.field == F::kMetric) {
    MEZZO_CHECK(std::isfinite(condition.real));
    return text + fmt::format("{}", condition.real);
  }
  if (condition.field == F::kStarted || condition.field == F::kEnded || condition.field == F::kCreated ||
      condition.field == F::kUpdated) {
    return text + std::to_string(condition.number);
  }
  const bool list = condition.comparison == C::kIn || condition.comparison == C::kNotIn;
  MEZZO_CHECK(list || condition.values.size() <= 1);
  if (!list) return text + (condition.values.empty() ? "" : Quoted(condition.values.front(), '\''));
  std::string all;
  for (const std::string& value : condition.values) all += (all.empty() ? "" : ",") + Quoted(value, '\'');
  return text + "(" + all + ")";
}

/// What a search of runs or experiments takes survives being written and read again; so does an order.
void CheckTracked(std::string_view text, Searched searched) {
  if (const auto conditions = ParseTrackingFilter(text, searched); conditions.ok()) {
    std::string again;
    for (const auto& condition : *conditions) {
      again += (again.empty() ? "" : " AND ") + TextOf(condition, searched);
    }
    if (again.size() <= 4096) {
      const auto second = ParseTrackingFilter(again, searched);
      MEZZO_CHECK(second.ok());
      MEZZO_CHECK(*second == *conditions);
    }
  } else {
    MEZZO_CHECK(conditions.error().reason() == "mlflow_filter" && !conditions.error().message().empty());
  }
  if (const auto order = ParseTrackingOrder({std::string(text)}, searched); order.ok()) {
    MEZZO_CHECK(order->size() == 1);
    const auto& key = order->front();
    const lifecycle::TrackingCondition column{
        .field = key.field, .key = key.key, .comparison = lifecycle::SearchComparison::kAbsent};
    std::string again = TextOf(column, searched);
    again = again.substr(0, again.rfind(" IS NULL")) + (key.down ? " DESC" : "");
    const auto second = ParseTrackingOrder({again}, searched);
    MEZZO_CHECK(again.size() > 4096 || (second.ok() && *second == *order));
  } else {
    MEZZO_CHECK(order.error().reason() == "mlflow_order" && !order.error().message().empty());
  }
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
  CheckTracked(text, Searched::kRuns);
  CheckTracked(text, Searched::kExperiments);
  if (const auto source = ParseSource(text); source.ok()) {
    MEZZO_CHECK(source->id.find('/') == std::string::npos && !source->id.empty());
    MEZZO_CHECK(("/" + source->folder + "/").find("/../") == std::string::npos);
  }
  return 0;
}
