#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/artifact_manifest.h"
#include "mezzo/lifecycle/tracking.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

/// Experiments, runs, logged models, and which files belong to them, in the database. Each change is one
/// transaction. What belongs to another tenant is unknown. Blocks. Thread-safe; many hosts share one
/// database.
///
/// Errors beyond those named: kNotFound "tracking_experiment_unknown", "tracking_run_unknown",
/// "tracking_model_unknown"; kInvalidArgument "tracking_value" (a key or a value that is too long or empty);
/// kResourceExhausted "tracking_full"; SqlDb's.
class TrackingStore {
 public:
  struct Options {
    std::size_t max_experiments = 1000;  ///< These four of a tenant.
    std::size_t max_runs = 20'000;
    std::size_t max_models = 20'000;
    ByteCount max_bytes = ByteCount{256} << 30;  ///< Of artifacts.
    std::size_t max_files = 2000;                ///< Of a run, and of a logged model.
    std::size_t max_uploads = 100;               ///< Of a tenant: files that come in parts, at the same time.
    std::size_t max_facts = 4000;                ///< Parameters, tags, data sets and outputs of one.
    std::size_t max_points = 20'000;             ///< Of a run.
    std::size_t max_key = 250;                   ///< Bytes.
    std::size_t max_value = 8000;
  };
  /// `db` and `clock` outlive the store. Its tables and the registry's lie in one database.
  TrackingStore(Options options, storage::SqlDb& db, const Clock& clock);

  // --- Experiments

  /// kAlreadyExists "tracking_experiment_exists".
  Result<ExperimentRecord> CreateExperiment(const TenantId& tenant, const std::string& name, const Tags& tags,
                                            TimePoint deadline);
  /// Deleted ones too.
  Result<ExperimentRecord> GetExperiment(const TenantId& tenant, std::int64_t id, TimePoint deadline);
  Result<ExperimentRecord> FindExperiment(const TenantId& tenant, const std::string& name,
                                          TimePoint deadline);
  /// kInvalidArgument "tracking_page_token": `token` (empty: from the beginning) is not where a page of this
  /// search ends; "registry_pattern".
  Result<RegistryPage<ExperimentRecord>> SearchExperiments(const TenantId& tenant,
                                                           const ExperimentQuery& query,
                                                           const std::string& token, std::size_t limit,
                                                           TimePoint deadline);
  /// kAlreadyExists "tracking_experiment_exists". These five, but for restoring: kFailedPrecondition
  /// "tracking_experiment_deleted"; the first three: "tracking_experiment_default" of the default one.
  Result<void> RenameExperiment(const TenantId& tenant, std::int64_t id, const std::string& name,
                                TimePoint deadline);
  /// With its runs, which no longer change.
  Result<void> DeleteExperiment(const TenantId& tenant, std::int64_t id, TimePoint deadline);
  /// With the runs that were deleted with it. kFailedPrecondition "tracking_experiment_active".
  Result<void> RestoreExperiment(const TenantId& tenant, std::int64_t id, TimePoint deadline);
  Result<void> SetExperimentTag(const TenantId& tenant, std::int64_t id, const std::string& key,
                                const std::string& value, TimePoint deadline);
  /// kNotFound "tracking_tag_unknown".
  Result<void> DeleteExperimentTag(const TenantId& tenant, std::int64_t id, const std::string& key,
                                   TimePoint deadline);
  /// Removes experiments that were deleted before `before` and have no runs any more, with their logged
  /// models, `limit` at most. How many.
  Result<std::size_t> ExpireExperiments(WallTime before, std::size_t limit, TimePoint deadline);

  // --- Runs

  struct NewRun {
    std::int64_t experiment = kDefaultExperiment;
    std::string name;
    std::string user;
    std::int64_t started_ms = 0;
    Tags tags;
  };
  /// kFailedPrecondition "tracking_experiment_deleted".
  Result<RunRecord> CreateRun(const TenantId& tenant, const NewRun& run, TimePoint deadline);
  Result<RunRecord> GetRun(const TenantId& tenant, const std::string& id, TimePoint deadline);
  struct RunChange {
    std::optional<std::string> name;
    std::optional<std::string> status;
    std::optional<std::int64_t> ended_ms;
    std::optional<bool> deleted;
  };
  /// kFailedPrecondition "tracking_run_deleted": a run that is deleted takes no change but being restored;
  /// "tracking_experiment_deleted": it is restored before its experiment.
  Result<RunRecord> ChangeRun(const TenantId& tenant, const std::string& id, const RunChange& change,
                              TimePoint deadline);
  /// With facts and metrics. Fails as SearchExperiments().
  Result<RegistryPage<RunRecord>> SearchRuns(const TenantId& tenant, const RunQuery& query,
                                             const std::string& token, std::size_t limit, TimePoint deadline);

  /// Removes runs that were deleted before `before`, with all that was noted of them and their files, `limit`
  /// at most. How many.
  Result<std::size_t> ExpireRuns(WallTime before, std::size_t limit, TimePoint deadline);

  struct RunNotes {
    std::vector<MetricPoint> metrics;
    Tags params;
    Tags tags;
    std::map<std::string, std::string> inputs;
    std::vector<RunOutput> outputs;
  };
  /// All of it or nothing. A tag is replaced. kInvalidArgument "tracking_param_changed": a parameter has
  /// another value already. kFailedPrecondition "tracking_run_deleted".
  Result<void> Note(const TenantId& tenant, const std::string& run, const RunNotes& notes,
                    TimePoint deadline);
  /// kNotFound "tracking_tag_unknown"; kFailedPrecondition "tracking_run_deleted".
  Result<void> DeleteRunTag(const TenantId& tenant, const std::string& run, const std::string& key,
                            TimePoint deadline);
  /// In the order they came; `offset` of them left out.
  Result<std::vector<MetricPoint>> MetricHistory(const TenantId& tenant, const std::string& run,
                                                 const std::string& key, std::size_t offset,
                                                 std::size_t limit, TimePoint deadline);

  // --- Logged models

  struct NewLoggedModel {
    std::int64_t experiment = kDefaultExperiment;
    std::string name;
    std::string run_id;
    std::string type;
    Tags params;
    Tags tags;
  };
  Result<LoggedModelRecord> CreateLoggedModel(const TenantId& tenant, const NewLoggedModel& model,
                                              const std::string& by, TimePoint deadline);
  Result<LoggedModelRecord> GetLoggedModel(const TenantId& tenant, const std::string& id, TimePoint deadline);
  struct LoggedModelChange {
    std::optional<std::string> status;
    Tags params;
    Tags tags;
    std::string without_tag;  ///< kNotFound "tracking_tag_unknown".
  };
  Result<LoggedModelRecord> ChangeLoggedModel(const TenantId& tenant, const std::string& id,
                                              const LoggedModelChange& change, TimePoint deadline);
  /// With its files.
  Result<void> DeleteLoggedModel(const TenantId& tenant, const std::string& id, TimePoint deadline);
  /// The newest first. Empty `name` and `run_id`: any. `after` is a model's id; empty: from the newest.
  Result<std::vector<LoggedModelRecord>> ListLoggedModels(const TenantId& tenant,
                                                          const std::vector<std::int64_t>& experiments,
                                                          const std::string& name, const std::string& run_id,
                                                          const std::string& after, std::size_t limit,
                                                          TimePoint deadline);

  // --- Files

  /// The place is waiting for this content, which is no garbage from now on. What lies there stays until
  /// CommitArtifact(). kInvalidArgument "manifest_duplicate": a file would be another's folder.
  Result<void> BeginArtifact(const ArtifactPlace& place, const ManifestFile& content, TimePoint deadline);
  /// The content is in the store: it takes the place. kFailedPrecondition "tracking_artifact_conflict": the
  /// place waits for another one meanwhile.
  Result<void> CommitArtifact(const ArtifactPlace& place, const ManifestFile& content, TimePoint deadline);
  /// kNotFound "tracking_artifact_unknown".
  Result<ManifestFile> FindArtifact(const ArtifactPlace& place, TimePoint deadline);
  /// All files at or below `place.path` (empty: all of the owner), by path, with their whole paths.
  Result<std::vector<ManifestFile>> ArtifactsBelow(const ArtifactPlace& place, TimePoint deadline);
  /// All at or below the place. How many.
  Result<std::size_t> DeleteArtifacts(const ArtifactPlace& place, TimePoint deadline);
  /// Removes files that were brought before `before` and whose content no version has, `limit` at most. How
  /// many.
  Result<std::size_t> ExpireArtifacts(WallTime before, std::size_t limit, TimePoint deadline);

  // --- Files in parts

  Result<void> BeginUpload(const ArtifactUpload& upload, TimePoint deadline);
  /// With `more` bytes that come in a part; what has come counts against the tenant's room. kNotFound
  /// "tracking_upload_unknown".
  Result<ArtifactUpload> GoOnWithUpload(const TenantId& tenant, const std::string& id, ByteCount more,
                                        TimePoint deadline);
  /// Whether it was there.
  Result<bool> EndUpload(const TenantId& tenant, const std::string& id, TimePoint deadline);
  /// Forgets those that began before `before`, `limit` at most. How many.
  Result<std::size_t> ExpireUploads(WallTime before, std::size_t limit, TimePoint deadline);

 private:
  struct Growth;
  Result<void> Grow(storage::SqlSession& session, const TenantId& tenant, const Growth& by) const;
  /// It is there and not deleted.
  Result<void> CheckExperiment(storage::SqlSession& session, const TenantId& tenant, std::int64_t id) const;
  Result<void> LockExperiment(storage::SqlSession& session, const TenantId& tenant, std::int64_t id) const;
  Result<void> Complete(storage::SqlSession& session, const TenantId& tenant,
                        std::vector<ExperimentRecord>& experiments) const;
  Result<void> CheckOwner(storage::SqlSession& session, const TenantId& tenant,
                          const std::string& owner) const;
  [[nodiscard]] Result<void> CheckFacts(const Tags& facts) const;
  Result<std::size_t> PutFacts(storage::SqlSession& session, const std::string& owner, const char* kind,
                               const Tags& facts) const;
  Result<void> Measure(storage::SqlSession& session, const TenantId& tenant, const std::string& run,
                       std::int64_t experiment, const std::vector<MetricPoint>& points) const;
  Result<void> Complete(storage::SqlSession& session, std::vector<RunRecord>& runs) const;
  Result<void> Complete(storage::SqlSession& session, std::vector<LoggedModelRecord>& models) const;
  Result<RunRecord> ReadRun(storage::SqlSession& session, const TenantId& tenant,
                            const std::string& id) const;
  Result<LoggedModelRecord> ReadModel(storage::SqlSession& session, const TenantId& tenant,
                                      const std::string& id) const;
  Result<void> RemoveFile(storage::SqlSession& session, const std::string& owner, const std::string& path,
                          const TenantId& tenant) const;
  Result<void> Discard(storage::SqlSession& session, const std::string& sha256) const;
  [[nodiscard]] std::int64_t NowMicros() const;

  const Options options_;
  storage::SqlDb& db_;
  const Clock& clock_;
};

}  // namespace mezzo::lifecycle
