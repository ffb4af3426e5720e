#include "mezzo/jobs/dispatcher.h"

#include <atomic>
#include <functional>
#include <set>
#include <sstream>
#include <thread>

#include "queue_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/storage/testing/temp_dir.h"
#include "mezzo/tenancy/ledger/ledger.h"
#include "mezzo/tenancy/ledger/usage_schema.h"

namespace mezzo::jobs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

bool Within(Duration limit, const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return true;
}

/// Does what the test says.
class FakeHandler final : public JobHandler {
 public:
  using Body = std::function<Result<std::string>(JobRun&)>;
  explicit FakeHandler(Body body) : body_(std::move(body)) {}
  Result<JobEstimate> Check(const TenantId&, const std::string&) override { return JobEstimate{}; }
  Result<std::string> Run(JobRun& run) override {
    ++runs;
    return body_(run);
  }
  std::atomic<int> runs = 0;

 private:
  const Body body_;
};

/// Waits until it is told to stop.
Result<std::string> UntilCancelled(JobRun& run) {
  Within(seconds(20), [&run] { return run.cancelled(); });
  return Cancelled("stopped", "was told to stop");
}

/// Hosts on one queue, with the real clock.
class DispatcherTest : public QueueTest {
 protected:
  DispatcherTest() : log_({.level = observe::LogLevel::kError}, real_) {
    JobStore::Options options;
    options.lease = milliseconds(600);
    options.retry.first_delay = milliseconds(10);
    store_ = std::make_unique<JobStore>(options, *db_, real_);
  }

  std::unique_ptr<Dispatcher> Host(FakeHandler& handler, Dispatcher::Options options = {}) {
    if (options.poll == Dispatcher::Options{}.poll) options.poll = milliseconds(50);
    options.sweep = milliseconds(20);
    auto host =
        std::make_unique<Dispatcher>(std::move(options),
                                     Dispatcher::Ports{.store = *store_,
                                                       .db = *db_,
                                                       .clock = real_,
                                                       .log = log_,
                                                       .metrics = metrics_,
                                                       .ledger = ledger_.get(),
                                                       .on_end = on_end_},
                                     std::map<std::string, JobHandler*, std::less<>>{{"test", &handler}});
    host->Start();
    return host;
  }
  bool Reaches(const JobId& id, JobState state) {
    return Within(seconds(20), [&] { return Get(id).state == state; });
  }
  /// Whether `count` jobs come to be in `state`.
  bool CountReaches(const std::string& state, const std::string& count, seconds limit) {
    return Within(
        limit, [&] { return Query("SELECT COUNT(*) FROM jobs WHERE state = '" + state + "'")[0] == count; });
  }

  void OpenLedger() {
    ASSERT_TRUE(storage::Migrate(*db_, "usage", tenancy::UsageMigrations(), Soon(), real_).ok());
    auto opened = tenancy::Ledger::Open({}, {.db = *db_,
                                             .disk = disk_,
                                             .folder = journal_.path(),
                                             .clock = real_,
                                             .registry = registry_,
                                             .log = log_});
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    ledger_ = *std::move(opened);
  }

  observe::Logger log_;
  observe::Registry registry_;
  JobMetrics metrics_{registry_};
  storage::testing::TempDir journal_;
  tenancy::JournalDisk disk_;
  std::unique_ptr<tenancy::Ledger> ledger_;  // Null unless a test opens it.
  std::function<void(const LeasedJob&, const RunEnd&)> on_end_;
};

TEST_P(DispatcherTest, RunsWhatIsQueuedBeforeAndAfterItStarts) {
  FakeHandler handler(
      [](JobRun& run) -> Result<std::string> { return "{\"was\":" + run.job().request + "}"; });
  const JobId before = Add(New());
  const auto host = Host(handler);
  EXPECT_TRUE(Reaches(before, JobState::kSucceeded));

  const JobId after = Add(New());
  EXPECT_TRUE(Reaches(after, JobState::kSucceeded));
  EXPECT_EQ(Get(after).result, "{\"was\":{}}");
}

TEST_P(DispatcherTest, FaultsThatPassAreRetriedThreeTimesAndOthersNot) {
  FakeHandler passing([](JobRun&) -> Result<std::string> { return Unavailable("engine_busy", "busy"); });
  {
    const auto host = Host(passing);
    const JobId id = Add(New());
    EXPECT_TRUE(Reaches(id, JobState::kFailed));
    EXPECT_EQ(Get(id).attempt, 4);
    EXPECT_EQ(Get(id).error->reason, "engine_busy");
    EXPECT_EQ(passing.runs, 4);
  }
  FakeHandler lasting(
      [](JobRun&) -> Result<std::string> { return InvalidArgument("prompt_empty", "no prompt"); });
  const auto host = Host(lasting);
  const JobId id = Add(New());
  EXPECT_TRUE(Reaches(id, JobState::kFailed));
  EXPECT_EQ(lasting.runs, 1);
}

TEST_P(DispatcherTest, AJobIsChargedOnceByTheAttemptThatCounts) {
  OpenLedger();
  std::atomic<int> attempts = 0;
  FakeHandler handler([&attempts](JobRun& run) -> Result<std::string> {
    run.Made("sdxl", "2", {.images = 3, .bytes_out = 100});
    if (++attempts < 3) return Unavailable("engine_busy", "busy");
    return std::string("{}");
  });
  FakeHandler failing([](JobRun& run) -> Result<std::string> {
    run.Made("sdxl", "2", {.images = 3, .bytes_out = 100});
    return InvalidArgument("prompt_empty", "no prompt");
  });
  {
    const auto host = Host(handler);
    EXPECT_TRUE(Reaches(Add(New()), JobState::kSucceeded));
  }
  {
    const auto host = Host(failing);
    EXPECT_TRUE(Reaches(Add(New()), JobState::kFailed));
  }
  EXPECT_EQ(attempts, 3);
  EXPECT_EQ(ledger_->AccountFor({.tenant = "a", .model = "sdxl", .version = "2", .kind = "job"}).Total(),
            (tenancy::Usage{.requests = 2, .failed = 1, .images = 3, .bytes_out = 100}));
  EXPECT_EQ(ledger_->state().accounts, 1U);
}

TEST_P(DispatcherTest, EveryAttemptThatCountsIsToldWithItsDeviceTime) {
  Mutex mu;
  std::vector<std::string> told;
  on_end_ = [&](const LeasedJob& job, const RunEnd& end) {
    MutexLock lock(mu);
    told.push_back(job.model + " " + std::to_string(end.fence.attempt) + " " +
                   (end.kind == RunEnd::Kind::kSucceeded ? "succeeded" : "again") + " " +
                   std::to_string(end.device_time / milliseconds(1)) + " ms of " +
                   std::to_string(static_cast<int>(job.cost)) + " s");
  };
  std::atomic<int> attempts = 0;
  FakeHandler handler([&attempts](JobRun& run) -> Result<std::string> {
    run.AddDeviceTime(milliseconds(20 + attempts));
    if (++attempts < 2) return Unavailable("engine_busy", "busy");
    return std::string("{}");
  });
  {
    const auto host = Host(handler);
    EXPECT_TRUE(Reaches(Add(New("a", Tier::kFree, 3)), JobState::kSucceeded));
  }
  MutexLock lock(mu);
  EXPECT_EQ(told, (std::vector<std::string>{"m 1 again 20 ms of 3 s", "m 2 succeeded 21 ms of 3 s"}));
}

TEST_P(DispatcherTest, WhoseKeyQueuedAJobIsChargedHoweverItEnds) {
  OpenLedger();
  tenancy::Account& ended_early =
      ledger_->AccountFor({.tenant = "a", .project = "shop", .key_id = "k1", .model = "m", .kind = "job"});
  NewJob job = New();
  job.project = ProjectId("shop");
  job.key = KeyId("k1");
  FakeHandler patient([](JobRun& run) -> Result<std::string> {
    while (!run.cancelled()) std::this_thread::sleep_for(milliseconds(2));
    return Cancelled("cancelled", "told to stop");
  });
  {
    const auto host = Host(patient);
    const JobId id = Add(job);
    ASSERT_TRUE(Within(seconds(20), [&] { return patient.runs == 1; }));
    ASSERT_TRUE(store_->Cancel(TenantId("a"), id, Soon()).ok());
    EXPECT_TRUE(Reaches(id, JobState::kCancelled));
  }
  EXPECT_EQ(ended_early.Total(), (tenancy::Usage{.requests = 1, .failed = 1}));

  FakeHandler making([](JobRun& run) -> Result<std::string> {
    EXPECT_EQ(run.job().project.str() + "/" + run.job().key.str(), "shop/k1");
    run.Made("sdxl", "2", {.images = 3});
    return std::string("{}");
  });
  {
    const auto host = Host(making);
    EXPECT_TRUE(Reaches(Add(job), JobState::kSucceeded));
  }
  EXPECT_EQ(ledger_
                ->AccountFor({.tenant = "a",
                              .project = "shop",
                              .key_id = "k1",
                              .model = "sdxl",
                              .version = "2",
                              .kind = "job"})
                .Total(),
            (tenancy::Usage{.requests = 1, .images = 3}));
}

TEST_P(DispatcherTest, AnAttemptThatLostItsLeaseIsNotCharged) {
  OpenLedger();
  std::atomic<bool> go = false;
  FakeHandler slow([&go](JobRun& run) -> Result<std::string> {
    run.Made("sdxl", "2", {.images = 3});
    while (!go) std::this_thread::sleep_for(milliseconds(2));
    return std::string("{}");
  });
  const auto host = Host(slow);
  const JobId id = Add(New());
  ASSERT_TRUE(Within(seconds(20), [&] { return slow.runs == 1; }));
  // Another host takes the job over and finishes it.
  const auto stolen = db_->Transact(
      [](storage::SqlSession& session) -> Result<void> {
        MEZZO_TRY_VOID(session.Run("UPDATE jobs SET attempt = attempt + 1", {}));
        return {};
      },
      Soon());
  ASSERT_TRUE(stolen.ok());
  ASSERT_TRUE(Succeed({.id = id, .attempt = 2}));
  go = true;
  ASSERT_TRUE(Within(seconds(20), [&] { return host->running() == 0; }));
  host->Stop(seconds(5));
  EXPECT_EQ(Get(id).state, JobState::kSucceeded);
  EXPECT_EQ(ledger_->state().accounts, 0U);
}

TEST_P(DispatcherTest, CancellingReachesARunningHandlerAtOnce) {
  FakeHandler handler(UntilCancelled);
  const auto host = Host(handler);
  const JobId id = Add(New());
  ASSERT_TRUE(Reaches(id, JobState::kRunning));
  ASSERT_TRUE(Within(seconds(10), [&handler] { return handler.runs == 1; }));

  const auto asked = std::chrono::steady_clock::now();
  ASSERT_TRUE(store_->Cancel(TenantId("a"), id, Soon()).ok());
  EXPECT_TRUE(Reaches(id, JobState::kCancelled));
  EXPECT_LT(std::chrono::steady_clock::now() - asked, seconds(5));
}

TEST_P(DispatcherTest, AHandlerThatComputesForManyLeasesKeepsItsJob) {
  FakeHandler handler([](JobRun&) -> Result<std::string> {
    std::this_thread::sleep_for(seconds(2));
    return std::string("{}");
  });
  const auto host = Host(handler);
  const JobId id = Add(New());
  EXPECT_TRUE(Reaches(id, JobState::kSucceeded));
  EXPECT_EQ(Get(id).attempt, 1);
  EXPECT_EQ(handler.runs, 1);
}

TEST_P(DispatcherTest, AJobOfAHostThatVanishedRunsOnAnother) {
  const JobId id = Add(New());
  ASSERT_EQ(Claim(1, "a host that is gone").size(), 1U);
  FakeHandler handler([](JobRun&) -> Result<std::string> { return std::string("{}"); });
  const auto host = Host(handler);
  EXPECT_TRUE(Reaches(id, JobState::kSucceeded));
  EXPECT_EQ(Get(id).attempt, 2);
  EXPECT_EQ(Get(id).crashes, 1);
}

TEST_P(DispatcherTest, StoppingGivesJobsBackAndCountsNothing) {
  FakeHandler handler(UntilCancelled);
  Dispatcher::Options options;
  options.slots = 2;
  auto host = Host(handler, options);
  std::vector<JobId> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(Add(New()));
  ASSERT_TRUE(Within(seconds(10), [&handler] { return handler.runs == 2; }));

  host->Stop(milliseconds(20));

  for (const JobId& id : ids) {
    const Job job = Get(id);
    EXPECT_EQ(job.state, JobState::kQueued);
    EXPECT_EQ(job.errors + job.crashes, 0);
  }
}

TEST_P(DispatcherTest, LeasesNoMoreThanItsSlotsAndPrefetch) {
  FakeHandler handler(UntilCancelled);
  Dispatcher::Options options;
  options.slots = 2;
  const auto host = Host(handler, options);
  for (int i = 0; i < 10; ++i) Add(New());
  ASSERT_TRUE(Within(seconds(10), [&handler] { return handler.runs == 2; }));
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_THAT(Query("SELECT COUNT(*) FROM jobs WHERE state = 'running'"), ElementsAre("4"));
  EXPECT_EQ(host->running(), 2U);
}

TEST_P(DispatcherTest, AnUrgentJobGoesBeforeWhatWasLeasedAhead) {
  std::atomic<bool> open = false;
  Mutex mu;
  std::vector<std::string> order;
  FakeHandler handler([&](JobRun& run) -> Result<std::string> {
    while (!open && !run.cancelled()) std::this_thread::sleep_for(milliseconds(1));
    MutexLock lock(mu);
    order.push_back(run.job().model);
    return std::string("{}");
  });
  Dispatcher::Options options;
  options.slots = 1;
  options.express = 0;
  options.prefetch = 3;
  const auto host = Host(handler, options);
  NewJob free = New();
  free.tier = Tier::kFree;
  free.model = "free";
  for (int i = 0; i < 3; ++i) Add(free);
  ASSERT_TRUE(CountReaches("running", "3", seconds(10)));
  NewJob paid = New();
  paid.tier = Tier::kPaid;
  paid.model = "paid";
  Add(paid);
  // The database has a job running before the host has put it in its place.
  ASSERT_TRUE(Within(seconds(10), [&] { return metrics_.prefetched.value() == 3; }));

  open = true;

  ASSERT_TRUE(Within(seconds(10), [&] {
    MutexLock lock(mu);
    return order.size() == 4;
  }));
  EXPECT_THAT(order, ElementsAre("free", "paid", "free", "free"));
}

TEST_P(DispatcherTest, PaidJobsHaveSlotsThatOthersCanNotTake) {
  Mutex mu;
  std::multiset<std::string> running;
  FakeHandler handler([&](JobRun& run) -> Result<std::string> {
    {
      MutexLock lock(mu);
      running.insert(run.job().model);
    }
    auto ended = UntilCancelled(run);
    const MutexLock lock(mu);
    // One of them: a job whose lease was lost on a busy machine runs again.
    running.extract(run.job().model);
    return ended;
  });
  Dispatcher::Options options;
  options.slots = 2;
  options.express = 2;
  const auto host = Host(handler, options);
  const auto add = [this](Tier tier, const std::string& name, int count) {
    NewJob job = New();
    job.tier = tier;
    job.model = name;
    for (int i = 0; i < count; ++i) Add(job);
  };
  const auto runs = [&](const std::string& name) {
    MutexLock lock(mu);
    return running.count(name);
  };
  add(Tier::kFree, "free", 8);
  ASSERT_TRUE(Within(seconds(10), [&] { return runs("free") == 2; }));

  add(Tier::kPaid, "paid", 3);

  ASSERT_TRUE(Within(seconds(10), [&] { return runs("paid") == 2; }));
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(runs("paid"), 2U) << "as many as there are express slots";
  EXPECT_EQ(runs("free"), 2U);
  EXPECT_EQ(host->running(), 4U);
}

TEST_P(DispatcherTest, NewsWhileEverySlotIsTakenIsNotForgotten) {
  std::atomic<bool> open = false;
  FakeHandler handler([&open](JobRun& run) -> Result<std::string> {
    while (!open && !run.cancelled()) std::this_thread::sleep_for(milliseconds(1));
    return std::string("{}");
  });
  Dispatcher::Options options;
  options.slots = 1;
  options.express = 1;
  options.poll = std::chrono::hours(1);
  const auto host = Host(handler, options);
  for (int i = 0; i < 2; ++i) Add(New());
  ASSERT_TRUE(CountReaches("running", "2", seconds(10)));

  // There is room for urgent jobs only: the look for those must not be the only one.
  for (int i = 0; i < 3; ++i) Add(New());
  std::this_thread::sleep_for(milliseconds(200));
  open = true;

  EXPECT_TRUE(CountReaches("succeeded", "5", seconds(10)));
}

TEST_P(DispatcherTest, UrgentJobsFollowOneAnotherWhileOthersHoldTheSlots) {
  FakeHandler handler([](JobRun& run) -> Result<std::string> {
    return run.job().model == "free" ? UntilCancelled(run) : Result<std::string>(std::string("{}"));
  });
  Dispatcher::Options options;
  options.slots = 1;
  options.express = 1;
  options.poll = std::chrono::hours(1);
  const auto host = Host(handler, options);
  NewJob free = New();
  free.model = "free";
  free.tier = Tier::kFree;
  for (int i = 0; i < 2; ++i) Add(free);
  ASSERT_TRUE(CountReaches("running", "2", seconds(10)));
  NewJob paid = New();
  paid.tier = Tier::kPaid;

  ASSERT_TRUE(store_->Enqueue(std::vector<NewJob>(5, paid), Soon()).ok());

  EXPECT_TRUE(CountReaches("succeeded", "5", seconds(10)));
}

TEST_P(DispatcherTest, ManyHostsRunEveryJobOnce) {
  std::atomic<int> total = 0;
  FakeHandler handler([&total](JobRun&) -> Result<std::string> {
    ++total;
    return std::string("{}");
  });
  std::vector<std::unique_ptr<Dispatcher>> hosts;
  for (int i = 0; i < 3; ++i) hosts.push_back(Host(handler));
  std::vector<NewJob> jobs(300, New());
  ASSERT_TRUE(store_->Enqueue(jobs, Soon()).ok());

  EXPECT_TRUE(CountReaches("succeeded", "300", seconds(30)));
  EXPECT_EQ(total, 300);
}

TEST_P(DispatcherTest, AResultThatCannotBeStoredFailsItsJobOnly) {
  FakeHandler handler([](JobRun& run) -> Result<std::string> {
    return run.job().model == "bad" ? std::string("{\"x\":\"\xff\"}") : std::string("{}");
  });
  NewJob bad = New();
  bad.model = "bad";
  const JobId failing = Add(bad);
  const JobId good = Add(New());
  const auto host = Host(handler);
  EXPECT_TRUE(Reaches(failing, JobState::kFailed));
  EXPECT_EQ(Get(failing).error->reason, "job_result_not_storable");
  EXPECT_TRUE(Reaches(good, JobState::kSucceeded));
}

TEST_P(DispatcherTest, ProgressIsSeenAndAKindWithoutHandlerFails) {
  FakeHandler handler([](JobRun& run) -> Result<std::string> {
    EXPECT_TRUE(run.Report(0.5, "half").ok());
    return UntilCancelled(run);
  });
  const auto host = Host(handler);
  const JobId id = Add(New());
  EXPECT_TRUE(Within(seconds(10), [&] { return Get(id).stage == "half"; }));
  EXPECT_EQ(Get(id).progress, 0.5);
  ASSERT_TRUE(store_->Cancel(TenantId("a"), id, Soon()).ok());

  NewJob other = New();
  other.kind = "unknown";
  const JobId unknown = Add(other);
  EXPECT_TRUE(Reaches(unknown, JobState::kFailed));
  EXPECT_EQ(Get(unknown).error->reason, "job_kind_unknown");
}

INSTANTIATE_TEST_SUITE_P(Databases, DispatcherTest, BothDatabases(), DatabaseName);

}  // namespace
}  // namespace mezzo::jobs
