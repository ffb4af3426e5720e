#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/app/cli/metrics_text.h"
#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/clock.h"

namespace mezzo::app::cli {

/// A line of the repository index.
struct IndexLine {
  std::string name;
  std::string version;
  std::string state;  ///< "READY", "UNAVAILABLE", ...
  std::string reason;
};
/// Fails with "bad_answer".
Result<std::vector<IndexLine>> ParseIndex(std::string_view json);

/// What the server said at one moment.
struct TopSample {
  TimePoint at;
  MetricsText metrics;
  std::vector<ServerStatistics> statistics;
  std::vector<IndexLine> index;
};

/// Figures of the time between two samples. Negative: unknown or nothing happened.
struct TopRow {
  std::string name;
  std::string version;
  std::string state;
  double rate = 0;      ///< Requests per second.
  double failures = 0;  ///< Per second.
  double refusals = 0;  ///< Per second.
  double p50 = -1;      ///< Seconds.
  double p99 = -1;
  double queued = 0;  ///< Requests that waited, on average; now, where the server has a gauge.
  double batch = -1;  ///< Mean rows.
  double device = 0;  ///< Share of the device's slots, or busy slots when their number is unknown.
  std::uint64_t memory_bytes = 0;
};

struct TopView {
  std::string url;
  Duration interval{};
  bool slots_known = false;
  double slots = 0;
  double busy = 0;  ///< Mean slots that ran something.
  double queued = 0;
  double cpu = 0;  ///< Cores of the server process.
  double resident_bytes = 0;
  double connections = 0;
  double threads = 0;
  double loop_stalls = 0;  ///< Since the last sample.
  double model_bytes = 0;
  double model_budget_bytes = 0;
  std::vector<TopRow> models;   ///< Busiest first, then by name.
  std::vector<TopRow> tenants;  ///< Likewise.
};

/// Compares two samples; `before` must be the earlier one of the same server (after a restart rates are
/// zero).
TopView CompareSamples(const TopSample& before, const TopSample& after);

/// A frame of at most `height` lines of at most `width` columns, without cursor movement; columns that do not
/// fit are left out, least important first. `colour`: with ANSI attributes.
std::string RenderTop(const TopView& view, std::size_t width, std::size_t height, bool colour);

}  // namespace mezzo::app::cli
