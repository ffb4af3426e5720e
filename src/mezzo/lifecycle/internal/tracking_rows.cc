#include "mezzo/lifecycle/internal/tracking_rows.h"

#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/internal/registry_rows.h"

namespace mezzo::lifecycle::internal {

using storage::SqlRows;

std::string OwnerOf(const TenantId& tenant, std::int64_t experiment) {
  return experiment == kDefaultExperiment ? "e0/" + tenant.str() : "e" + std::to_string(experiment);
}

ExperimentRecord ExperimentAt(const SqlRows& rows, std::size_t row) {
  ExperimentRecord experiment;
  experiment.id = rows.Int(row, 0);
  experiment.name = rows.Text(row, 1);
  experiment.created = FromMicros(rows.Int(row, 2));
  experiment.updated = FromMicros(rows.Int(row, 3));
  experiment.deleted = rows.Int(row, 4) != 0;
  return experiment;
}

RunRecord TrackedRunAt(const SqlRows& rows, std::size_t row) {
  RunRecord run;
  run.id = rows.Text(row, 0);
  run.experiment = rows.Int(row, 1);
  run.name = rows.Text(row, 2);
  run.user = rows.Text(row, 3);
  run.status = rows.Text(row, 4);
  run.started_ms = rows.Int(row, 5);
  if (!rows.IsNull(row, 6)) run.ended_ms = rows.Int(row, 6);
  run.deleted = rows.Int(row, 7) != 0;
  return run;
}

Result<std::vector<Fact>> FactsOf(storage::SqlSession& session, storage::SqlDialect dialect,
                                  std::vector<std::string> owners) {
  // Each owner by itself: without statistics a database would walk over everything.
  static constexpr std::string_view kSql[] = {
      "SELECT f.owner, f.kind, f.fact_key, f.fact_value FROM json_each($1) o JOIN tracking_facts f "
      "ON f.owner = o.value ORDER BY f.owner, f.kind, f.fact_key",
      "SELECT f.* FROM unnest($1::text[]) AS o(owner) CROSS JOIN LATERAL (SELECT owner, kind, fact_key, "
      "fact_value FROM tracking_facts t WHERE t.owner = o.owner OFFSET 0) f "
      "ORDER BY f.owner, f.kind, f.fact_key"};
  MEZZO_TRY(const SqlRows rows, session.Run(kSql[static_cast<std::size_t>(dialect)], {std::move(owners)}));
  std::vector<Fact> facts;
  facts.reserve(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    facts.push_back({rows.Text(row, 0), rows.Text(row, 1), rows.Text(row, 2), rows.Text(row, 3)});
  }
  return facts;
}

Error NoExperiment(const std::string& which) {
  return NotFound("tracking_experiment_unknown", "there is no experiment " + which);
}
Error NoTrackedRun(const std::string& id) {
  return NotFound("tracking_run_unknown", "there is no run '" + Printable(id, 64) + "'");
}
Error NoTag(const std::string& key) {
  return NotFound("tracking_tag_unknown", "there is no tag '" + Printable(key) + "'");
}

}  // namespace mezzo::lifecycle::internal
