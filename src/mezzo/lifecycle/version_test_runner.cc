#include "mezzo/lifecycle/version_test_runner.h"

#include <atomic>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::lifecycle {
namespace {

constexpr const char* kWho = "version-test";
constexpr std::size_t kBatch = 100;
constexpr Duration kDatabaseTime = std::chrono::seconds(30);
constexpr Duration kPruneEvery = std::chrono::minutes(10);

CompatibilityReport Refusal(std::string_view check, std::string reason) {
  return {.checks = {
              {.name = std::string(check), .outcome = CheckOutcome::kFailed, .reason = std::move(reason)}}};
}

}  // namespace

VersionTestMetrics::VersionTestMetrics(observe::Registry& registry)
    : VersionTestMetrics(registry, registry.NewCounterFamily(
                                       "mezzo_registry_tests_total",
                                       "Tests of versions that have arrived, by outcome.", {"outcome"})) {}

VersionTestMetrics::VersionTestMetrics(observe::Registry& registry, observe::Family<observe::Counter>& ended)
    : passed(ended.With({"passed"})),
      failed(ended.With({"failed"})),
      postponed(ended.With({"postponed"})),
      seconds(registry.NewHistogram("mezzo_registry_test_seconds",
                                    "Time of a version's test, with fetching its files.")) {}

/// Renews the lease of a test while it lives.
class VersionTestRunner::LeaseKeeper {
 public:
  LeaseKeeper(VersionTestStore& tests, const VersionTestStore::Held& held, Duration lease, const Clock& clock)
      : tests_(tests),
        held_(held),
        lease_(lease),
        clock_(clock),
        until_(clock.Now() + lease),
        thread_([this] { Loop(); }) {}
  ~LeaseKeeper() {
    {
      const MutexLock lock(mu_);
      ending_ = true;
      wake_.NotifyAll();
    }
    thread_.join();
  }
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  [[nodiscard]] bool lost() const { return lost_.load(); }

 private:
  void Loop() {
    runtime::SetThreadName("version-lease");
    while (true) {
      const TimePoint next = clock_.Now() + lease_ / 3;
      {
        MutexLock lock(mu_);
        while (!ending_ && clock_.Now() < next) wake_.WaitUntil(mu_, next);
        if (ending_) return;
      }
      const TimePoint start = clock_.Now();
      const auto renewed = tests_.Renew(held_, lease_, start + lease_ / 3);
      if (renewed.ok() && *renewed) {
        until_ = start + lease_;
      } else if (renewed.ok() || clock_.Now() >= until_) {
        lost_ = true;
        return;
      }
    }
  }

  VersionTestStore& tests_;
  const VersionTestStore::Held held_;
  const Duration lease_;
  const Clock& clock_;
  TimePoint until_;                // Only of the thread.
  std::atomic<bool> lost_{false};  // Alone.
  Mutex mu_;
  CondVar wake_;
  bool ending_ GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last.
};

Result<void> VersionTestRunner::Begin(const VersionRecord& /*version*/) {
  const MutexLock lock(mu_);
  woken_ = true;
  wake_.NotifyAll();
  return {};
}

void VersionTestRunner::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void VersionTestRunner::Stop() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

bool VersionTestRunner::stopping() const {
  const MutexLock lock(mu_);
  return stopping_;
}

TimePoint VersionTestRunner::Soon() const { return AddSaturating(ports_.clock.Now(), kDatabaseTime); }

void VersionTestRunner::Loop() {
  runtime::SetThreadName("version-tests");
  while (!stopping()) {
    if (const auto round = RunOnce(); !round.ok()) {
      ports_.log.Limited("version_tests")
          .Warn("looking for versions to test failed",
                {{"reason", round.error().reason()}, {"message", round.error().message()}});
    }
    const TimePoint next = ports_.clock.Now() + options_.poll;
    MutexLock lock(mu_);
    while (!stopping_ && !woken_ && ports_.clock.Now() < next) wake_.WaitUntil(mu_, next);
    woken_ = false;
  }
}

Result<std::size_t> VersionTestRunner::RunOnce() {
  if (pruned_ == TimePoint() || ports_.clock.Now() - pruned_ >= kPruneEvery) {
    MEZZO_TRY_VOID(ports_.tests.Prune(Soon()));
    pruned_ = ports_.clock.Now();
  }
  VersionQuery query;
  query.state = VersionState::kTesting;
  query.order = RegistryOrder::kTime;
  MEZZO_TRY(const auto page, ports_.registry.ListVersions(query, "", kBatch, Soon()));
  std::size_t verdicts = 0;
  for (const VersionRecord& version : page.records) {
    if (stopping()) break;
    const auto model = ports_.registry.GetModel(version.model, Soon());
    if (!model.ok() && model.error().code() == Code::kNotFound) continue;  // Gone meanwhile.
    if (!model.ok()) return model.error();
    MEZZO_TRY(const auto held, ports_.tests.Claim({.model_id = model->id, .version = version.version},
                                                  options_.host, options_.lease, Soon()));
    if (!held) continue;  // Another host's, or paused.
    MEZZO_TRY(const bool judged, TestOne(version, *held));
    verdicts += judged ? 1 : 0;
  }
  return verdicts;
}

void VersionTestRunner::SayWhyItWaits(const VersionRecord& version, const Error& error) {
  const StateChange change{.from = VersionState::kTesting,
                           .to = VersionState::kTesting,
                           .reason = "could not be tested yet: " +
                                     Printable(error.message(), CompatibilityReport::kMaxReason / 2)};
  if (change.reason == version.reason) return;
  // Whoever can't write it either has said so in the log.
  (void)ports_.registry.SetState(version.model, version.version, change, kWho, Soon());
}

Result<bool> VersionTestRunner::TestOne(const VersionRecord& version, const VersionTestStore::Held& held) {
  // It may have been judged between the list and the claim.
  const auto now = ports_.registry.GetVersion(version.model, version.version, Soon());
  if (!now.ok() || now->state != VersionState::kTesting) {
    MEZZO_TRY_VOID(ports_.tests.Release(held, Duration::zero(), Soon()));
    if (!now.ok() && now.error().code() != Code::kNotFound) return now.error();
    return false;
  }
  const TimePoint start = ports_.clock.Now();
  Result<CompatibilityReport> report = CompatibilityReport();
  {
    const LeaseKeeper lease(ports_.tests, held, options_.lease, ports_.clock);
    report =
        held.attempt > options_.max_attempts
            ? Refusal(kLoadCheck, fmt::format("its test ended with its host {} times", options_.max_attempts))
            : Judge(version, lease);
    if (lease.lost()) return false;  // Another host has it.
  }
  ports_.metrics.seconds.Observe(ports_.clock.Now() - start);
  if (!report.ok()) {
    ports_.metrics.postponed.Add();
    if (!stopping()) {
      ports_.log.Warn("a version could not be tested; tried again later",
                      {{"model", version.model},
                       {"version", version.version},
                       {"reason", report.error().reason()},
                       {"message", report.error().message()}});
      SayWhyItWaits(*now, report.error());
    }
    MEZZO_TRY_VOID(ports_.tests.Release(held, stopping() ? Duration::zero() : options_.pause, Soon()));
    return false;
  }
  MEZZO_TRY(const bool kept, ports_.tests.Finish(held, report->ToJson(), Soon()));
  if (!kept) return false;
  const bool passed = report->passed();
  const StateChange change{.from = VersionState::kTesting,
                           .to = passed ? VersionState::kReady : VersionState::kRejected,
                           .reason = report->Reason()};
  const auto set = ports_.registry.SetState(version.model, version.version, change, kWho, Soon());
  // Somebody has removed it, or moved it on by hand.
  if (!set.ok() && set.error().code() != Code::kNotFound && set.error().code() != Code::kFailedPrecondition) {
    return set.error();
  }
  (passed ? ports_.metrics.passed : ports_.metrics.failed).Add();
  ports_.log.Info("version tested", {{"model", version.model},
                                     {"version", version.version},
                                     {"passed", passed},
                                     {"why", report->Reason()},
                                     {"seconds", Seconds(ports_.clock.Now() - start)}});
  return true;
}

Result<VersionFetcher::Pin> VersionTestRunner::Fetch(const std::string& model, std::int64_t version) {
  MEZZO_TRY(auto files, ports_.registry.FilesOf(model, version, Soon()));
  MEZZO_TRY(const Manifest manifest, Manifest::Make(std::move(files), options_.manifest));
  return ports_.fetch(manifest, AddSaturating(ports_.clock.Now(), options_.fetch_timeout));
}

Result<std::int64_t> VersionTestRunner::Predecessor(const VersionRecord& version) {
  VersionQuery query;
  query.match = NameMatch::kEquals;
  query.model = version.model;
  query.state = VersionState::kReady;
  std::string token;
  do {
    MEZZO_TRY(const auto page, ports_.registry.ListVersions(query, token, kBatch, Soon()));
    for (const VersionRecord& one : page.records) {
      // A version without files is registered by its source alone: there is
      // nothing to compare with.
      if (one.version < version.version && one.files > 0) return one.version;
    }
    token = page.next;
  } while (!token.empty());
  return 0;
}

Result<CompatibilityReport> VersionTestRunner::Judge(const VersionRecord& version, const LeaseKeeper& lease) {
  auto files = Fetch(version.model, version.version);
  // What the store has is not what was sent; it will not get better.
  if (!files.ok() && files.error().code() == Code::kDataLoss)
    return Refusal(kFilesCheck, files.error().message());
  if (!files.ok()) return std::move(files).error();
  MEZZO_TRY(const std::int64_t before, Predecessor(version));
  VersionFetcher::Pin against;
  if (before > 0) {
    MEZZO_TRY(against, Fetch(version.model, before));
  }
  const CompatibilityPlan plan{.folder = files->folder(),
                               .against = against.folder(),
                               .model = version.model,
                               .limits = options_.limits,
                               .rules = options_.rules};
  return ports_.test(plan, [&] { return stopping() || lease.lost(); });
}

}  // namespace mezzo::lifecycle
