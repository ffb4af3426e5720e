#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

/// Something has happened to a version that people outside want to hear of.
struct VersionEvent {
  std::string type;  ///< "version.drift.began", "version.retirement.warned", ...
  std::string model;
  std::int64_t version = 0;
  std::string data;  ///< JSON object: what else is told of it.
  WallTime at;

  /// By Standard Webhooks: {"type", "timestamp", "data": {"model", "version", ...}}.
  [[nodiscard]] std::string Body() const;
};

/// Puts an event where it is sent from, in the transaction that makes it true.
using VersionOutbox = std::function<Result<void>(storage::SqlSession&, const VersionEvent&)>;

/// "2026-11-22T03:26:55.123Z".
std::string EventTime(WallTime time);

}  // namespace mezzo::lifecycle
