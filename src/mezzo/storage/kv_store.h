#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"

namespace mezzo::storage {

/// Bytes by key that hosts share and that may be lost at any time, in part or in whole: losing them is a slow
/// minute, never a wrong answer. Keys, channels and owners are 1 to 256 bytes of [A-Za-z0-9:._/{}-]; a call
/// names at most 1,024 of them. Lifetimes count in whole milliseconds, from 1 ms to 366 days; others count as
/// the nearest of these. Thread-safe. Every driver passes storage/testing/kv_store_suite.h.
///
/// A call ends at the context's deadline, and at the driver's own timeout before that; what it was to change
/// may then have changed or not. A call that waits resumes on the loop it was made on (made on no loop: on a
/// thread of the driver, which must not be held up). Errors of all: kInvalidArgument "kv_bad_key" and
/// "kv_too_large", kUnavailable "kv_unavailable" (not reached, connection lost, refused by a breaker or by a
/// full queue), kDeadlineExceeded "kv_timeout", kCancelled "cancelled" (before it began), kInternal
/// "kv_failed" (an answer that makes no sense).
class KvStore {
 public:
  using Listener = std::function<void(std::string_view payload)>;

  virtual ~KvStore() = default;

  /// What lies under each key, in their order; one round trip.
  virtual runtime::Task<Result<std::vector<std::optional<std::string>>>> Get(
      runtime::Context ctx, std::vector<std::string> keys) = 0;
  /// Fails with kInvalidArgument "kv_too_large" beyond the driver's limit.
  virtual runtime::Task<Result<void>> Set(runtime::Context ctx, std::string key, std::string value,
                                          Duration lifetime) = 0;
  /// How many there were.
  virtual runtime::Task<Result<std::int64_t>> Erase(runtime::Context ctx, std::vector<std::string> keys) = 0;

  /// Who may work on something at a time (M. Kleppmann, "How to do distributed locking": a lease alone does
  /// not exclude, the fence does).
  struct Lease {
    bool held = false;        ///< By the caller, from now for `lifetime`.
    std::uint64_t fence = 0;  ///< Of the holder, never 0; grows with every lease that a key gives, also when
                              ///< the store was emptied in between. Keeping a lease keeps its fence.
    Duration left{};          ///< Of the holder's lease.
  };
  /// Takes the lease of `key` when nobody holds it, or keeps it when `owner` does.
  virtual runtime::Task<Result<Lease>> Acquire(runtime::Context ctx, std::string key, std::string owner,
                                               Duration lifetime) = 0;
  /// Sets `key` and gives the lease `lease_key` back, in one step, if the lease still has this fence. False,
  /// and nothing changes, when it has not.
  virtual runtime::Task<Result<bool>> SetAndRelease(runtime::Context ctx, std::string key, std::string value,
                                                    Duration lifetime, std::string lease_key,
                                                    std::uint64_t fence) = 0;
  /// Gives the lease back if it still has this fence.
  virtual runtime::Task<Result<bool>> Release(runtime::Context ctx, std::string lease_key,
                                              std::uint64_t fence) = 0;

  /// Tells the subscribers of `channel` on every host that is connected now; nobody is told later.
  virtual runtime::Task<Result<void>> Publish(runtime::Context ctx, std::string channel,
                                              std::string payload) = 0;
  /// Calls `listener` from a thread of the driver for what is published on `channel`, until the returned
  /// subscription dies (which waits for a running call, unless it dies in that call). An empty payload means
  /// that there may have been others: it comes once when listening has begun, and after every interruption.
  /// Listeners are called one at a time and must be quick. Aborts when `channel` is no channel's name: these
  /// stand in code.
  [[nodiscard]] virtual std::shared_ptr<void> Subscribe(std::string channel, Listener listener) = 0;
};

}  // namespace mezzo::storage
