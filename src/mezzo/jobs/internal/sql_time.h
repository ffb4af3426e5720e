#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs::internal {

/// Times in the database are microseconds since the Unix epoch.
inline std::int64_t ToMicros(WallTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}
inline std::int64_t ToMicros(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}
inline WallTime FromMicros(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }

inline std::optional<WallTime> TimeAt(const storage::SqlRows& rows, std::size_t row, std::size_t column) {
  if (rows.IsNull(row, column)) return std::nullopt;
  return FromMicros(rows.Int(row, column));
}
inline std::string TextAt(const storage::SqlRows& rows, std::size_t row, std::size_t column) {
  return rows.IsNull(row, column) ? std::string() : rows.Text(row, column);
}

/// "2026-11-22T03:26:55.123Z".
std::string Iso8601(WallTime time);

}  // namespace mezzo::jobs::internal
