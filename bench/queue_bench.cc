// Questions: how many no-op jobs a second go from enqueue to complete on one host, and how long does a job
// wait on an idle host before it starts, with few and with many others in the queue? Budgets: 5,000/s on
// SQLite, every commit on disk; 1.5 times River on the same PostgreSQL; 10 ms at the 99th percentile.
//
// Usage: mezzo_bench_queue [--jobs N] [--batch N] [--slots N] [--preload] [--database URL] [--latency N]
//        [--waiting N]
// Without --database it takes SQLite in a temporary folder. --preload queues all jobs before the host starts.
// --latency N starts N paid jobs one after the other instead, while the host works down --waiting N free ones
// that sleep for 10 to 30 ms each.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/jobs/dispatcher.h"
#include "mezzo/jobs/schema.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::jobs {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class NoOp final : public JobHandler {
 public:
  Result<JobEstimate> Check(const TenantId&, const std::string&) override { return JobEstimate{}; }
  Result<std::string> Run(JobRun&) override {
    runs.fetch_add(1, std::memory_order_relaxed);
    return std::string("{}");
  }
  std::atomic<std::size_t> runs{0};  // A count; no partner.
};

struct Load {
  std::size_t jobs = 50'000;
  std::size_t batch = 200;
  std::size_t slots = 64;
  bool preload = false;
  std::string database;
  std::size_t latency = 0;
  std::size_t waiting = 0;
};

template <typename T>
T MustBe(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "%s\n", result.error().ToString().c_str());
  std::exit(1);
}

std::int64_t Succeeded(storage::SqlDb& db, const Clock& clock) {
  std::int64_t count = 0;
  const auto read = db.Read(
      [&count](storage::SqlSession& session) -> Result<void> {
        MEZZO_TRY(const storage::SqlRows rows,
                  session.Run("SELECT COUNT(*) FROM jobs WHERE state = 'succeeded'", {}));
        count = rows.Int(0, 0);
        return {};
      },
      clock.Now() + seconds(30));
  if (!read.ok()) std::fprintf(stderr, "%s\n", read.error().ToString().c_str());
  return count;
}

/// The queue on an empty database.
struct Bench {
  explicit Bench(const Load& load) : db(Open(load, folder, clock)), store({}, *db, clock), metrics(registry) {
    if (const auto done = storage::Migrate(*db, "jobs", Migrations(), clock.Now() + minutes(1), clock);
        !done.ok()) {
      std::fprintf(stderr, "%s\n", done.error().ToString().c_str());
      std::exit(1);
    }
  }
  static std::unique_ptr<storage::SqlDb> Open(const Load& load, const storage::testing::TempDir& folder,
                                              const Clock& clock) {
    if (load.database.empty()) {
      return MustBe(drivers::SqliteDb::Open({.path = folder.path() + "/mezzo.db"}, clock));
    }
    std::unique_ptr<storage::SqlDb> db =
        MustBe(drivers::PostgresDb::Open({.connection = load.database}, clock));
    const auto emptied = db->Transact(
        [](storage::SqlSession& session) {
          return session.RunScript("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;");
        },
        clock.Now() + minutes(1));
    if (!emptied.ok()) std::fprintf(stderr, "%s\n", emptied.error().ToString().c_str());
    return db;
  }
  std::unique_ptr<Dispatcher> StartHost(const Load& load,
                                        std::map<std::string, JobHandler*, std::less<>> handlers) {
    auto host = std::make_unique<Dispatcher>(
        Dispatcher::Options{.slots = load.slots},
        Dispatcher::Ports{.store = store, .db = *db, .clock = clock, .log = log, .metrics = metrics},
        std::move(handlers));
    host->Start();
    return host;
  }
  void Enqueue(const NewJob& job, std::size_t count, std::size_t batch) {
    for (std::size_t queued = 0; queued < count; queued += batch) {
      const std::vector<NewJob> jobs(std::min(batch, count - queued), job);
      for (const auto& outcome : MustBe(store.Enqueue(jobs, clock.Now() + minutes(1)))) MustBe(outcome);
    }
  }

  const RealClock clock;
  const storage::testing::TempDir folder;
  const std::unique_ptr<storage::SqlDb> db;
  JobStore store;
  observe::Logger log{{.level = observe::LogLevel::kWarn}, clock};
  observe::Registry registry;
  JobMetrics metrics;
};

double SecondsSince(TimePoint start, const Clock& clock) { return Seconds(clock.Now() - start); }

int MeasureThroughput(const Load& load) {
  Bench bench(load);
  NoOp handler;
  const NewJob job{.tenant = TenantId("t"), .kind = "bench", .request = "{}"};
  std::unique_ptr<Dispatcher> host;
  if (!load.preload) host = bench.StartHost(load, {{"bench", &handler}});
  const TimePoint started = bench.clock.Now();
  bench.Enqueue(job, load.jobs, load.batch);
  const double queued_in = SecondsSince(started, bench.clock);
  const TimePoint working = bench.clock.Now();
  if (load.preload) host = bench.StartHost(load, {{"bench", &handler}});
  // Counting rows costs the database what the jobs should have: only once all have run.
  while (handler.runs.load(std::memory_order_relaxed) < load.jobs ||
         Succeeded(*bench.db, bench.clock) < static_cast<std::int64_t>(load.jobs)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const auto jobs = static_cast<double>(load.jobs);
  std::printf("{\"jobs\": %zu, \"enqueued_per_s\": %.0f, \"worked_per_s\": %.0f, \"jobs_per_s\": %.0f}\n",
              load.jobs, jobs / queued_in, jobs / SecondsSince(working, bench.clock),
              jobs / SecondsSince(started, bench.clock));
  host->Stop(seconds(1));
  return 0;
}

/// Takes time but no processor: 20 ms in the mean, each another, so that they do not all end at once.
class Sleeps final : public JobHandler {
 public:
  Result<JobEstimate> Check(const TenantId&, const std::string&) override { return JobEstimate{}; }
  Result<std::string> Run(JobRun&) override {
    constexpr std::uint64_t kSpread = 20'001;
    const std::uint64_t step = runs_.fetch_add(1, std::memory_order_relaxed) * 7919 % kSpread;
    std::this_thread::sleep_for(std::chrono::microseconds(10'000 + step));
    return std::string("{}");
  }

 private:
  std::atomic<std::uint64_t> runs_{0};  // A count; no partner.
};

/// Tells when a job starts.
class Starts final : public JobHandler {
 public:
  explicit Starts(const Clock& clock) : clock_(clock) {}
  Result<JobEstimate> Check(const TenantId&, const std::string&) override { return JobEstimate{}; }
  Result<std::string> Run(JobRun&) override {
    started_.store(clock_.Now().time_since_epoch().count(), std::memory_order_release);
    return std::string("{}");
  }
  TimePoint Await() {
    std::int64_t at = 0;
    while ((at = started_.exchange(0, std::memory_order_acquire)) == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    return TimePoint(Duration(at));
  }

 private:
  const Clock& clock_;
  std::atomic<std::int64_t> started_{0};  // Released by Run(), acquired by Await().
};

int MeasureLatency(const Load& load) {
  Bench bench(load);
  Starts handler(bench.clock);
  Sleeps background;
  const NewJob other{.tenant = TenantId("other"), .kind = "background", .tier = Tier::kFree, .request = "{}"};
  bench.Enqueue(other, load.waiting, 1000);
  const auto host = bench.StartHost(load, {{"bench", &handler}, {"background", &background}});
  std::this_thread::sleep_for(seconds(1));  // Idle, and listening.
  std::vector<double> millis;
  millis.reserve(load.latency);
  const NewJob job{.tenant = TenantId("t"), .kind = "bench", .tier = Tier::kPaid, .request = "{}"};
  for (std::size_t i = 0; i < load.latency; ++i) {
    const TimePoint asked = bench.clock.Now();
    bench.Enqueue(job, 1, 1);
    millis.push_back(Seconds(handler.Await() - asked) * 1e3);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  std::sort(millis.begin(), millis.end());
  std::printf("{\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n", millis[millis.size() / 2],
              millis[millis.size() * 99 / 100], millis.back());
  host->Stop(seconds(1));
  return 0;
}

}  // namespace
}  // namespace mezzo::jobs

int main(int argc, char** argv) {
  mezzo::jobs::Load load;
  CLI::App app("mezzo_bench_queue");
  app.add_option("--jobs", load.jobs);
  app.add_option("--batch", load.batch);
  app.add_option("--slots", load.slots);
  app.add_flag("--preload", load.preload);
  app.add_option("--database", load.database);
  app.add_option("--latency", load.latency);
  app.add_option("--waiting", load.waiting);
  CLI11_PARSE(app, argc, argv);
  return load.latency > 0 ? mezzo::jobs::MeasureLatency(load) : mezzo::jobs::MeasureThroughput(load);
}
