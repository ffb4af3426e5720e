// Question: how many no-op jobs a second go from enqueue to complete on one host? Budget: 5,000/s on SQLite,
// every commit on disk.
//
// Usage: mezzo_bench_queue [jobs] [batch] [slots]

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

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
  Result<std::string> Run(JobRun&) override { return std::string("{}"); }
};

struct Load {
  std::size_t jobs = 50'000;
  std::size_t batch = 200;
  std::size_t slots = 64;
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

int Run(const Load& load) {
  const RealClock clock;
  const storage::testing::TempDir folder;
  const auto db = MustBe(drivers::SqliteDb::Open({.path = folder.path() + "/mezzo.db"}, clock));
  if (const auto done = storage::Migrate(*db, "jobs", Migrations(), clock.Now() + minutes(1), clock);
      !done.ok()) {
    std::fprintf(stderr, "%s\n", done.error().ToString().c_str());
    return 1;
  }
  JobStore store({}, *db, clock);
  observe::Logger log({.level = observe::LogLevel::kWarn}, clock);
  observe::Registry registry;
  JobMetrics metrics(registry);
  NoOp handler;
  Dispatcher dispatcher({.slots = load.slots},
                        {.store = store, .db = *db, .clock = clock, .log = log, .metrics = metrics},
                        {{"noop", &handler}});
  dispatcher.Start();

  const auto started = std::chrono::steady_clock::now();
  const std::vector<NewJob> batch(load.batch, {.tenant = TenantId("t"), .kind = "noop", .request = "{}"});
  for (std::size_t queued = 0; queued < load.jobs; queued += load.batch) {
    for (const auto& outcome : MustBe(store.Enqueue(batch, clock.Now() + minutes(1)))) MustBe(outcome);
  }
  const double queued_in = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  while (Succeeded(*db, clock) < static_cast<std::int64_t>(load.jobs)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const double all_in = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const auto jobs = static_cast<double>(load.jobs);
  std::printf("{\"jobs\": %zu, \"enqueued_per_s\": %.0f, \"jobs_per_s\": %.0f, \"commits\": %llu}\n",
              load.jobs, jobs / queued_in, jobs / all_in, static_cast<unsigned long long>(db->commits()));
  dispatcher.Stop(seconds(1));
  return 0;
}

}  // namespace
}  // namespace mezzo::jobs

int main(int argc, char** argv) {
  mezzo::jobs::Load load;
  if (argc > 1) load.jobs = std::strtoull(argv[1], nullptr, 10);
  if (argc > 2) load.batch = std::strtoull(argv[2], nullptr, 10);
  if (argc > 3) load.slots = std::strtoull(argv[3], nullptr, 10);
  return mezzo::jobs::Run(load);
}
