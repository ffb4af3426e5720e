#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// When the requests of an open-loop flow are meant to be sent: a function of its parameters and the seed
/// alone, never of how the server behaves. Not thread-safe.
class ArrivalSchedule {
 public:
  virtual ~ArrivalSchedule() = default;
  /// The next arrival as an offset from the start, never before the one returned last; kEnd when there is
  /// none.
  virtual Duration Next() = 0;

  static constexpr Duration kEnd = Duration::max();
};

/// Independent exponential gaps with a mean of 1 / `rate` (per second, above 0).
std::unique_ptr<ArrivalSchedule> PoissonArrivals(double rate, std::uint64_t seed);
/// Equal gaps of 1 / `rate`; the first arrival is at zero.
std::unique_ptr<ArrivalSchedule> UniformArrivals(double rate);
/// The given ascending offsets, `time_scale` (above 0) times as fast.
std::unique_ptr<ArrivalSchedule> TraceArrivals(std::vector<Duration> offsets, double time_scale);
/// Every `parts`-th arrival of `whole`, beginning with number `part`: how threads share one flow.
std::unique_ptr<ArrivalSchedule> PartOfArrivals(std::unique_ptr<ArrivalSchedule> whole, std::uint32_t part,
                                                std::uint32_t parts);

/// Reads a recorded trace: CSV whose first column is a time, in seconds ("12.25", any origin) or as a
/// timestamp
/// ("2024-05-01 12:00:00.25", also with 'T' and a trailing 'Z'). Empty lines, lines that start with '#' and a
/// header line are skipped. Times are sorted and made relative to the first. At most 20 million. Fails with
/// "bad_trace" naming `source`, the line and the value.
Result<std::vector<Duration>> ParseTrace(std::string_view text, std::string_view source);

}  // namespace mezzo::app::cli
