#include "mezzo/lifecycle/internal/registry_rows.h"

#include "mezzo/base/strings.h"

namespace mezzo::lifecycle::internal {

ModelRecord ModelAt(const storage::SqlRows& rows, std::size_t row) {
  ModelRecord model;
  model.id = rows.Text(row, 0);
  model.name = rows.Text(row, 1);
  model.tenant = TenantId(rows.Text(row, 2));
  model.description = rows.Text(row, 3);
  model.revision = rows.Int(row, 4);
  model.created = FromMicros(rows.Int(row, 5));
  model.created_by = rows.Text(row, 6);
  model.updated = FromMicros(rows.Int(row, 7));
  return model;
}

VersionRecord VersionAt(const storage::SqlRows& rows, std::size_t row) {
  VersionRecord version;
  std::size_t column = 0;
  version.model_id = rows.Text(row, column++);
  version.model = rows.Text(row, column++);
  version.version = rows.Int(row, column++);
  version.state = ParseVersionState(rows.Text(row, column++)).value_or(VersionState::kArchived);
  version.reason = rows.Text(row, column++);
  version.digest = rows.Text(row, column++);
  version.bytes = static_cast<ByteCount>(rows.Int(row, column++));
  version.files = static_cast<std::size_t>(rows.Int(row, column++));
  version.description = rows.Text(row, column++);
  version.stage = rows.Text(row, column++);
  version.lineage.data = rows.Text(row, column++);
  version.lineage.code = rows.Text(row, column++);
  version.lineage.metrics = rows.Text(row, column++);
  if (!rows.IsNull(row, column)) version.lineage.parent = rows.Int(row, column);
  ++column;
  version.lineage.run_id = rows.Text(row, column++);
  version.lineage.source = rows.Text(row, column++);
  version.revision = rows.Int(row, column++);
  version.created = FromMicros(rows.Int(row, column++));
  version.created_by = rows.Text(row, column++);
  version.updated = FromMicros(rows.Int(row, column));
  return version;
}

Error NoModel(std::string_view name) {
  return NotFound("registry_model_unknown", "the registry has no model '" + Printable(name) + "'");
}

Error NoVersion(std::string_view model, std::int64_t version) {
  return NotFound("registry_version_unknown",
                  "model '" + Printable(model) + "' has no version " + std::to_string(version));
}

}  // namespace mezzo::lifecycle::internal
