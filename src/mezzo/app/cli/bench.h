#pragma once

#include <atomic>
#include <functional>
#include <optional>

#include "mezzo/app/cli/bench_command.h"
#include "mezzo/app/cli/bench_report.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// A benchmark as it will run: the command line and the scenario, merged and checked.
struct BenchPlan {
  ServerOptions server;
  Duration duration = std::chrono::seconds(10);
  Duration warmup = std::chrono::seconds(1);
  std::uint64_t requests = 0;  ///< Measured requests of each flow; 0: `duration` ends it.
  std::uint64_t seed = 1;
  std::size_t threads = 1;
  std::vector<FlowSpec> flows;
};

/// Merges scenario file and flags (flags win). Fails with "bad_flow", "unreadable_file" or the scenario's own
/// errors.
Result<BenchPlan> PlanBench(const BenchOptions& options);

/// Called every `interval` while a benchmark runs; returns true to stop it early.
struct BenchObserver {
  Duration interval = std::chrono::milliseconds(250);
  bool wants_samples = false;  ///< False: `tick` gets an empty sample, which costs nothing to make.
  std::function<bool(const ProgressSample&)> tick;
};

/// Asks the servers for what the flows need, sends the requests, and gathers the figures. Blocks for the
/// duration; then waits for answers at most the request timeout.
Result<BenchReport> RunBench(const BenchPlan& plan, const BenchObserver& observer, const Clock& clock);

}  // namespace mezzo::app::cli
