#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/blob_store.h"
#include "mezzo/storage/spill_blob_store.h"

namespace mezzo::storage {

/// What an object store needs done from time to time: objects that an outage left on this host are moved,
/// expired ones removed, old ones archived. A piece at a time, so that it can end at any moment; whatever is
/// left undone is found by the next round, also that of another process.
///
/// Archiving walks over all keys, a page in each round, and begins a new walk every `archive_interval`. Jobs'
/// ids tell when they were made (UUIDv7), so young objects cost no request. Hosts that share a store may all
/// do it: everything here may be done twice. One thread at a time; blocks.
class BlobUpkeep {
 public:
  struct Options {
    std::optional<Duration> archive_after;  ///< Never, when not set.
    Duration sweep_interval = std::chrono::minutes(1);
    Duration archive_interval = std::chrono::hours(24);
    std::size_t batch = 100;  ///< Objects of each work in a round; at most 1000.
  };
  /// All outlive the upkeep. `spill` is null when no outage is bridged.
  struct Ports {
    BlobStore& store;
    SpillBlobStore* spill = nullptr;
    const Clock& clock;
    observe::Registry& registry;
  };
  BlobUpkeep(Options options, Ports ports);

  struct Round {
    std::size_t moved = 0;
    std::size_t removed = 0;
    std::size_t archived = 0;
    bool more = false;           ///< There is work that need not wait.
    std::optional<Error> error;  ///< The first failure; the other works were done all the same.
  };
  /// What is due now.
  Round Run(TimePoint deadline);

 private:
  void Move(Round& round, TimePoint deadline);
  void Sweep(Round& round, TimePoint deadline);
  Result<void> ArchivePage(Round& round, TimePoint deadline);
  void Failed(std::string_view work, Error error, Round& round);

  const Options options_;
  const Ports ports_;
  observe::Family<observe::Counter>& objects_;
  observe::Family<observe::Counter>& failures_;
  TimePoint next_sweep_{};
  TimePoint next_walk_{};
  std::optional<std::string> walk_;  ///< The last key of a walk that has not ended.
};

}  // namespace mezzo::storage
