#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"

namespace mezzo::api {

/// What Triton's trace extension sets, as far as this server has it.
struct TraceSetting {
  bool timestamps = false;          ///< trace_level TIMESTAMPS; false is OFF.
  std::uint32_t rate = 1000;        ///< One request in so many is traced.
  std::int32_t count = -1;          ///< Traces still to make; -1: no end.
  std::uint32_t log_frequency = 0;  ///< Kept for clients; spans leave by export, not by file.
  friend bool operator==(const TraceSetting&, const TraceSetting&) = default;
};

/// One setting of a request as every protocol can say it: values as text, or back to the default.
struct TraceChange {
  std::string name;
  std::vector<std::string> values;
  bool clear = false;
};

/// The trace settings of the server and of single models. Thread-safe.
class TraceSettings {
 public:
  /// Told after each change what holds now; an empty model is the server's own setting. Called under no lock.
  using Listener = std::function<void(std::string_view model, const TraceSetting&)>;

  explicit TraceSettings(TraceSetting initial = {}, Listener listener = nullptr);

  /// All of `changes` or, on an error, none. `model` must exist; empty is the server. A model's setting that
  /// was cleared follows the server's, the server's goes back to its initial value. Errors: kUnimplemented
  /// "trace_file_refused" and "trace_level_unsupported"; kInvalidArgument "setting_unknown",
  /// "setting_invalid".
  Result<TraceSetting> Update(std::string_view model, const std::vector<TraceChange>& changes) EXCLUDES(mu_);
  /// What holds for a model.
  [[nodiscard]] TraceSetting Get(std::string_view model) const EXCLUDES(mu_);

 private:
  struct Overrides {
    std::optional<bool> timestamps;
    std::optional<std::uint32_t> rate;
    std::optional<std::int32_t> count;
    std::optional<std::uint32_t> log_frequency;
  };

  static Result<void> Apply(const TraceChange& change, Overrides* overrides);
  [[nodiscard]] static TraceSetting Merge(const Overrides& overrides, TraceSetting below);

  const TraceSetting initial_;
  const Listener listener_;
  mutable Mutex mu_;
  std::map<std::string, Overrides, std::less<>> overrides_ GUARDED_BY(mu_);  // "" is the server.
};

/// What Triton's logging extension sets.
struct LogSetting {
  bool info = true;
  bool warning = true;
  bool error = true;
  std::uint32_t verbose_level = 0;
  std::string format = "default";  ///< Or "ISO8601".
  friend bool operator==(const LogSetting&, const LogSetting&) = default;
};

struct LogChange {
  std::string name;  ///< "log_info" and so on.
  std::variant<bool, std::uint64_t, std::string> value;
};

/// The log settings of the server. Thread-safe.
class LogSettings {
 public:
  using Listener = std::function<void(const LogSetting&)>;  ///< Called under no lock.

  explicit LogSettings(LogSetting initial = {}, Listener listener = nullptr);

  /// All of `changes` or none. Errors: kUnimplemented "log_file_refused"; kInvalidArgument "setting_unknown",
  /// "setting_invalid".
  Result<LogSetting> Update(const std::vector<LogChange>& changes) EXCLUDES(mu_);
  [[nodiscard]] LogSetting Get() const EXCLUDES(mu_);

 private:
  const Listener listener_;
  mutable Mutex mu_;
  LogSetting setting_ GUARDED_BY(mu_);
};

}  // namespace mezzo::api
