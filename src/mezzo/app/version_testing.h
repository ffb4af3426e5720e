#pragma once

#include <functional>
#include <string>

#include "mezzo/app/server_config.h"
#include "mezzo/base/clock.h"
#include "mezzo/lifecycle/process_version_tester.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/version_test_runner.h"
#include "mezzo/lifecycle/version_test_store.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::app {

/// Tests of versions that arrive, wired: this program as the process that tests, and the runner over it.
class VersionTesting {
 public:
  /// All outlive this. `clock` is that of all hosts.
  struct Ports {
    storage::SqlDb& db;
    lifecycle::RegistryStore& registry;
    std::function<Result<lifecycle::VersionFetcher::Pin>(const lifecycle::Manifest&, TimePoint)> fetch;
    const Clock& clock;
    observe::Logger& log;
    observe::Registry& metrics;
  };
  VersionTesting(const ServerConfig& config, Ports ports);

  [[nodiscard]] lifecycle::VersionTester& tester() { return runner_; }
  [[nodiscard]] lifecycle::VersionTestStore& tests() { return tests_; }
  void Start() { runner_.Start(); }
  void Stop() { runner_.Stop(); }

 private:
  lifecycle::VersionTestStore tests_;
  const lifecycle::ProcessVersionTester process_;
  lifecycle::VersionTestMetrics metrics_;
  lifecycle::VersionTestRunner runner_;  // Last: its thread uses what is above.
};

}  // namespace mezzo::app
