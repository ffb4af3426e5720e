#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/jobs/internal/end_writer.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/jobs/job_metrics.h"
#include "mezzo/jobs/job_store.h"
#include "mezzo/observe/log.h"
#include "mezzo/storage/sql_db.h"
#include "mezzo/tenancy/ledger/ledger.h"

namespace mezzo::jobs {

namespace internal {
class ActiveRun;
}

/// This host's part of the queue: leases jobs while it has free slots, runs them, keeps their leases, and
/// does what time asks for (JobStore::Sweep).
///
/// Slots that all run long, less urgent jobs would make an urgent one wait for minutes: some are kept for the
/// first lane.
///
/// Threads of its own: one per slot, which its handler may block; one that claims, woken by notifications;
/// one that renews leases every third of a lease and sweeps, and does nothing else, so that no computation
/// can make a lease run out; one that writes ends. A run whose lease can't be renewed is cancelled when it
/// runs out. Thread-safe.
class Dispatcher {
 public:
  struct Options {
    std::size_t slots = 8;
    std::size_t express = 2;                  ///< Further slots, for jobs of the first lane alone.
    std::size_t prefetch = 1;                 ///< Leased ahead, per slot.
    Duration poll = std::chrono::seconds(1);  ///< Looks for jobs without being told.
    Duration sweep = std::chrono::seconds(1);
    std::size_t sweep_limit = 500;
    /// Models that need no load on this host; null: no job is left for others.
    std::function<std::vector<std::string>()> warm_models;
  };
  /// All outlive the dispatcher.
  struct Ports {
    JobStore& store;
    storage::SqlDb& db;
    const Clock& clock;
    observe::Logger& log;
    JobMetrics& metrics;
    tenancy::Ledger* ledger = nullptr;  ///< Charged with the jobs that end here. Null: nothing is charged.
    /// Told of each attempt that has ended here and counts. Called on a thread of the dispatcher's, without a
    /// lock. Empty: nobody is.
    std::function<void(const LeasedJob& job, const RunEnd& end)> on_end = {};
  };
  /// `handlers` by kind; a job of another kind fails with "job_kind_unknown".
  Dispatcher(Options options, Ports ports, std::map<std::string, JobHandler*, std::less<>> handlers);
  /// Calls Stop() without patience.
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  void Start() EXCLUDES(mu_);
  /// There may be work: look now.
  void Poke() EXCLUDES(mu_);
  /// Takes no more, gives back what waits; runs get `grace` to end by themselves, then are told and go back
  /// into the queue. Waits for the handlers to return.
  void Stop(Duration grace) EXCLUDES(mu_);

  [[nodiscard]] const HostId& host() const { return host_; }
  [[nodiscard]] std::size_t running() const EXCLUDES(mu_);

 private:
  using Run = std::shared_ptr<internal::ActiveRun>;

  void ClaimLoop() EXCLUDES(mu_);
  void SlotLoop() EXCLUDES(mu_);
  void KeeperLoop() EXCLUDES(mu_);
  /// How many to claim now, and from which lanes.
  struct Room {
    std::size_t jobs = 0;
    bool first_lane_only = false;
  };
  /// When to look for jobs again.
  struct Look {
    bool poked = false;                            ///< There may be new ones: at once.
    std::chrono::steady_clock::time_point next{};  ///< There may be more, or nobody told.
  };
  [[nodiscard]] Room RoomNow() const REQUIRES(mu_);
  /// Waits until there is room and a reason to look; nothing when the host takes no more.
  std::optional<Room> AwaitRoom() EXCLUDES(mu_);
  /// Whether a slot may take the job that waits in front.
  [[nodiscard]] bool MayStart() const REQUIRES(mu_);
  /// Wakes one more slot when there is work for it and none is waking: each that has woken wakes the next, so
  /// that short jobs are not handed around among many threads.
  void WakeSlot() REQUIRES(mu_);
  void Take(std::vector<LeasedJob> jobs) EXCLUDES(mu_);
  void Execute(const Run& run) EXCLUDES(mu_);
  void Ended(const RunEnd& end, bool held) EXCLUDES(mu_);
  void Renew() EXCLUDES(mu_);
  void Sweep();
  void CancelByPayload(std::string_view payload) EXCLUDES(mu_);
  [[nodiscard]] std::vector<Run> Active() const EXCLUDES(mu_);

  const Options options_;
  const Ports ports_;
  const std::map<std::string, JobHandler*, std::less<>> handlers_;
  const HostId host_;

  mutable Mutex mu_;
  CondVar claim_;                                      // Room, a poke, or the end.
  CondVar work_;                                       // A job for a slot, or the end.
  CondVar keeper_;                                     // The end.
  CondVar idle_;                                       // A run has ended.
  std::map<std::string, Run> active_ GUARDED_BY(mu_);  // By job: leased and not yet written as ended.
  std::deque<Run> waiting_ GUARDED_BY(mu_);            // By lane, then as they came.
  std::size_t busy_ GUARDED_BY(mu_) = 0;
  std::size_t busy_urgent_ GUARDED_BY(mu_) = 0;     // Of them, runs of the first lane,
  std::size_t waiting_urgent_ GUARDED_BY(mu_) = 0;  // and of waiting_.
  std::size_t resting_ GUARDED_BY(mu_) = 0;         // Slots that wait for work_.
  bool waking_ GUARDED_BY(mu_) = false;             // One of them was told, and is not there yet.
  Look look_ GUARDED_BY(mu_);                       // For jobs of every lane,
  Look express_look_ GUARDED_BY(mu_);               // and for those of the first, while others find no room.
  bool claiming_ GUARDED_BY(mu_) = true;
  bool stopping_ GUARDED_BY(mu_) = false;
  bool stopped_ GUARDED_BY(mu_) = false;

  internal::EndWriter ends_;
  std::vector<std::shared_ptr<void>> subscriptions_;
  std::thread claim_thread_;
  std::vector<std::thread> threads_;  // Last: they use everything above.
};

}  // namespace mezzo::jobs
