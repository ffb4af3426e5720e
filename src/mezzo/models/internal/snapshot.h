#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/models/catalog.h"

namespace mezzo::models::internal {

/// How often a version was asked for since somebody last looked.
struct alignas(64) Usage {
  std::atomic<std::uint64_t> uses{0};  // Relaxed: a count, no partner.
};

/// A version as readers see it. Holds no strong reference: threads keep snapshots for as long as they are
/// idle, and that must not keep sessions in memory.
struct VersionView {
  std::int64_t version = 0;
  std::string text;
  std::weak_ptr<const ModelVersion> ref;
  bool active = false;                   ///< Served: loaded, or loaded on first use.
  bool loading = false;                  ///< Being loaded; without `active`, for the first time.
  std::shared_ptr<const Error> failure;  ///< Of the newest load, when there is no session.
  TimePoint retry_at{};                  ///< When a failed load may be tried again on demand.
  std::shared_ptr<Usage> usage;
  std::shared_ptr<const ModelConfig> config;
};

struct ModelView {
  std::vector<VersionView> versions;  ///< Ascending.
  std::shared_ptr<const Error> problem;

  [[nodiscard]] const VersionView* Find(std::string_view text) const {
    for (const VersionView& view : versions) {
      if (view.text == text) return &view;
    }
    return nullptr;
  }
  /// What a call without a version means: the newest that is served and has not failed, else one being
  /// loaded, else the newest at all.
  [[nodiscard]] const VersionView* Default() const {
    const VersionView* best = nullptr;
    int best_rank = -1;
    for (const VersionView& view : versions) {
      const int rank = view.active && view.failure == nullptr ? 2 : view.loading ? 1 : 0;
      if (rank >= best_rank) {
        best = &view;
        best_rank = rank;
      }
    }
    return best;
  }
};

/// All served models. A hash table whose buckets are shared between snapshots: a changed model costs a copy
/// of kBuckets pointers and of one bucket, however many models there are.
class Snapshot {
 public:
  static constexpr std::size_t kBuckets = 256;

  /// Null when there is no such model.
  [[nodiscard]] const ModelView* Find(std::string_view name) const {
    const std::size_t hash = std::hash<std::string_view>{}(name);
    const Bucket* bucket = buckets_[hash % kBuckets].get();
    if (bucket == nullptr) return nullptr;
    for (const Entry& entry : *bucket) {
      if (entry.hash == hash && entry.name == name) return entry.view.get();
    }
    return nullptr;
  }
  /// The same models, but `name` is now `view`, or gone when that is null.
  [[nodiscard]] std::shared_ptr<const Snapshot> With(const std::string& name,
                                                     std::shared_ptr<const ModelView> view) const;

 private:
  struct Entry {
    std::size_t hash = 0;
    std::string name;
    std::shared_ptr<const ModelView> view;
  };
  using Bucket = std::vector<Entry>;

  std::array<std::shared_ptr<const Bucket>, kBuckets> buckets_;
};

/// The newest snapshot. Reading costs one atomic load while nothing changes: each thread keeps a copy of the
/// pointer. Thread-safe.
class SnapshotBoard {
 public:
  SnapshotBoard();

  /// Valid until this thread's next Read() of any board.
  [[nodiscard]] const Snapshot& Read() const EXCLUDES(mu_);
  void Publish(std::shared_ptr<const Snapshot> snapshot) EXCLUDES(mu_);

 private:
  const std::uint64_t id_;                 // Tells boards apart in a thread's copy, also at an equal address.
  std::atomic<std::uint64_t> generation_;  // Partner: current_, which changes before it.
  mutable Mutex mu_;
  std::shared_ptr<const Snapshot> current_ GUARDED_BY(mu_);
};

}  // namespace mezzo::models::internal
