#include "mezzo/app/cli/arrivals.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

constexpr std::size_t kMaxTrace = 20'000'000;
constexpr double kLongest = 3.0e9;  // Seconds; what FromSeconds() keeps exact enough.

class Poisson final : public ArrivalSchedule {
 public:
  Poisson(double rate, std::uint64_t seed) : rate_(rate), random_(seed) {}
  Duration Next() override {
    // Not std::exponential_distribution: its values are the library's own, and a seed should mean one
    // schedule.
    const double uniform = static_cast<double>(random_() >> 11) * 0x1p-53;
    at_ += -std::log1p(-uniform) / rate_;
    return at_ > kLongest ? kEnd : FromSeconds(at_);
  }

 private:
  double rate_;
  double at_ = 0;
  std::mt19937_64 random_;
};

class Uniform final : public ArrivalSchedule {
 public:
  explicit Uniform(double rate) : rate_(rate) {}
  Duration Next() override {
    const double at = static_cast<double>(index_++) / rate_;
    return at > kLongest ? kEnd : FromSeconds(at);
  }

 private:
  double rate_;
  std::uint64_t index_ = 0;
};

class Trace final : public ArrivalSchedule {
 public:
  Trace(std::vector<Duration> offsets, double time_scale)
      : offsets_(std::move(offsets)), time_scale_(time_scale) {}
  Duration Next() override {
    if (index_ == offsets_.size()) return kEnd;
    return FromSeconds(Seconds(offsets_[index_++]) / time_scale_);
  }

 private:
  std::vector<Duration> offsets_;
  double time_scale_;
  std::size_t index_ = 0;
};

class Part final : public ArrivalSchedule {
 public:
  Part(std::unique_ptr<ArrivalSchedule> whole, std::uint32_t part, std::uint32_t parts)
      : whole_(std::move(whole)), skip_(part), parts_(parts) {}
  Duration Next() override {
    Duration at{};
    for (std::uint32_t i = 0; i <= skip_; ++i) at = whole_->Next();
    skip_ = parts_ - 1;
    return at;
  }

 private:
  std::unique_ptr<ArrivalSchedule> whole_;
  std::uint32_t skip_;
  std::uint32_t parts_;
};

std::optional<double> ParseNumber(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// "2024-05-01 12:00:00.25" in seconds since the epoch.
std::optional<double> ParseTimestamp(std::string_view text) {
  if (text.ends_with('Z')) text.remove_suffix(1);
  if (text.size() < 19 || text[4] != '-' || text[7] != '-' || (text[10] != ' ' && text[10] != 'T') ||
      text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const auto field = [text](std::size_t at, std::size_t count) { return ParseUint(text.substr(at, count)); };
  const auto year = field(0, 4), month = field(5, 2), day = field(8, 2), hour = field(11, 2),
             minute = field(14, 2);
  const auto second = ParseNumber(text.substr(17));
  if (!year || !month || !day || !hour || !minute || !second || *second < 0 || *second >= 61)
    return std::nullopt;
  if (*hour > 23 || *minute > 59) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return static_cast<double>(days) * 86400 + static_cast<double>(*hour * 3600 + *minute * 60) + *second;
}

std::string_view FirstColumn(std::string_view line) {
  const std::size_t comma = line.find(',');
  std::string_view column = Trim(line.substr(0, comma));
  if (column.size() >= 2 && column.front() == '"' && column.back() == '"')
    column = column.substr(1, column.size() - 2);
  return column;
}

}  // namespace

std::unique_ptr<ArrivalSchedule> PoissonArrivals(double rate, std::uint64_t seed) {
  return std::make_unique<Poisson>(rate, seed);
}

std::unique_ptr<ArrivalSchedule> UniformArrivals(double rate) { return std::make_unique<Uniform>(rate); }

std::unique_ptr<ArrivalSchedule> TraceArrivals(std::vector<Duration> offsets, double time_scale) {
  return std::make_unique<Trace>(std::move(offsets), time_scale);
}

std::unique_ptr<ArrivalSchedule> PartOfArrivals(std::unique_ptr<ArrivalSchedule> whole, std::uint32_t part,
                                                std::uint32_t parts) {
  if (parts <= 1) return whole;
  return std::make_unique<Part>(std::move(whole), part, parts);
}

Result<std::vector<Duration>> ParseTrace(std::string_view text, std::string_view source) {
  std::vector<double> times;
  std::size_t number = 0;
  bool header_allowed = true;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    line = Trim(line);
    if (line.empty() || line.front() == '#') continue;
    const std::string_view column = FirstColumn(line);
    std::optional<double> time = ParseNumber(column);
    if (!time) time = ParseTimestamp(column);
    if (!time) {
      if (std::exchange(header_allowed, false)) continue;
      return InvalidArgument("bad_trace", std::string(source) + ":" + std::to_string(number) + ": '" +
                                              Printable(column, 40) +
                                              "' is neither a number of seconds nor a timestamp");
    }
    header_allowed = false;
    if (times.size() == kMaxTrace) {
      return InvalidArgument("bad_trace", std::string(source) + ": more than 20000000 arrivals");
    }
    times.push_back(*time);
  }
  if (times.empty()) return InvalidArgument("bad_trace", std::string(source) + ": holds no arrival");
  std::sort(times.begin(), times.end());
  if (times.back() - times.front() > kLongest) {
    return InvalidArgument("bad_trace", std::string(source) + ": spans more than 3000000000 seconds");
  }
  std::vector<Duration> offsets;
  offsets.reserve(times.size());
  for (const double time : times) offsets.push_back(FromSeconds(time - times.front()));
  return offsets;
}

}  // namespace mezzo::app::cli
