#include "mezzo/app/version_testing.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "mezzo/base/uuid.h"

namespace mezzo::app {
namespace {

lifecycle::VersionTestRunner::Options RunnerOptions(const ServerConfig& config, const Clock& clock) {
  const VersionTestsConfig& tests = config.registry.tests;
  lifecycle::VersionTestRunner::Options options;
  options.host =
      NewUuidV7(clock.WallNow());  // Another one after a restart: what the last one held is not held.
  options.limits.memory = tests.memory;
  options.limits.cpu_seconds = static_cast<unsigned>(Seconds(tests.cpu_time));
  options.limits.time = tests.time;
  options.limits.threads = config.engine.intra_op_threads > 0
                               ? config.engine.intra_op_threads
                               : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  options.limits.runs = static_cast<std::uint32_t>(tests.runs);
  options.rules = {.latency_factor = tests.latency_factor,
                   .latency_slack = tests.latency_slack,
                   .memory_factor = tests.memory_factor};
  options.manifest.max_files = config.registry.max_files;
  options.manifest.max_file_bytes = config.registry.max_file;
  options.manifest.max_bytes = config.registry.max_version;
  options.fetch_timeout = config.registry.fetch_timeout;
  return options;
}

}  // namespace

VersionTesting::VersionTesting(const ServerConfig& config, Ports ports)
    : tests_(ports.db, ports.clock),
      process_({.library = config.engine.library}, ports.clock),
      metrics_(ports.metrics),
      runner_(RunnerOptions(config, ports.clock),
              {.registry = ports.registry,
               .tests = tests_,
               .fetch = std::move(ports.fetch),
               .test = [this](const lifecycle::CompatibilityPlan& plan,
                              const std::function<bool()>& stop) { return process_.Test(plan, stop); },
               .clock = ports.clock,
               .log = ports.log,
               .metrics = metrics_}) {}

}  // namespace mezzo::app
