#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/pipeline_run.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle::internal {

inline std::int64_t Micros(WallTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}
inline std::int64_t Micros(Duration time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}
inline WallTime FromMicros(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }
inline std::optional<WallTime> MaybeMicros(const storage::SqlRows& rows, std::size_t row,
                                           std::size_t column) {
  if (rows.IsNull(row, column)) return std::nullopt;
  return FromMicros(rows.Int(row, column));
}

/// Of "body, revision, text".
inline Result<PipelineRun> RunAt(const storage::SqlRows& rows, std::size_t row) {
  MEZZO_TRY(PipelineSpec spec, ParseKeptSpec(rows.Text(row, 2)));
  MEZZO_TRY(PipelineRun run,
            PipelineRun::FromJson(rows.Text(row, 0), std::make_shared<const PipelineSpec>(std::move(spec)),
                                  rows.Text(row, 2)));
  run.revision = rows.Int(row, 1);
  return run;
}

}  // namespace mezzo::lifecycle::internal
