#pragma once

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/blob_store.h"
#include "mezzo/storage/internal/key_locks.h"
#include "mezzo/storage/internal/spill_index.h"
#include "mezzo/storage/internal/store_gate.h"
#include "mezzo/storage/spill_blob_store.h"

namespace mezzo::storage {

namespace internal {

struct SpillMetrics {
  explicit SpillMetrics(observe::Registry& r)
      : kept(r.NewCounter("mezzo_storage_spill_kept_total",
                          "Objects kept locally: the primary store failed.")),
        moved(r.NewCounter("mezzo_storage_spill_moved_total", "Kept objects moved to the primary store.")),
        move_failures(
            r.NewCounter("mezzo_storage_spill_move_failures_total", "Moves of kept objects that failed.")),
        damaged(r.NewCounter("mezzo_storage_spill_damaged_total", "Kept objects whose content was damaged.")),
        full(r.NewCounter("mezzo_storage_spill_full_total", "Writes without a local copy: no room.")),
        local_bytes(
            r.NewGauge("mezzo_storage_spill_bytes", "Bytes of objects kept locally or being written.")),
        local_objects(r.NewGauge("mezzo_storage_spill_objects", "Objects kept locally.")),
        breaker_open(
            r.NewGauge("mezzo_storage_spill_breaker_open", "1 while the primary store is given time.")) {}

  observe::Counter& kept;
  observe::Counter& moved;
  observe::Counter& move_failures;
  observe::Counter& damaged;
  observe::Counter& full;
  observe::Gauge& local_bytes;
  observe::Gauge& local_objects;
  observe::Gauge& breaker_open;
};

}  // namespace internal

/// What the calls of a SpillBlobStore share.
class SpillBlobStore::State {
 public:
  State(Options store_options, BlobStore& primary_store, BlobStore& local_store, const Clock& store_clock,
        observe::Registry& registry)
      : options(store_options),
        primary(primary_store),
        local(local_store),
        clock(store_clock),
        metrics(registry),
        index({.max_bytes = options.max_local_bytes, .max_objects = options.max_local_objects},
              metrics.local_bytes, metrics.local_objects),
        gate(options.breaker, clock, metrics.breaker_open) {}

  const Options options;
  BlobStore& primary;
  BlobStore& local;
  const Clock& clock;
  internal::SpillMetrics metrics;
  internal::SpillIndex index;
  internal::StoreGate gate;
  internal::KeyLocks locks;  ///< Held by whoever changes what a key has in either store.

  /// Puts everything that the local store has into the index.
  Result<void> Recover(TimePoint deadline) EXCLUDES(mu_);
  /// The same, when the last time is long enough ago.
  Result<void> RecoverAgain(TimePoint deadline) EXCLUDES(mu_);
  /// Moves one object, whose lease the caller holds; tells `attempt` about the primary's failures only.
  Result<void> Move(const BlobKey& key, internal::StoreGate::Attempt& attempt, TimePoint deadline);

 private:
  /// Copies into the primary; what it then has.
  Result<BlobFacts> Upload(const BlobFacts& facts, internal::StoreGate::Attempt& attempt, TimePoint deadline);
  /// A damaged object is not tried again before the next start.
  Error LocalFailure(const BlobKey& key, Error error);

  Mutex mu_;
  TimePoint next_scan_ GUARDED_BY(mu_);
};

}  // namespace mezzo::storage
