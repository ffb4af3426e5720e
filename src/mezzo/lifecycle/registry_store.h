#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry.h"
#include "mezzo/lifecycle/retire_plan.h"
#include "mezzo/lifecycle/version_events.h"
#include "mezzo/lifecycle/version_uses.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

/// Told, with the model's name, after every change of what its names stand for: aliases, states, versions.
inline constexpr std::string_view kRegistryChannel = "mezzo_registry";

/// Registered models, their versions, aliases, tags and history, in the database. Each change is one
/// transaction with its lines of the history; changes of one model come one after the other. `by` is who
/// makes the change. Blocks. Thread-safe; many hosts share one database.
///
/// Errors beyond those named: kNotFound "registry_model_unknown", "registry_version_unknown";
/// kInvalidArgument "registry_model_name", "registry_alias_name", "registry_tag", "registry_text_too_long";
/// kFailedPrecondition "registry_conflict" when it is not at `if_revision` any more; kResourceExhausted
/// "registry_full"; SqlDb's.
class RegistryStore {
 public:
  struct Options {
    std::size_t max_models = 100'000;
    std::size_t max_versions = 10'000;  ///< Of a model.
    std::size_t max_aliases = 100;      ///< Of a model.
    std::size_t max_tags = 100;         ///< Of a model, and of a version.
    std::size_t max_text = 16'384;      ///< Bytes of a description, of metrics.
    std::size_t max_tag_value = 5000;
    bool tracked = false;  ///< What TrackingStore's artifacts have is no garbage either.
  };
  /// `db` and `clock` outlive the store.
  RegistryStore(Options options, storage::SqlDb& db, const Clock& clock);

  /// Who else depends on what is here; outlives the store. Before the first call of the others.
  void set_uses(VersionUses* uses) { uses_ = uses; }
  /// Who is told of retirements, in their transactions. Before the first call of the others.
  void set_outbox(VersionOutbox outbox) { outbox_ = std::move(outbox); }

  // --- Models

  /// kAlreadyExists "registry_model_exists".
  Result<ModelRecord> CreateModel(const NewModel& model, const std::string& by, TimePoint deadline);
  Result<ModelRecord> GetModel(const std::string& name, TimePoint deadline);
  Result<ModelRecord> ChangeModel(const std::string& name, const ModelChange& change, const std::string& by,
                                  TimePoint deadline);
  /// kAlreadyExists "registry_model_exists"; kFailedPrecondition "registry_model_in_use" while a route or a
  /// release names it.
  Result<ModelRecord> RenameModel(const std::string& name, const std::string& to, const std::string& by,
                                  TimePoint deadline);
  /// With all its versions; its history stays. kFailedPrecondition "registry_model_in_use".
  Result<void> DeleteModel(const std::string& name, const std::string& by, TimePoint deadline);
  /// kInvalidArgument "registry_page_token", "registry_pattern".
  Result<RegistryPage<ModelRecord>> ListModels(const ModelQuery& query, const std::string& token,
                                               std::size_t limit, TimePoint deadline);

  /// Of the model, or of a version. Setting a tag again replaces it.
  Result<void> SetTag(const std::string& model, std::optional<std::int64_t> version, const std::string& key,
                      const std::string& value, const std::string& by, TimePoint deadline);
  /// kNotFound "registry_tag_unknown".
  Result<void> DeleteTag(const std::string& model, std::optional<std::int64_t> version,
                         const std::string& key, const std::string& by, TimePoint deadline);

  // --- Aliases

  /// Points the alias at the version, in one step. With `if_version`: only while it points there (0: while
  /// there is no such alias). kFailedPrecondition "registry_version_not_ready"; kInvalidArgument
  /// "registry_alias_reserved".
  Result<void> SetAlias(const std::string& model, const std::string& alias, std::int64_t version,
                        std::optional<std::int64_t> if_version, const std::string& by, TimePoint deadline);
  /// kNotFound "registry_alias_unknown"; kFailedPrecondition "registry_alias_in_use" while a route names it.
  Result<void> DeleteAlias(const std::string& model, const std::string& alias, const std::string& by,
                           TimePoint deadline);
  /// The version that a number, an alias or "latest" names. kNotFound "registry_alias_unknown".
  Result<VersionRecord> Resolve(const std::string& model, const std::string& name, TimePoint deadline);

  // --- Versions

  /// The next number. It is `uploading` when its manifest has files, else `ready` at once: there is nothing
  /// to wait for.
  Result<VersionRecord> CreateVersion(const std::string& model, const NewVersion& version,
                                      const std::string& by, TimePoint deadline);
  Result<VersionRecord> GetVersion(const std::string& model, std::int64_t version, TimePoint deadline);
  Result<VersionRecord> ChangeVersion(const std::string& model, std::int64_t version,
                                      const VersionChange& change, const std::string& by, TimePoint deadline);
  /// kFailedPrecondition "registry_version_state" when it is not in `from`, or the step is not legal;
  /// "registry_version_aliased" when it would be archived while an alias points at it, "version_in_use" while
  /// a route or a release needs it.
  Result<VersionRecord> SetState(const std::string& model, std::int64_t version, const StateChange& change,
                                 const std::string& by, TimePoint deadline);
  /// Which route or release names the version, of those that the database has; empty: none does.
  Result<std::string> UserOf(const std::string& model, std::int64_t version, TimePoint deadline);
  /// With its aliases. kFailedPrecondition "version_in_use" while a route or a release needs it.
  Result<void> DeleteVersion(const std::string& model, std::int64_t version, const std::string& by,
                             TimePoint deadline);
  /// kInvalidArgument "registry_page_token", "registry_pattern".
  Result<RegistryPage<VersionRecord>> ListVersions(const VersionQuery& query, const std::string& token,
                                                   std::size_t limit, TimePoint deadline);
  /// The newest version of each stage that a version of these models has; the models by their ids.
  Result<std::vector<VersionRecord>> NewestByStage(const std::vector<std::string>& model_ids,
                                                   TimePoint deadline);
  /// Of all versions of the model.
  Result<std::map<std::int64_t, VersionState>> StatesOf(const std::string& model, TimePoint deadline);
  /// By path.
  Result<std::vector<ManifestFile>> FilesOf(const std::string& model, std::int64_t version,
                                            TimePoint deadline);

  // --- Uploads and what nobody needs any more

  /// The size of a content that a version which is being uploaded waits for; nothing when none does. Counts
  /// as life of those versions.
  Result<std::optional<ByteCount>> ExpectContent(const std::string& sha256, TimePoint deadline);
  /// Removes versions that have been `uploading` without life since before `before`, `limit` at most. How
  /// many.
  Result<std::size_t> ExpireUploads(WallTime before, std::size_t limit, TimePoint deadline);
  /// Calls `remove` for contents that no version has had since before `before`, `limit` at most, in a
  /// transaction that a new version with this content waits for. How many.
  Result<std::size_t> CollectGarbage(WallTime before, std::size_t limit,
                                     const std::function<Result<void>(const std::string& sha256)>& remove,
                                     TimePoint deadline);

  // --- Retirement (registry_retirement.cc; with RetirementMigrations())

  /// A host has answered by these versions lately. Those that are not registered are left out.
  Result<void> NoteTraffic(const std::vector<std::pair<std::string, std::int64_t>>& versions,
                           TimePoint deadline);
  /// What is kept of versions and models that have been deleted.
  Result<void> ForgetRetirementsOfDeleted(TimePoint deadline);
  /// Versions whose retirement has begun, archiving ones too; or ready ones without a call or a change since
  /// before `idle_before`. Those that have waited longest come first, behind `after`, `limit` at most.
  Result<std::vector<RetireCandidate>> RetireCandidates(const RetireQuery& query, TimePoint deadline);
  struct RetireStep {
    RetireStage from = RetireStage::kServing;
    RetireStage to = RetireStage::kWarned;
    bool by_hand = false;
    std::string reason;
  };
  /// One step, with its line of the history ("version_retirement"; at kArchiving the state turns archived, at
  /// kArchived the files are away) and its event: "version.retirement." and "warned", "draining",
  /// "archiving", "archived" or "undone". False, and nothing is changed, when the version is not at `from`
  /// any more. kFailedPrecondition "version_in_use" when a step forward meets a route, an alias or a release
  /// that names it (one by hand is told of: "version.retirement.refused"), "registry_version_state" when the
  /// version is not ready.
  Result<bool> StepRetirement(const std::string& model, std::int64_t version, const RetireStep& step,
                              const std::string& by, TimePoint deadline);
  /// Makes an archived version ready and ends its retirement, with the lines of the history and the event
  /// "version.retirement.undone". kFailedPrecondition "registry_version_state" when it is not archived.
  Result<void> RestoreArchived(const std::string& model, std::int64_t version, const std::string& by,
                               TimePoint deadline);
  /// At which stage it is; kServing when nothing has begun, kArchived of an archived one.
  Result<RetireStage> RetirementOf(const std::string& model, std::int64_t version, TimePoint deadline);
  /// A version on its way out of service, or out of it.
  struct RetiringVersion {
    std::string model;
    std::int64_t version = 0;
    RetireStage stage = RetireStage::kWarned;
    bool by_hand = false;  ///< Somebody has begun it; of archived ones this is no longer known.
    WallTime since;
    std::optional<WallTime> last_call;  ///< By any host, as far as hosts have said so.
  };
  /// All whose retirement has begun, and all that are archived: at most `limit`, those that have moved last
  /// first. `tenant`: of its models and those of nobody; nullopt: of all.
  Result<std::vector<RetiringVersion>> Retirements(const std::optional<TenantId>& tenant, std::size_t limit,
                                                   TimePoint deadline);
  /// Models and versions at that stage.
  Result<std::set<std::pair<std::string, std::int64_t>>> VersionsAt(RetireStage stage, TimePoint deadline);
  /// SHA-256 of the version's contents that no version has which is not archived.
  Result<std::vector<std::string>> ContentsOfArchived(const std::string& model, std::int64_t version,
                                                      TimePoint deadline);
  /// What the models that have the tag say, by model.
  Result<std::map<std::string, std::string>> TagOfModels(const std::string& key, TimePoint deadline);

  // --- History

  struct HistoryQuery {
    std::optional<std::int64_t> version;
    std::string alias;
    std::int64_t before = 0;  ///< Only lines below this number; 0: the newest first.
  };
  /// The newest first; also of models that are gone.
  Result<std::vector<RegistryEvent>> History(const std::string& model, const HistoryQuery& query,
                                             std::size_t limit, TimePoint deadline);
  /// What the model's names stood for at `at`, and which hosts served what.
  Result<RegistryMoment> At(const std::string& model, WallTime at, TimePoint deadline);
  /// A host has begun or ended to serve a version.
  Result<void> NoteServing(const std::string& model, std::int64_t version, const std::string& host,
                           bool begun, TimePoint deadline);

 private:
  struct Locked;
  Result<Locked> Lock(storage::SqlSession& session, const std::string& model) const;
  Result<void> Note(storage::SqlSession& session, const Locked& model, std::optional<std::int64_t> version,
                    std::string kind, std::string field, std::string before, std::string after,
                    const std::string& by) const;
  Result<void> RemoveVersion(storage::SqlSession& session, const Locked& model, std::int64_t version,
                             const std::string& by) const;
  [[nodiscard]] Result<void> CheckTags(const Tags& tags) const;
  [[nodiscard]] Result<void> CheckText(std::string_view what, std::string_view text) const;
  Result<std::vector<ModelRecord>> Complete(storage::SqlSession& session,
                                            std::vector<ModelRecord> models) const;
  Result<std::vector<VersionRecord>> Complete(storage::SqlSession& session,
                                              std::vector<VersionRecord> versions) const;
  Result<ModelRecord> ReadModel(storage::SqlSession& session, const std::string& name) const;
  Result<VersionRecord> ReadVersion(storage::SqlSession& session, const std::string& model,
                                    std::int64_t version) const;
  [[nodiscard]] std::int64_t NowMicros() const;
  Result<void> CheckUnused(storage::SqlSession& session, const std::string& model,
                           std::optional<std::int64_t> version) const;
  Result<void> TellRetirement(storage::SqlSession& session, const Locked& model, std::int64_t version,
                              const std::string& what, RetireStage from, const std::string& reason,
                              const std::string& by) const;

  const Options options_;
  storage::SqlDb& db_;
  const Clock& clock_;
  VersionUses* uses_ = nullptr;
  VersionOutbox outbox_;
};

}  // namespace mezzo::lifecycle
