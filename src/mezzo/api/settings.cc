#include "mezzo/api/settings.h"

#include <charconv>
#include <limits>
#include <utility>

#include "mezzo/base/strings.h"

namespace mezzo::api {
namespace {

Error UnknownSetting(std::string_view name) {
  return InvalidArgument("setting_unknown", "unknown setting '" + Printable(name) + "'");
}

/// A whole decimal number in [low, high].
template <typename T>
Result<T> ParseSetting(const TraceChange& change, T low) {
  T value{};
  if (change.values.size() == 1) {
    const std::string& text = change.values.front();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= low) return value;
  }
  std::string got;
  for (const auto& value_text : change.values) got += (got.empty() ? "" : ",") + Printable(value_text);
  return InvalidArgument("setting_invalid", "Unable to parse '" + change.name + "': expected a number in [" +
                                                std::to_string(low) + ", " +
                                                std::to_string(std::numeric_limits<T>::max()) + "], got '" +
                                                got + "'");
}

Result<bool> ParseLevels(const std::vector<std::string>& levels) {
  bool timestamps = false;
  for (const std::string& level : levels) {
    if (level == "TIMESTAMPS") {
      timestamps = true;
    } else if (level == "OFF") {
      if (levels.size() != 1) {
        return InvalidArgument("setting_invalid", "Expect only one trace level 'OFF' is specified");
      }
    } else if (level == "TENSORS") {
      return Unimplemented("trace_level_unsupported",
                           "trace level 'TENSORS' is not supported: tensors are never written to traces");
    } else {
      return InvalidArgument("setting_invalid",
                             "unknown trace level '" + Printable(level) + "': expected OFF or TIMESTAMPS");
    }
  }
  return timestamps;
}

template <typename T>
Result<T> LogValue(const LogChange& change, std::string_view expected) {
  if (const T* value = std::get_if<T>(&change.value)) return *value;
  return InvalidArgument("setting_invalid",
                         "Unable to parse '" + change.name + "': expected " + std::string(expected));
}

Result<void> ApplyLog(const LogChange& change, LogSetting* setting) {
  if (change.name == "log_file") {
    return Unimplemented("log_file_refused", "log file location can not be updated through network protocol");
  }
  if (change.name == "log_info") {
    MEZZO_TRY(setting->info, LogValue<bool>(change, "a boolean"));
  } else if (change.name == "log_warning") {
    MEZZO_TRY(setting->warning, LogValue<bool>(change, "a boolean"));
  } else if (change.name == "log_error") {
    MEZZO_TRY(setting->error, LogValue<bool>(change, "a boolean"));
  } else if (change.name == "log_verbose_level") {
    MEZZO_TRY(const std::uint64_t level, LogValue<std::uint64_t>(change, "a number in [0, 4294967295]"));
    if (level > std::numeric_limits<std::uint32_t>::max()) {
      return InvalidArgument("setting_invalid",
                             "'log_verbose_level' must not exceed 4294967295, got " + std::to_string(level));
    }
    setting->verbose_level = static_cast<std::uint32_t>(level);
  } else if (change.name == "log_format") {
    MEZZO_TRY(std::string format, LogValue<std::string>(change, "a string"));
    if (format != "default" && format != "ISO8601") {
      return InvalidArgument("setting_invalid",
                             "'log_format' must be 'default' or 'ISO8601', got '" + Printable(format) + "'");
    }
    setting->format = std::move(format);
  } else {
    return UnknownSetting(change.name);
  }
  return {};
}

}  // namespace

TraceSettings::TraceSettings(TraceSetting initial, Listener listener)
    : initial_(initial), listener_(std::move(listener)) {}

Result<void> TraceSettings::Apply(const TraceChange& change, Overrides* overrides) {
  if (change.name == "trace_file") {
    return Unimplemented("trace_file_refused",
                         "trace file location can not be updated through network protocol");
  }
  if (change.name == "trace_level") {
    overrides->timestamps.reset();
    if (!change.clear) {
      MEZZO_TRY(overrides->timestamps, ParseLevels(change.values));
    }
  } else if (change.name == "trace_rate") {
    overrides->rate.reset();
    if (!change.clear) {
      MEZZO_TRY(overrides->rate, ParseSetting<std::uint32_t>(change, 1));
    }
  } else if (change.name == "trace_count") {
    overrides->count.reset();
    if (!change.clear) {
      MEZZO_TRY(overrides->count, ParseSetting<std::int32_t>(change, -1));
    }
  } else if (change.name == "log_frequency") {
    overrides->log_frequency.reset();
    if (!change.clear) {
      MEZZO_TRY(overrides->log_frequency, ParseSetting<std::uint32_t>(change, 0));
    }
  } else {
    return UnknownSetting(change.name);
  }
  return {};
}

TraceSetting TraceSettings::Merge(const Overrides& overrides, TraceSetting below) {
  return {.timestamps = overrides.timestamps.value_or(below.timestamps),
          .rate = overrides.rate.value_or(below.rate),
          .count = overrides.count.value_or(below.count),
          .log_frequency = overrides.log_frequency.value_or(below.log_frequency)};
}

Result<TraceSetting> TraceSettings::Update(std::string_view model, const std::vector<TraceChange>& changes) {
  {
    MutexLock lock(mu_);
    const auto found = overrides_.find(model);
    Overrides changed = found == overrides_.end() ? Overrides() : found->second;
    for (const TraceChange& change : changes) MEZZO_TRY_VOID(Apply(change, &changed));
    if (!changes.empty()) overrides_.insert_or_assign(std::string(model), changed);
  }
  TraceSetting now = Get(model);
  if (listener_ && !changes.empty()) listener_(model, now);
  return now;
}

TraceSetting TraceSettings::Get(std::string_view model) const {
  MutexLock lock(mu_);
  TraceSetting setting = initial_;
  if (const auto server = overrides_.find(std::string_view()); server != overrides_.end()) {
    setting = Merge(server->second, setting);
  }
  if (model.empty()) return setting;
  const auto found = overrides_.find(model);
  return found == overrides_.end() ? setting : Merge(found->second, setting);
}

LogSettings::LogSettings(LogSetting initial, Listener listener)
    : listener_(std::move(listener)), setting_(std::move(initial)) {}

Result<LogSetting> LogSettings::Update(const std::vector<LogChange>& changes) {
  LogSetting now;
  {
    MutexLock lock(mu_);
    now = setting_;
    for (const LogChange& change : changes) MEZZO_TRY_VOID(ApplyLog(change, &now));
    setting_ = now;
  }
  if (listener_ && !changes.empty()) listener_(now);
  return now;
}

LogSetting LogSettings::Get() const {
  MutexLock lock(mu_);
  return setting_;
}

}  // namespace mezzo::api
