#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/localfs/internal/disk.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::drivers::internal {

/// Which objects expire in which hour: an empty file <hours since 1970, ten digits>/<key with '+' for '/'>
/// for each object with an expiry, made before the object is. So sweeping reads what has expired, not the
/// whole store. A mark says only that there may be something to do: the object's own facts decide.
/// Thread-safe.
class ExpiryIndex {
 public:
  ExpiryIndex(Disk& disk, Fd root) : disk_(disk), root_(std::move(root)) {}

  /// Durable when it returns.
  Result<void> Mark(const storage::BlobKey& key, WallTime expires_at);

  enum class Outcome : std::uint8_t {
    kDone,    ///< The mark is removed.
    kNotNow,  ///< Nothing expired at `now` lies there: the mark stays until a day after its hour.
    kFull,    ///< The mark stays and the visit ends.
  };
  using Visit = std::function<Result<Outcome>(const storage::BlobKey&)>;
  /// Calls `visit` for the marks of hours that have begun at `now`, hour by hour. Returns false when `visit`
  /// ended it.
  Result<bool> ForEachDue(WallTime now, const Visit& visit);

  /// The hour that a time lies in.
  static std::string HourName(WallTime time);

 private:
  Result<bool> VisitHour(const std::string& hour, WallTime now, const Visit& visit);

  Disk& disk_;
  const Fd root_;
};

}  // namespace mezzo::drivers::internal
