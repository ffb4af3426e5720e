#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/models/catalog.h"
#include "mezzo/models/internal/eviction.h"
#include "mezzo/models/internal/snapshot.h"
#include "mezzo/models/internal/source.h"
#include "mezzo/runtime/context.h"

// What the catalog knows. All of it is guarded by the core's mutex.
namespace mezzo::models::internal {

enum class Cause : std::uint8_t {
  kStartup,   ///< Evicts nobody: what does not fit stays on disk.
  kDemand,    ///< A call waits.
  kExplicit,  ///< Load() waits.
  kChange,    ///< The repository changed.
};
std::string_view CauseName(Cause cause);

/// One version's load within a plan. queued → running → done; queued → done when it is dropped or can't fit.
struct Piece {
  enum class State : std::uint8_t { kQueued, kRunning, kDone };
  std::int64_t version = 0;
  State state = State::kQueued;
  ByteCount reserved = 0;                ///< Of the budget, while it runs.
  std::unique_ptr<ModelVersion> loaded;  ///< From its end to the plan's.
  std::optional<Error> error;
  bool left_on_disk = false;  ///< At start: there was no room.
  VersionRef published;       ///< For those who wait.
};

/// Versions of one model that are loaded side by side and published together.
struct Plan {
  Cause cause = Cause::kDemand;
  std::string model;
  std::shared_ptr<const Source> source;
  std::vector<Piece> pieces;  ///< Their number does not change.
  std::size_t remaining = 0;
  bool may_evict = true;
  bool done = false;
  bool had_waiters = false;
  bool abandoned = false;  ///< The model was unloaded meanwhile, or the catalog stops: nothing is published.
  std::optional<TimePoint> blocked_since;  ///< Its first piece waits for memory.
  std::vector<runtime::Context> waiters;   ///< Cancelled to wake them.
};

/// One version of a served model.
struct Slot {
  bool active = false;  ///< Decided to be served: loaded, or loaded on first use.
  VersionRef ref;
  std::shared_ptr<Plan> plan;  ///< Loading it now.
  std::shared_ptr<const Error> failure;
  std::uint32_t failures = 0;  ///< In a row.
  TimePoint retry_at{};
  std::uint64_t loaded_stamp = 0;  ///< Of the files that `ref` was loaded from.
  ByteCount measured = 0;          ///< Memory of its newest session.
  Duration load_time{};
  TimePoint loaded_at{};
  DecayingCount uses;
  std::shared_ptr<Usage> usage = std::make_shared<Usage>();
  std::shared_ptr<const ModelConfig> config;  ///< Completed by a load; null before.
};

struct Model {
  bool served = false;
  std::shared_ptr<const Source> source;
  std::map<std::int64_t, Slot> slots;
  std::shared_ptr<Plan> plan;  ///< The one that changes what is served; loads on demand are not here.
  std::shared_ptr<const Error> change_problem;  ///< Why the newest change was not taken up.
  std::map<std::int64_t, int> draining;         ///< Sessions that were unpublished and are not yet freed.
  std::uint64_t taken_stamp = 0;                ///< The repository's state that was last acted on.
  std::uint64_t seen_stamp = 0;                 ///< A newer one, and since when it has been so.
  TimePoint seen_since{};
  std::array<int, 6> counted{};  ///< Versions by state, as the metrics show them.

  /// Whether calls get an answer from it: loaded, or to be loaded.
  [[nodiscard]] bool Serves() const {
    for (const auto& [version, slot] : slots) {
      if (slot.ref != nullptr || (slot.active && slot.failure == nullptr)) return true;
    }
    return false;
  }
  [[nodiscard]] bool HasReady() const {
    for (const auto& [version, slot] : slots) {
      if (slot.ref != nullptr) return true;
    }
    return false;
  }
};

/// What has to happen after the mutex was released.
struct After {
  std::vector<runtime::Context> wake;
  std::vector<VersionRef> drop;
  std::vector<std::pair<std::string, std::int64_t>> withdrawn;  ///< For the binder.
  struct Event {
    bool failed = false;
    std::string text;
    std::string model;
    std::string version;
    std::string detail;
    ByteCount bytes = 0;
    Duration took{};
  };
  std::vector<Event> events;
};

}  // namespace mezzo::models::internal
