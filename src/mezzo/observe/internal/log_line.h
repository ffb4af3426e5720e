#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/observe/log.h"

namespace mezzo::observe::internal {

/// "2023-11-14T22:13:20.000Z" (RFC 3339, UTC). Times before 1970 show as 1970.
std::string FormatRfc3339(WallTime time);

struct LogEvent {
  WallTime at;
  LogLevel level = LogLevel::kInfo;
  std::string_view message;
  LogFields fields;
  std::uint64_t suppressed = 0;  ///< Shown when not zero.
};

/// One line with its line feed, at most Logger::kMaxLine bytes. `out` is replaced.
void FormatLogLine(const LogEvent& event, LogFormat format, std::string& out);

}  // namespace mezzo::observe::internal
