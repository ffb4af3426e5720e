#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/retire_plan.h"
#include "mezzo/lifecycle/retirer.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/periodic_thread.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::lifecycle {

/// Takes versions out of service: those that somebody names, and, where a policy says so, those without calls
/// for long (retire_plan.h has the stages). Hosts say once a period which versions they have answered by; any
/// host may make the next step, each of which is one transaction that looks again at whether anything needs
/// the version. Archived files move to the store's cheaper class, where they stay readable.
///
/// A thread of its own. Thread-safe.
class Retirement final : public Retirer {
 public:
  struct Options {
    RetirePolicy policy;  ///< A model's tag "retire.after" ("30d", "never") says otherwise for it.
    Duration period = std::chrono::minutes(1);
    Duration database_timeout = std::chrono::seconds(10);
    Duration store_timeout = std::chrono::minutes(10);
    /// Versions looked at in a round: so many whose retirement has begun, and so many that are idle. The next
    /// round goes on behind them, from the beginning when there are no more.
    std::size_t batch = 1000;
  };
  /// How often this host has answered by a version since it began.
  struct Served {
    std::string model;
    std::int64_t version = 0;
    std::uint64_t calls = 0;
  };
  /// All outlive this. `clock` is that of all hosts.
  struct Ports {
    RegistryStore& registry;
    storage::BlobStore& contents;
    const Clock& clock;
    observe::Logger& log;
    observe::Registry& metrics;
    std::function<std::vector<Served>()> traffic;
  };
  Retirement(Options options, Ports ports);

  /// As Retirer::Begin(); besides kFailedPrecondition "registry_version_state" of a version that is neither
  /// ready nor archived. Without a warning, as somebody has decided.
  Result<void> Begin(const std::string& model, std::int64_t version, const std::string& who,
                     TimePoint deadline) override;
  /// Undoes it, at any stage. What is archived is read from the store and compared with its digests first:
  /// kDataLoss "version_corrupt", and it stays archived. A ready version stays as it is.
  /// kFailedPrecondition "registry_version_state" of one that is neither.
  Result<VersionRecord> Restore(const std::string& model, std::int64_t version, const std::string& who,
                                TimePoint deadline);
  /// Versions that get no new calls: hosts let go of them, however they came.
  [[nodiscard]] Result<std::set<std::pair<std::string, std::int64_t>>> Draining(TimePoint deadline);

  /// How long stages last.
  [[nodiscard]] const RetirePolicy& policy() const { return options_.policy; }

  struct Round {
    std::size_t warned = 0, drained = 0, archived = 0, undone = 0;
  };
  /// What is due now, on the caller's thread; not thread-safe.
  Result<Round> RunOnce();
  void Start() { thread_.Start(); }
  /// Waits for the round that runs, which archives no further file.
  void Stop() { thread_.Stop(); }

 private:
  void RunAndLog();
  Result<void> NoteTraffic(TimePoint deadline);
  /// The next page, and where it ends in `cursor`.
  Result<std::vector<RetireCandidate>> NextPage(bool begun, WallTime idle_before,
                                                std::optional<RetireCursor>& cursor, TimePoint deadline);
  Result<void> StepAll(const std::vector<RetireCandidate>& candidates,
                       const std::map<std::string, Duration>& after, Round& round, TimePoint deadline);
  /// False: something needs it by now, or another host was faster.
  Result<bool> Move(const RetireCandidate& candidate, RetireStage to, const std::string& reason,
                    TimePoint deadline);
  Result<void> ArchiveFiles(const RetireCandidate& candidate);
  Result<void> Verify(const std::string& model, std::int64_t version, TimePoint deadline);

  const Options options_;
  const Ports ports_;
  observe::Family<observe::Counter>& steps_;
  std::map<std::pair<std::string, std::int64_t>, std::uint64_t> calls_;  // RunOnce() only.
  std::optional<RetireCursor> begun_at_, idle_at_;                       // RunOnce() only.
  runtime::PeriodicThread thread_;                                       // Last: uses everything above.
};

}  // namespace mezzo::lifecycle
