#pragma once

#include <functional>
#include <string>
#include <thread>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/compatibility.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/version_fetcher.h"
#include "mezzo/lifecycle/version_test_store.h"
#include "mezzo/lifecycle/version_tester.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::lifecycle {

/// What a host's tests of versions count. Thread-safe.
struct VersionTestMetrics {
  explicit VersionTestMetrics(observe::Registry& registry);
  observe::Counter& passed;
  observe::Counter& failed;
  observe::Counter& postponed;
  observe::Histogram& seconds;

 private:
  VersionTestMetrics(observe::Registry& registry, observe::Family<observe::Counter>& ended);
};

/// Tests versions that are `testing`, one at a time, on a thread of its own,
/// and makes them `ready` or `rejected` with the reason; the report is kept.
/// Any host may do it: a lease in the database gives each test to one, and to
/// another when its host has gone. What fails for reasons that are not the
/// version's (the store, this host) is tried again later. Thread-safe.
class VersionTestRunner final : public VersionTester {
 public:
  struct Options {
    std::string host;  ///< Unlike any other process's.
    TestLimits limits;
    ComparisonRules rules;
    ManifestLimits manifest;
    Duration fetch_timeout = std::chrono::minutes(30);
    Duration lease = std::chrono::seconds(60);
    Duration poll = std::chrono::seconds(5);    ///< Between looks without being told.
    Duration pause = std::chrono::seconds(15);  ///< Before a test that could not be made is tried again.
    std::int64_t max_attempts = 3;              ///< A version whose host goes away so often is rejected.
  };
  /// All outlive the runner.
  struct Ports {
    RegistryStore& registry;
    VersionTestStore& tests;
    /// VersionFetcher::Fetch().
    std::function<Result<VersionFetcher::Pin>(const Manifest&, TimePoint)> fetch;
    /// ProcessVersionTester::Test().
    std::function<Result<CompatibilityReport>(const CompatibilityPlan&, const std::function<bool()>& stop)>
        test;
    const Clock& clock;
    observe::Logger& log;
    VersionTestMetrics& metrics;
  };
  VersionTestRunner(Options options, Ports ports) : options_(std::move(options)), ports_(std::move(ports)) {}
  ~VersionTestRunner() override { Stop(); }
  VersionTestRunner(const VersionTestRunner&) = delete;
  VersionTestRunner& operator=(const VersionTestRunner&) = delete;

  /// Wakes the thread of this host; other hosts find the version by themselves.
  Result<void> Begin(const VersionRecord& version) override EXCLUDES(mu_);
  void Start();
  /// Ends the test that runs and gives it back.
  void Stop() EXCLUDES(mu_);

  /// Tests what is due now, on the caller's thread. How many tests came to a
  /// verdict.
  Result<std::size_t> RunOnce();

 private:
  class LeaseKeeper;

  void Loop() EXCLUDES(mu_);
  [[nodiscard]] bool stopping() const EXCLUDES(mu_);
  /// In the version's record, once for each reason.
  void SayWhyItWaits(const VersionRecord& version, const Error& error);
  [[nodiscard]] TimePoint Soon() const;
  Result<bool> TestOne(const VersionRecord& version, const VersionTestStore::Held& held);
  Result<CompatibilityReport> Judge(const VersionRecord& version, const LeaseKeeper& lease);
  Result<VersionFetcher::Pin> Fetch(const std::string& model, std::int64_t version);
  /// The newest ready one below; 0: there is none.
  Result<std::int64_t> Predecessor(const VersionRecord& version);

  const Options options_;
  const Ports ports_;
  mutable Mutex mu_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mu_) = false;
  bool woken_ GUARDED_BY(mu_) = false;
  TimePoint pruned_{};  // Only of the thread that runs RunOnce().
  std::thread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::lifecycle
