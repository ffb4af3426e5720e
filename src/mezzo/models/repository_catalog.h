#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/models/catalog.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::models {

enum class ControlMode : std::uint8_t {
  kNone,      ///< What is there at start is served, for good.
  kPoll,      ///< Folders that appear, change or go are noticed.
  kExplicit,  ///< Only what Load() named is served.
};

/// The catalog of models in repository folders.
///
/// Loading and freeing never happen on the caller's thread: loads run on the given pool, frees and polling on
/// one thread of the catalog's own. AcquireLoaded() and Load() wait on a loop's thread, everything else is
/// for any. No call may be in progress when the catalog is destroyed; sessions may outlive it in the hands of
/// callers.
class RepositoryCatalog final : public Catalog {
 public:
  struct Options {
    std::vector<std::string> roots;
    /// One of the roots, where every version that is there is served, whatever the model's policy says: who
    /// puts versions there has chosen them. Empty: none.
    std::string chosen_root;
    ControlMode control = ControlMode::kNone;
    std::vector<std::string> startup_models;  ///< kExplicit: served from the start; "*" is all of them.
    Duration poll_interval = std::chrono::seconds(15);  ///< 0: only when PollNow() is called.
    Duration settle_time = std::chrono::seconds(2);  ///< A change is taken up once it has lasted this long.

    ByteCount memory_budget = 0;     ///< What all sessions together may hold; 0: no limit.
    double file_size_factor = 1.25;  ///< Expected memory of a session never measured, by its files' size.
    std::int64_t default_max_batch = 32;
    std::int64_t default_instances = 1;  ///< Of models that do not say; the device's slots.
    std::vector<engine::ProviderChoice>
        default_providers;  ///< Of models that name none; empty: the engine's.
    std::size_t max_concurrent_loads = 2;
    std::size_t max_waiters_per_load = 1024;
    Duration room_timeout =
        std::chrono::seconds(30);  ///< A load that finds no room in the budget fails after it.
    Duration retry_backoff = std::chrono::seconds(10);  ///< After a failed load on demand; doubles with each.
    Duration max_retry_backoff = std::chrono::minutes(10);
    Duration value_half_life = std::chrono::minutes(5);  ///< Of a use, when values are compared for eviction.
    Duration min_residency = std::chrono::seconds(5);    ///< A session just loaded is evicted last.

    std::string temp_dir =
        "/tmp";  ///< Where overrides of Load() are kept, in folders that only this user reads.
    std::size_t max_override_files = 64;
    ByteCount max_override_bytes = ByteCount{2} << 30;
    ByteCount max_warmup_bytes = ByteCount{64}
                                 << 20;  ///< An automatic warm-up with bigger inputs is left out.

    std::function<void()>
        after_unload;  ///< In the background, when a run of unloads has settled: trim memory.
  };

  /// All outlive the catalog.
  struct Parts {
    engine::Engine& engine;
    const Clock& clock;
    runtime::BlockingPool& pool;  ///< For loads; `background` keeps them from disturbing who serves.
    observe::Registry& registry;
    observe::Logger& log;
  };

  RepositoryCatalog(Options options, Parts parts);
  /// Calls Stop().
  ~RepositoryCatalog() override;

  /// Reads the repository and begins to load: pinned models first, then by name, as long as they fit the
  /// budget. `binder` may be null and outlives the catalog. Fails with "repository_unreadable". Once.
  Result<void> Start(VersionBinder* binder);

  /// Looks for changes now: what the polling thread does at each interval. Blocks on the disk; for tests and
  /// for whoever has another signal than time. In kPoll only; elsewhere it does nothing.
  void PollNow();

  /// Takes up what `chosen_root` has of one model now, in any control mode: new versions are loaded, those
  /// that have gone are ended. False when the model is being loaded just now: ask again. Blocks on the disk.
  /// kFailedPrecondition "model_in_folder" when another root has a model of this name.
  Result<bool> LookNow(std::string_view model);

  /// Ends waits with kUnavailable "shutting_down", waits for running loads, frees what nobody uses.
  /// Idempotent.
  void Stop();

  /// What the budget counts now: loaded, being loaded and being freed.
  [[nodiscard]] ByteCount bytes_used() const;

  Result<VersionRef> Acquire(std::string_view model, std::string_view version) override;
  runtime::Task<Result<VersionRef>> AcquireLoaded(runtime::Context ctx, ModelName model,
                                                  std::string version) override;
  Result<std::shared_ptr<const ModelConfig>> ConfigOf(std::string_view model,
                                                      std::string_view version) override;
  Result<std::vector<std::int64_t>> VersionsOf(std::string_view model) override;
  bool IsReady(std::string_view model, std::string_view version) override;
  bool StartupDone() override;
  std::vector<IndexEntry> Index(bool ready_only) override;
  runtime::Task<Result<void>> Load(runtime::Context ctx, ModelName model, LoadOverrides overrides) override;
  runtime::Task<Result<void>> Unload(runtime::Context ctx, ModelName model) override;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace mezzo::models
