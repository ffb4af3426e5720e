#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::lifecycle {

/// What a look at a folder of data has found.
struct DataSight {
  std::string digest;  ///< Over names, sizes and times of change: equal ones have the same files.
  std::uint64_t files = 0;
  ByteCount bytes = 0;
  WallTime newest;  ///< When a file was last written, changed or moved there; the epoch without any.
  friend bool operator==(const DataSight&, const DataSight&) = default;
};

/// What is kept of a watched folder between two looks.
struct DataWatch {
  std::optional<DataSight> taken;    ///< What the last run began with, or the first look found.
  std::optional<DataSight> pending;  ///< Another sight, that has not lasted.
  WallTime pending_since;
  std::int64_t runs = 0;  ///< That it has begun.
  friend bool operator==(const DataWatch&, const DataWatch&) = default;

  [[nodiscard]] std::string ToJson() const;
  /// Fails with kInvalidArgument "pipeline_run_invalid".
  static Result<DataWatch> FromJson(std::string_view json);
};

struct DataStep {
  DataWatch next;
  bool fire = false;  ///< New data has come and settled: a run begins.
};

/// The next state after a look: pure. The first look takes what is there: only what comes later is new. What
/// has changed is taken when it has stayed the same for `settle`, so that what is still being written begins
/// nothing. It begins a run when a file has come or changed; when files are only gone, none.
DataStep Watch(const DataWatch& watch, const DataSight& sight, Duration settle, WallTime now);

}  // namespace mezzo::lifecycle
