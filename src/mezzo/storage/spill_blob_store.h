#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/breaker.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::storage {

/// What one MoveSome() did.
struct BlobMove {
  std::size_t moved = 0;
  std::size_t failed = 0;
  bool more = false;           ///< Objects are still kept locally.
  std::optional<Error> error;  ///< The first failure.
};

/// A BlobStore that goes on taking objects while its primary store fails: they are kept in a local store and
/// moved later, and are read wherever they are.
///
/// Writes go to both stores at once; the commit decides. If the primary takes the object, the local bytes are
/// dropped before they cost a sync; if not, they are committed and the write succeeds. A breaker keeps a
/// store that is down from being asked: closed → open at failures, open → half-open after a pause, half-open
/// → closed by a call that succeeds.
///
/// An object that is kept locally is the newest of its key: reads prefer it, and further writes of the key
/// stay local until it has been moved. MoveSome() copies it, compares size and SHA-256 with what the primary
/// then has, and only then deletes the local one. Nothing but the two stores holds state, so the process may
/// be killed anywhere: the next start finds what is kept, and moving twice is harmless.
///
/// The local store must serve nothing else. Other hosts see a kept object after it was moved. Thread-safe;
/// blocks.
class SpillBlobStore final : public BlobStore {
 public:
  struct Options {
    ByteCount max_local_bytes = ByteCount{20}
                                << 30;  ///< Kept and being written. A write beyond it has the primary only.
    std::size_t max_local_objects = 100'000;
    /// The end of every write's time that belongs to the local store: the primary must have answered before.
    Duration local_reserve = std::chrono::seconds(5);
    /// MoveSome() looks this often for what another process of this host, one that is being replaced, has
    /// kept.
    Duration rescan_interval = std::chrono::minutes(1);
    runtime::Breaker::Options breaker = {.consecutive_failures = 3, .max_cooldown = std::chrono::seconds(30)};
  };

  /// Looks up what the local store keeps. The stores, the clock and the registry must outlive the object.
  /// Fails as the local store does.
  static Result<std::unique_ptr<SpillBlobStore>> Create(Options options, BlobStore& primary, BlobStore& local,
                                                        const Clock& clock, observe::Registry& registry,
                                                        TimePoint deadline);
  /// Writers must be gone.
  ~SpillBlobStore() override;

  /// The writer fails with kResourceExhausted "blob_spill_full" when the primary fails and there is no more
  /// room locally.
  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key, BlobWriteOptions options,
                                            TimePoint deadline) override;
  Result<std::unique_ptr<BlobReader>> Read(const BlobKey& key, ByteRange range, TimePoint deadline) override;
  Result<BlobFacts> Stat(const BlobKey& key, TimePoint deadline) override;
  /// Needs the primary, also for an object that is kept locally: an older one could lie there.
  Result<void> Delete(const BlobKey& key, TimePoint deadline) override;
  Result<BlobPage> List(const BlobPrefix& prefix, const std::string& after, std::size_t limit,
                        TimePoint deadline) override;
  Result<std::string> SignUrl(const BlobKey& key, const BlobUrlOptions& options) override;
  /// Fails with kUnavailable "blob_not_moved" while the object is kept locally.
  Result<void> Archive(const BlobKey& key, TimePoint deadline) override;
  Result<BlobSweep> SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) override;

  /// Moves up to `limit` kept objects to the primary; to be called periodically. Does nothing while the
  /// breaker is open. An object that fails does not keep the others from being moved.
  BlobMove MoveSome(std::size_t limit, TimePoint deadline);

  [[nodiscard]] ByteCount local_bytes() const;  ///< Kept and being written.
  [[nodiscard]] std::size_t local_objects() const;
  [[nodiscard]] runtime::Breaker::State breaker_state() const;

 private:
  class State;
  class Writer;
  explicit SpillBlobStore(std::unique_ptr<State> state);

  const std::unique_ptr<State> state_;
};

}  // namespace mezzo::storage
