#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"

namespace mezzo::observe {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn, kError, kOff };
enum class LogFormat : std::uint8_t { kJson, kConsole };

/// "debug", "info", "warn", "error" or "off"; fails with "invalid_log_level".
Result<LogLevel> ParseLogLevel(std::string_view text);
/// "json" or "console"; fails with "invalid_log_format".
Result<LogFormat> ParseLogFormat(std::string_view text);
std::string_view LogLevelName(LogLevel level);

/// Stands for a secret in a log line, which shows "***" and only tells whether there was one ("" when empty).
class Redacted {
 public:
  explicit Redacted(std::string_view secret) : empty_(secret.empty()) {}
  [[nodiscard]] std::string_view shown() const { return empty_ ? "" : "***"; }

 private:
  bool empty_;
};

/// A key and a value of a log line; borrows both. Durations are shown in seconds.
struct LogField {
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

  LogField(std::string_view k, std::string_view text) : key(k), value(text) {}
  LogField(std::string_view k, const char* text) : key(k), value(std::string_view(text)) {}
  LogField(std::string_view k, const std::string& text) : key(k), value(std::string_view(text)) {}
  LogField(std::string_view k, const Redacted& secret) : key(k), value(secret.shown()) {}
  LogField(std::string_view k, Duration duration) : key(k), value(Seconds(duration)) {}
  template <typename Tag>
  LogField(std::string_view k, const StrongId<Tag>& id) : key(k), value(std::string_view(id.str())) {}
  template <typename T>
    requires std::is_arithmetic_v<T>
  LogField(std::string_view k, T number) : key(k), value(Number(number)) {}

  std::string_view key;
  Value value;

 private:
  template <typename T>
  static Value Number(T number) {
    if constexpr (std::is_same_v<T, bool>) return number;
    if constexpr (std::is_floating_point_v<T>) return static_cast<double>(number);
    if constexpr (std::is_signed_v<T>) return static_cast<std::int64_t>(number);
    return static_cast<std::uint64_t>(number);
  }
};
using LogFields = std::initializer_list<LogField>;

class LimitedLog;

/// Writes structured events, one line and one write(2) each, to a file descriptor.
///
/// JSON: {"ts":"2023-11-14T22:13:20.000Z","level":"info","msg":"model loaded","model":"magika"}. Console: the
/// same for eyes, with control characters escaped, so that no logged text can drive a terminal. A line is at
/// most kMaxLine bytes; what does not fit is cut and marked with truncated=true. Keys are written in code:
/// [a-z0-9_.].
///
/// Thread-safe. Below the level a call costs one atomic load. A line that can't be written whole is counted
/// and lost. Log no payloads, no secrets (Redacted), no file path that came with a request.
class Logger {
 public:
  struct Options {
    LogLevel level = LogLevel::kInfo;
    LogFormat format = LogFormat::kJson;
    int fd = 2;                     ///< Borrowed; stays open until the logger is gone.
    std::uint32_t limit_burst = 5;  ///< Lines of one Limited() key within limit_window.
    Duration limit_window = std::chrono::seconds(10);
  };
  static constexpr std::size_t kMaxLine = 8192;

  /// `clock` must outlive the logger.
  Logger(Options options, const Clock& clock);

  void Debug(std::string_view message, LogFields fields = {}) { Log(LogLevel::kDebug, message, fields); }
  void Info(std::string_view message, LogFields fields = {}) { Log(LogLevel::kInfo, message, fields); }
  void Warn(std::string_view message, LogFields fields = {}) { Log(LogLevel::kWarn, message, fields); }
  void Error(std::string_view message, LogFields fields = {}) { Log(LogLevel::kError, message, fields); }
  void Log(LogLevel level, std::string_view message, LogFields fields = {});

  /// For events that a client can cause at any rate: `log.Limited("bad_frame").Warn("…", {…})` writes at most
  /// `limit_burst` lines per `limit_window` and key; the first line after a pause tells how many were
  /// suppressed. Keys name call sites, not data; past kMaxKeys all new keys share one limit.
  [[nodiscard]] LimitedLog Limited(std::string_view key);
  static constexpr std::size_t kMaxKeys = 256;

  void set_level(LogLevel level) { level_.store(level, std::memory_order_relaxed); }
  [[nodiscard]] LogLevel level() const { return level_.load(std::memory_order_relaxed); }
  void set_format(LogFormat format) { format_.store(format, std::memory_order_relaxed); }
  [[nodiscard]] LogFormat format() const { return format_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool enabled(LogLevel level) const {
    return level >= this->level() && level < LogLevel::kOff;
  }
  /// Lines lost because the descriptor took them not or not whole.
  [[nodiscard]] std::uint64_t lost_lines() const { return lost_.load(std::memory_order_relaxed); }
  /// Lines that Limited() suppressed, all keys together.
  [[nodiscard]] std::uint64_t suppressed_lines() const { return suppressed_.load(std::memory_order_relaxed); }

 private:
  friend class LimitedLog;
  struct Window {
    TimePoint start;
    std::uint32_t lines = 0;
    std::uint64_t suppressed = 0;
  };

  /// Whether a line of this key may go out; sets `suppressed` to what it has to report.
  bool Admit(std::string_view key, std::uint64_t& suppressed) EXCLUDES(mu_);
  void Write(LogLevel level, std::string_view message, LogFields fields, std::uint64_t suppressed);

  const Options options_;
  const Clock& clock_;
  // Both are read by every call and changed alone; no partner.
  std::atomic<LogLevel> level_;
  std::atomic<LogFormat> format_;
  std::atomic<std::uint64_t> lost_{0};        // A count, no partner.
  std::atomic<std::uint64_t> suppressed_{0};  // A count, no partner.
  Mutex mu_;
  std::map<std::string, Window, std::less<>> windows_ GUARDED_BY(mu_);
};

/// What Logger::Limited() gives: the same calls under a limit. Use it at once.
class LimitedLog {
 public:
  void Debug(std::string_view message, LogFields fields = {}) { Log(LogLevel::kDebug, message, fields); }
  void Info(std::string_view message, LogFields fields = {}) { Log(LogLevel::kInfo, message, fields); }
  void Warn(std::string_view message, LogFields fields = {}) { Log(LogLevel::kWarn, message, fields); }
  void Error(std::string_view message, LogFields fields = {}) { Log(LogLevel::kError, message, fields); }
  void Log(LogLevel level, std::string_view message, LogFields fields);

 private:
  friend class Logger;
  LimitedLog(Logger& logger, std::string_view key) : logger_(logger), key_(key) {}

  Logger& logger_;
  std::string_view key_;
};

}  // namespace mezzo::observe
