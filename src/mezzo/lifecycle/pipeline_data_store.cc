#include <nlohmann/json.hpp>

#include "mezzo/lifecycle/internal/pipeline_rows.h"
#include "mezzo/lifecycle/pipeline_store.h"

namespace mezzo::lifecycle {

using internal::Micros;
using storage::SqlRows;
using storage::SqlSession;

Result<std::vector<PipelineStore::DataTrigger>> PipelineStore::DataTriggers(const DataTrigger& after,
                                                                            std::size_t limit,
                                                                            TimePoint deadline) {
  std::vector<DataTrigger> triggers;
  const auto work = [&](SqlSession& session) -> Result<void> {
    triggers.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT t.pipeline, t.dataset, t.below, t.settle_us, w.state, w.error, w.revision "
                          "FROM pipeline_triggers t LEFT JOIN pipeline_watches w ON w.pipeline = t.pipeline "
                          "AND w.dataset = t.dataset AND w.below = t.below WHERE t.dataset <> '' AND "
                          "(t.pipeline > $1 OR (t.pipeline = $1 AND (t.dataset > $2 OR (t.dataset = $2 AND "
                          "t.below > $3)))) ORDER BY t.pipeline, t.dataset, t.below LIMIT $4",
                          {after.pipeline, after.dataset, after.prefix, static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      DataTrigger one{.pipeline = rows.Text(row, 0),
                      .dataset = rows.Text(row, 1),
                      .prefix = rows.Text(row, 2),
                      .settle = std::chrono::microseconds(rows.Int(row, 3))};
      if (!rows.IsNull(row, 4)) {
        MEZZO_TRY(one.watch, DataWatch::FromJson(rows.Text(row, 4)));
        one.error = rows.Text(row, 5);
        one.revision = rows.Int(row, 6);
      }
      triggers.push_back(std::move(one));
    }
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  return triggers;
}

Result<bool> PipelineStore::KeepWatch(const DataTrigger& known, const DataWatch& next,
                                      const std::string& error, bool fire, TimePoint deadline) {
  bool kept = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    kept = false;
    // The pipeline's row first, as everybody locks them.
    MEZZO_TRY(const SqlRows row,
              session.Run("UPDATE pipelines SET updated_us = updated_us WHERE name = $1 RETURNING name",
                          {known.pipeline}));
    if (row.empty()) return {};
    MEZZO_TRY(const SqlRows watching, session.Run("SELECT number FROM pipeline_triggers WHERE pipeline = $1 "
                                                  "AND dataset = $2 AND below = $3",
                                                  {known.pipeline, known.dataset, known.prefix}));
    if (watching.empty()) return {};
    MEZZO_TRY(
        const SqlRows written,
        known.revision == 0
            ? session.Run("INSERT INTO pipeline_watches (pipeline, dataset, below, revision, state, "
                          "error, updated_us) VALUES ($1, $2, $3, 1, $4, $5, $6) "
                          "ON CONFLICT (pipeline, dataset, below) DO NOTHING",
                          {known.pipeline, known.dataset, known.prefix, next.ToJson(), error, NowMicros()})
            : session.Run("UPDATE pipeline_watches SET revision = revision + 1, state = $4, "
                          "error = $5, updated_us = $6 WHERE pipeline = $1 AND dataset = $2 AND "
                          "below = $3 AND revision = $7",
                          {known.pipeline, known.dataset, known.prefix, next.ToJson(), error, NowMicros(),
                           known.revision}));
    if (written.affected() == 0) return {};
    kept = true;
    if (!fire) return {};
    const DataSight& sight = *next.taken;
    const nlohmann::ordered_json detail = {{"dataset", known.dataset},
                                           {"prefix", known.prefix},
                                           {"files", sight.files},
                                           {"bytes", sight.bytes},
                                           {"digest", sight.digest}};
    MEZZO_TRY_VOID(StartIn(session, known.pipeline,
                           {.kind = std::string(TriggerKindName(TriggerKind::kData)),
                            .who = "mezzo",
                            .at = ports_.clock.WallNow(),
                            .key = known.dataset + "/" + known.prefix,
                            .detail = detail.dump()}));
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Transact(work, deadline));
  return kept;
}

}  // namespace mezzo::lifecycle
