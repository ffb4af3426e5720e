#include "mezzo/observe/log.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/observe/internal/log_line.h"

namespace mezzo::observe {

Result<LogLevel> ParseLogLevel(std::string_view text) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError, LogLevel::kOff}) {
    if (text == LogLevelName(level)) return level;
  }
  return InvalidArgument("invalid_log_level",
                         "log level must be debug, info, warn, error or off, not '" + Printable(text) + "'");
}

Result<LogFormat> ParseLogFormat(std::string_view text) {
  if (text == "json") return LogFormat::kJson;
  if (text == "console") return LogFormat::kConsole;
  return InvalidArgument("invalid_log_format",
                         "log format must be json or console, not '" + Printable(text) + "'");
}

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
    case LogLevel::kOff:
      return "off";
  }
  return "unknown";
}

Logger::Logger(Options options, const Clock& clock)
    : options_(options), clock_(clock), level_(options.level), format_(options.format) {}

void Logger::Log(LogLevel level, std::string_view message, LogFields fields) {
  if (enabled(level)) Write(level, message, fields, 0);
}

LimitedLog Logger::Limited(std::string_view key) { return {*this, key}; }

void LimitedLog::Log(LogLevel level, std::string_view message, LogFields fields) {
  std::uint64_t suppressed = 0;
  if (logger_.enabled(level) && logger_.Admit(key_, suppressed))
    logger_.Write(level, message, fields, suppressed);
}

bool Logger::Admit(std::string_view key, std::uint64_t& suppressed) {
  const TimePoint now = clock_.Now();
  const MutexLock lock(mu_);
  auto found = windows_.find(key);
  if (found == windows_.end()) {
    const std::string_view own = windows_.size() < kMaxKeys ? key : std::string_view();
    found = windows_.try_emplace(std::string(own), Window{.start = now}).first;
  }
  Window& window = found->second;
  if (now - window.start >= options_.limit_window) {
    window.start = now;
    window.lines = 0;
  }
  if (window.lines >= options_.limit_burst) {
    ++window.suppressed;
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  ++window.lines;
  suppressed = std::exchange(window.suppressed, 0);
  return true;
}

void Logger::Write(LogLevel level, std::string_view message, LogFields fields, std::uint64_t suppressed) {
  // Reused: a line costs no allocation once a thread has written its longest.
  thread_local std::string line;
  internal::FormatLogLine({.at = clock_.WallNow(),
                           .level = level,
                           .message = message,
                           .fields = fields,
                           .suppressed = suppressed},
                          format(), line);
  ssize_t written = 0;
  do written = ::write(options_.fd, line.data(), line.size());
  while (written < 0 && errno == EINTR);
  if (std::cmp_not_equal(written, line.size())) lost_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace mezzo::observe
