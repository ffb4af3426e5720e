#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/models/internal/catalog_metrics.h"
#include "mezzo/models/internal/catalog_state.h"
#include "mezzo/models/internal/keeper.h"
#include "mezzo/models/internal/snapshot.h"
#include "mezzo/models/internal/version_loader.h"
#include "mezzo/models/repository.h"
#include "mezzo/models/repository_catalog.h"

namespace mezzo::models {

/// The catalog's state and logic. One mutex, never held across disk, engine or a suspension.
///
/// Sources: catalog_core.cc start, stop, publication, reads; catalog_loading.cc plans and the budget;
/// catalog_control.cc waiting, explicit control, polling.
class RepositoryCatalog::Core {
 public:
  Core(Options options, Parts parts);
  ~Core();

  Result<void> Start(VersionBinder* binder);
  void Stop() EXCLUDES(mu_);
  void PollNow() EXCLUDES(mu_);
  Result<bool> LookNow(std::string_view model) EXCLUDES(mu_);

  Result<VersionRef> Acquire(std::string_view model, std::string_view version);
  runtime::Task<Result<VersionRef>> AcquireLoaded(runtime::Context ctx, ModelName model, std::string version);
  Result<std::shared_ptr<const ModelConfig>> ConfigOf(std::string_view model, std::string_view version);
  Result<std::vector<std::int64_t>> VersionsOf(std::string_view model);
  bool IsReady(std::string_view model, std::string_view version);
  [[nodiscard]] bool StartupDone() const { return started_.load() && startup_left_.load() == 0; }
  std::vector<IndexEntry> Index(bool ready_only) EXCLUDES(mu_);
  runtime::Task<Result<void>> Load(runtime::Context ctx, ModelName model, LoadOverrides overrides);
  runtime::Task<Result<void>> Unload(runtime::Context ctx, ModelName model);
  ByteCount bytes_used() EXCLUDES(mu_);

 private:
  using Plan = internal::Plan;
  using Piece = internal::Piece;
  using Slot = internal::Slot;
  using Model = internal::Model;
  using Source = internal::Source;
  using After = internal::After;
  using Cause = internal::Cause;
  using PlanPtr = std::shared_ptr<Plan>;
  using Job = std::pair<PlanPtr, std::size_t>;

  /// Lets a session that outlives the catalog find that it is gone.
  struct Link {
    Mutex mu;
    Core* core GUARDED_BY(mu) = nullptr;
  };
  enum class Room : std::uint8_t { kYes, kWait, kNever };

  // catalog_core.cc
  void Finish(After& after) EXCLUDES(mu_);
  void Publish(const std::string& name, Model& model) REQUIRES(mu_);
  void Withdraw(const std::string& name) REQUIRES(mu_);
  void ShowStates(Model& model) REQUIRES(mu_);
  VersionRef MakeRef(std::unique_ptr<ModelVersion> version, std::shared_ptr<const Source> source)
      REQUIRES(mu_);
  void Drop(Model& model, std::int64_t version, VersionRef ref, After& after) REQUIRES(mu_);
  void OnFreed(const std::string& name, std::int64_t version, ByteCount bytes) EXCLUDES(mu_);
  [[nodiscard]] Error NotServed(std::string_view model, const internal::ModelView& view,
                                const internal::VersionView* version, std::string_view text) const;
  [[nodiscard]] bool StartsServed(const ModelFolder& folder) const;

  // catalog_loading.cc
  PlanPtr StartExclusive(const std::string& name, Model& model, std::shared_ptr<const Source> source,
                         Cause cause, After& after) REQUIRES(mu_);
  PlanPtr StartOnDemand(const std::string& name, Model& model, std::int64_t version, After& after)
      REQUIRES(mu_);
  void Enqueue(const PlanPtr& plan) REQUIRES(mu_);
  void Dispatch(After& after) REQUIRES(mu_);
  bool DispatchOne(std::deque<Job>& queue, After& after) REQUIRES(mu_);
  [[nodiscard]] ByteCount Expected(const Plan& plan, std::int64_t version) REQUIRES(mu_);
  Room MakeRoom(const std::string& name, ByteCount need, bool may_evict, After& after) REQUIRES(mu_);
  bool EvictFor(const std::string& name, ByteCount shortfall, After& after) REQUIRES(mu_);
  [[nodiscard]] Error NoRoom(const Plan& plan, std::int64_t version, ByteCount need, bool never)
      REQUIRES(mu_);
  void RunPiece(const PlanPtr& plan, std::size_t index) EXCLUDES(mu_);
  Result<void> Settle(const PlanPtr& plan, std::size_t index, const ModelVersion& loaded) EXCLUDES(mu_);
  void EndPiece(const PlanPtr& plan, Piece& piece, After& after) REQUIRES(mu_);
  void EndPlan(const PlanPtr& plan, After& after) REQUIRES(mu_);
  void TakeUp(const PlanPtr& plan, Model& model, Piece& piece, After& after) REQUIRES(mu_);
  void TakeFailure(const Plan& plan, Model& model, const Piece& piece, After& after) REQUIRES(mu_);
  void Abandon(Model& model) REQUIRES(mu_);
  void DropUnwanted(Model& model, After& after) REQUIRES(mu_);
  void ShowGauges() REQUIRES(mu_);

  // catalog_control.cc
  Result<PlanPtr> Join(const std::string& name, const std::string& version) EXCLUDES(mu_);
  Result<bool> Enlist(const PlanPtr& plan, const runtime::Context& wake) EXCLUDES(mu_);
  bool Delist(const PlanPtr& plan, const runtime::Context& wake) EXCLUDES(mu_);
  runtime::Task<Result<void>> WaitFor(runtime::Context ctx, PlanPtr plan);
  Result<VersionRef> OutcomeFor(const PlanPtr& plan, const std::string& version) EXCLUDES(mu_);
  Result<void> LoadOutcome(const PlanPtr& plan) EXCLUDES(mu_);
  Result<std::shared_ptr<const Source>> PrepareLoad(const std::string& name, const LoadOverrides& overrides);
  Result<PlanPtr> BeginLoad(const std::string& name, const std::shared_ptr<const Source>& source, bool& mine)
      EXCLUDES(mu_);
  Result<void> UnloadNow(const std::string& name) EXCLUDES(mu_);
  [[nodiscard]] Result<void> CheckControl() const;
  Result<bool> LookAtOne(const std::string& name) EXCLUDES(mu_);
  /// False when the model is busy.
  bool TakeChange(const std::string& name, std::shared_ptr<const Source> source) EXCLUDES(mu_);
  [[nodiscard]] std::shared_ptr<internal::Source> SourceOf(ModelFolder folder) const;
  std::vector<ModelFolder> SettledChanges(std::vector<ModelFolder> found) EXCLUDES(mu_);
  Duration Tick();

  const Options options_;
  const Parts parts_;
  const Repository repository_;
  const internal::VersionLoader loader_;
  internal::CatalogMetrics metrics_;
  TimePoint next_poll_{};            // Real time; keeper's thread only.
  VersionBinder* binder_ = nullptr;  // Set by Start() before any load.
  internal::SnapshotBoard board_;
  std::atomic<bool> started_{false};          // Partner: startup_left_, set before it.
  std::atomic<std::size_t> startup_left_{0};  // Models of the start that were not tried yet.
  const std::shared_ptr<Link> link_;

  Mutex poll_mu_;  // One look at the repository at a time; taken before mu_.
  Mutex mu_;
  CondVar idle_;
  std::map<std::string, Model, std::less<>> models_ GUARDED_BY(mu_);
  std::shared_ptr<const internal::Snapshot> snapshot_ GUARDED_BY(mu_);
  std::deque<Job> urgent_ GUARDED_BY(mu_);  // Somebody waits.
  std::deque<Job> later_ GUARDED_BY(mu_);
  std::size_t active_loads_ GUARDED_BY(mu_) = 0;
  std::size_t jobs_ GUARDED_BY(mu_) = 0;    // On the pool, up to their very end.
  ByteCount used_ GUARDED_BY(mu_) = 0;      // Loaded, reserved for loads, and draining.
  ByteCount draining_ GUARDED_BY(mu_) = 0;  // Unpublished and not yet freed.
  std::size_t waiting_ GUARDED_BY(mu_) = 0;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::shared_ptr<internal::Keeper> keeper_;  // Last: its thread uses everything above.
};

}  // namespace mezzo::models
