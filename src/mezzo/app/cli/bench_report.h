#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/app/cli/flow_run.h"
#include "mezzo/app/cli/flow_spec.h"
#include "mezzo/base/clock.h"

namespace mezzo::app::cli {

/// What the server's own statistics say about a flow's model during the run (all its callers together).
struct ServerView {
  std::uint64_t rows = 0;
  std::uint64_t batches = 0;
  Duration mean_queue{};
  Duration mean_compute{};
  [[nodiscard]] double mean_batch() const {
    return batches == 0 ? 0 : static_cast<double>(rows) / static_cast<double>(batches);
  }
};

/// One line of the report.
struct FlowReport {
  FlowSpec spec;
  std::string name;
  FlowTally tally;
  Duration window{};  ///< What rates are divided by.
  std::optional<ServerView> server;

  [[nodiscard]] double PerSecond(std::uint64_t count) const {
    return window <= Duration::zero() ? 0 : static_cast<double>(count) / Seconds(window);
  }
};

struct BenchReport {
  WallTime started_at;
  std::uint64_t seed = 0;
  std::size_t threads = 1;
  Duration warmup{};
  bool interrupted = false;
  std::vector<FlowReport> flows;

  /// All flows as one; its window is the longest.
  [[nodiscard]] FlowReport Total() const;
};

/// Tables, a histogram of all latencies, and remarks on what makes the figures doubtful; ends with a line
/// break.
std::string ReportText(const BenchReport& report);
/// One JSON object, schema "mezzo.bench/1" (docs/guides/bench.md), with the raw buckets of every histogram.
std::string ReportJson(const BenchReport& report);

/// The line under a running benchmark: bar, rate, in flight, quantiles of the last moments, errors.
struct ProgressSample {
  Duration elapsed{};
  Duration planned{};  ///< Zero: unknown.
  bool warming_up = false;
  double rate = 0;  ///< Answers per second, lately.
  std::size_t in_flight = 0;
  Duration p50{};
  Duration p99{};
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;
  std::uint64_t dropped = 0;
};
std::string ProgressLine(const ProgressSample& sample, std::size_t width);

/// "950us", "1.25ms", "12.4s": three digits.
std::string ShortDuration(Duration duration);
/// "950", "1.25k", "3.4M".
std::string ShortCount(double count);

}  // namespace mezzo::app::cli
