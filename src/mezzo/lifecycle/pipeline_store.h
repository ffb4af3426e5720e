#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/lifecycle/data_watch.h"
#include "mezzo/lifecycle/pipeline.h"
#include "mezzo/lifecycle/pipeline_machine.h"
#include "mezzo/lifecycle/trigger_sink.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

/// Told, with an empty payload, when a pipeline or a run has changed.
inline constexpr const char* kPipelinesChannel = "mezzo_pipelines";

/// Of the module "pipelines".
std::span<const storage::Migration> PipelineMigrations();

/// What a webhook is told.
struct PipelineNotice {
  std::string id;  ///< Never the same for two.
  std::string run;
  TenantId tenant;
  std::string url;
  std::string type;  ///< "pipeline.run.started", ...
  std::string body;  ///< JSON: type, timestamp, data.
};
/// Puts notices where they are sent from, in the transaction that makes them true.
using PipelineOutbox = std::function<Result<void>(storage::SqlSession&, const std::vector<PipelineNotice>&)>;

/// A pipeline or template as it is kept.
struct PipelineRecord {
  std::string name;
  PipelineDocument::Kind kind = PipelineDocument::Kind::kPipeline;
  std::string description;
  std::string model;  ///< Empty: a template.
  TenantId tenant;
  std::string template_name;
  std::int64_t revision = 0;
  std::string text;  ///< As it was put.
  std::string body;  ///< Of a pipeline: with its template expanded.
  WallTime created;
  std::string created_by;
  WallTime updated;
  std::string updated_by;
  struct Trigger {
    std::string kind;
    std::string text;
    std::optional<WallTime> next;
    /// Of a folder that is watched.
    struct Watched {
      std::string dataset;
      std::string prefix;
      std::optional<DataWatch> seen;  ///< Nothing before the first look.
      std::string error;              ///< Why the last look failed; empty: it did not.
    };
    std::optional<Watched> watched;
  };
  std::vector<Trigger> triggers;
  struct Latest {
    std::string id;
    std::string state;
    WallTime created;
  };
  std::optional<Latest> latest;  ///< Of its runs.
};

struct PipelineRevision {
  std::int64_t revision = 0;
  WallTime at;
  std::string who;
  std::string why;
  std::string kind;  ///< "put", "template" (that of it was put), "deleted".
  std::string text;
};

/// Pipelines, their runs and triggers in the database. Each change is one transaction with its lines of the
/// history and its webhooks. Blocks. Thread-safe; many hosts share one database. `clock` is the hosts' shared
/// one.
///
/// Errors beyond those named: kNotFound "pipeline_missing", "pipeline_run_missing"; SqlDb's.
class PipelineStore final : public TriggerSink {
 public:
  struct Options {
    std::size_t max_pipelines = 10'000;  ///< With templates.
    std::size_t max_of_template = 2'000;
    std::int64_t kept_revisions = 200;  ///< Of a pipeline,
    std::int64_t kept_runs = 200;       ///< as of its runs that have ended.
    Duration kept_events = std::chrono::hours(24 * 30);
  };
  /// `outbox` and `check_webhook` (of a tenant's URL) may be null: then no pipeline may have a webhook.
  struct Ports {
    storage::SqlDb& db;
    const Clock& clock;
    PipelineOutbox outbox;
    std::function<Result<void>(const TenantId&, const std::string& url)> check_webhook;
  };
  PipelineStore(Options options, Ports ports) : options_(options), ports_(std::move(ports)) {}

  // --- Pipelines

  struct PutBy {
    std::string who;
    std::string why;
    TenantId tenant;
    std::optional<std::int64_t> expected;  ///< The revision that is replaced; 0: there is none.
  };
  /// Also expands every pipeline of a template that changes: when one of them would be wrong, nothing
  /// changes. Fails as ParsePipeline() does and with kInvalidArgument "pipeline_name", kFailedPrecondition
  /// "pipeline_revision" (not at `expected`), "pipeline_kind" (a template would become none, or the reverse),
  /// "pipeline_webhook", kNotFound "pipeline_template_missing", kResourceExhausted "pipelines_full".
  Result<PipelineRecord> Put(const std::string& name, const std::string& text, const PipelineRules& rules,
                             const PutBy& by, TimePoint deadline);
  Result<PipelineRecord> Get(const std::string& name, TimePoint deadline);
  struct ListQuery {
    std::string model;          ///< Empty: any.
    std::string template_name;  ///< Likewise.
    std::string after;          ///< A name.
    std::size_t limit = 100;    ///< 1 to 1,001.
  };
  /// By name.
  Result<std::vector<PipelineRecord>> List(const ListQuery& query, TimePoint deadline);
  /// kFailedPrecondition "pipeline_running" (a run has not ended), "pipeline_template_used".
  Result<void> Delete(const std::string& name, const std::string& who, TimePoint deadline);
  /// Newest first, of pipelines that are gone, too; `before` is a revision, 0: from the newest.
  Result<std::vector<PipelineRevision>> History(const std::string& name, std::int64_t before,
                                                std::size_t limit, TimePoint deadline);

  // --- Runs

  struct Started {
    PipelineRun run;
    bool joined = false;  ///< One was queued already.
  };
  /// kFailedPrecondition "pipeline_is_template".
  Result<Started> Start(const std::string& name, const RunTrigger& trigger, TimePoint deadline);
  Result<PipelineRun> Load(const std::string& id, TimePoint deadline);
  /// Keeps the run over the revision that was read; the new one. kAborted "pipeline_conflict" when somebody
  /// else has changed it, or another run of the pipeline is under way.
  Result<std::int64_t> Save(const RunTransition& next, TimePoint deadline);
  /// Load(), lifecycle::Obey() and Save(), tried again when somebody was faster. Fails as Obey() does, and
  /// with kFailedPrecondition "pipeline_run_queued" when one that is retried finds another one queued.
  Result<PipelineRun> Command(const std::string& id, const RunDecision& decision, TimePoint deadline);
  /// Those that have not ended or have something to stop: first what is under way, `limit` at most.
  struct OpenRuns {
    std::vector<PipelineRun> runs;
    std::vector<Error> unreadable;  ///< What a newer version of this program has written, by run.
  };
  Result<OpenRuns> Open(std::size_t limit, TimePoint deadline);
  struct RunQuery {
    std::string pipeline;  ///< Empty: any.
    std::string model;
    std::optional<RunState> state;
    std::string before;  ///< An id.
    std::size_t limit = 100;
  };
  /// Newest first.
  Result<std::vector<PipelineRun>> Runs(const RunQuery& query, TimePoint deadline);
  /// The latest `limit`, oldest first.
  Result<std::vector<RunEvent>> Events(const std::string& id, std::size_t limit, TimePoint deadline);

  // --- Triggers

  struct Fired {
    bool known = false;             ///< It had come before.
    std::vector<std::string> runs;  ///< Made or joined.
  };
  /// kInvalidArgument "pipeline_event".
  Result<Fired> FireEvent(const TriggerEvent& event, const std::string& who, TimePoint deadline);
  Result<void> Fire(const TriggerEvent& event, TimePoint deadline) override;
  /// Schedules whose time has come, `limit` at most: each begins a run, once however late it is. How many.
  Result<std::size_t> FireDue(std::size_t limit, TimePoint deadline);

  // --- Watched data (pipeline_data_store.cc)

  /// A folder that a pipeline watches, with what is known of it.
  struct DataTrigger {
    std::string pipeline;
    std::string dataset;
    std::string prefix;
    Duration settle{};
    DataWatch watch;
    std::string error;
    std::int64_t revision = 0;  ///< Of what is known; 0: nothing yet.
  };
  /// By pipeline, dataset and prefix, behind `after`; `limit` at most.
  Result<std::vector<DataTrigger>> DataTriggers(const DataTrigger& after, std::size_t limit,
                                                TimePoint deadline);
  /// Keeps what a look has found, over the revision that was read, and begins or joins a run when `fire`, in
  /// one transaction. False, and nothing is changed: another host was faster, or the pipeline does not watch
  /// it any more.
  Result<bool> KeepWatch(const DataTrigger& known, const DataWatch& next, const std::string& error, bool fire,
                         TimePoint deadline);

  // --- Upkeep

  /// Whether `holder` drives the runs for `lifetime`: one host does at a time.
  Result<bool> Lead(const std::string& holder, Duration lifetime, TimePoint deadline);
  /// Likewise whether it looks at data.
  Result<bool> LeadWatching(const std::string& holder, Duration lifetime, TimePoint deadline);
  /// Deletes old runs, revisions and events, a bounded number. How many.
  Result<std::int64_t> Prune(TimePoint deadline);

 private:
  struct Expanded {
    PipelineSpec spec;
    std::string body;
  };
  Result<Expanded> ExpandedOf(storage::SqlSession& session, const PipelineDocument& document,
                              const std::string& text, const PipelineRules& rules) const;
  Result<void> CheckWebhook(const TenantId& tenant, const PipelineSpec& spec) const;
  Result<void> Note(storage::SqlSession& session, const std::string& name, std::int64_t revision,
                    const std::string& kind, const std::string& text, const PutBy& by) const;
  Result<void> WriteTriggers(storage::SqlSession& session, const std::string& name,
                             const PipelineSpec& spec) const;
  Result<void> Rebuild(storage::SqlSession& session, const std::string& name, const std::string& text,
                       const PipelineRules& rules, const PutBy& by) const;
  Result<void> Complete(storage::SqlSession& session, std::vector<PipelineRecord>& records) const;
  Result<bool> TakeLease(std::int64_t which, const std::string& holder, Duration lifetime,
                         TimePoint deadline);
  Result<Started> StartIn(storage::SqlSession& session, const std::string& name,
                          const RunTrigger& trigger) const;
  Result<void> Insert(storage::SqlSession& session, const RunTransition& begun) const;
  Result<std::int64_t> SaveIn(storage::SqlSession& session, const RunTransition& next) const;
  Result<void> Tell(storage::SqlSession& session, const PipelineRun& run, std::int64_t revision,
                    const std::vector<RunEvent>& events) const;
  [[nodiscard]] std::int64_t NowMicros() const;

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::lifecycle
