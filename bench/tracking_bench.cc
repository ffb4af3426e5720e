// Question: how long do searches of runs take in an experiment of 10,000 runs with 20 metrics each, beside
// another experiment of as many? Budget: 100 ms at the 99th percentile.
//
// Usage: mezzo_bench_tracking [--runs N] [--metrics N] [--calls N] [--database URL]
// Without --database it takes SQLite in a temporary folder. Prints a line of JSON for each kind of call.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/lifecycle/tracking_schema.h"
#include "mezzo/lifecycle/tracking_store.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::lifecycle {
namespace {

struct Load {
  int runs = 10'000;
  int metrics = 20;
  int calls = 100;
  std::string database;
};

template <typename T>
T MustBe(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "%s\n", result.error().ToString().c_str());
  std::exit(1);
}
void MustBe(const Result<void>& result) {
  if (result.ok()) return;
  std::fprintf(stderr, "%s\n", result.error().ToString().c_str());
  std::exit(1);
}

std::unique_ptr<storage::SqlDb> Open(const Load& load, const std::string& folder, const Clock& clock) {
  if (load.database.empty()) return MustBe(drivers::SqliteDb::Open({.path = folder + "/mezzo.db"}, clock));
  return MustBe(drivers::PostgresDb::Open({.connection = load.database}, clock));
}

using C = SearchComparison;
using F = TrackingField;

class Bench {
 public:
  explicit Bench(const Load& load)
      : load_(load), db_(Open(load, folder_.path(), clock_)), store_({.max_runs = 1'000'000}, *db_, clock_) {
    MustBe(storage::Migrate(*db_, "tracking", TrackingMigrations(), Soon(), clock_));
  }

  void Fill() {
    for (const char* name : {"searched", "another"}) {
      const std::int64_t experiment = MustBe(store_.CreateExperiment(tenant_, name, {}, Soon())).id;
      if (searched_ == 0) searched_ = experiment;
      for (int i = 0; i < load_.runs; ++i) {
        const auto run = MustBe(store_.CreateRun(
            tenant_, {.experiment = experiment, .name = fmt::format("run {}", i % 100), .started_ms = i},
            Soon()));
        TrackingStore::RunNotes notes;
        for (int m = 0; m < load_.metrics; ++m) {
          notes.metrics.push_back({.key = fmt::format("metric{}", m), .value = Uniform(), .at_ms = i});
        }
        notes.params = {{"model", fmt::format("model-{}", i % 10)},
                        {"rate", fmt::format("{:.3f}", Uniform())}};
        notes.tags = {{"team", fmt::format("team-{}", i % 20)}};
        MustBe(store_.Note(tenant_, run.id, notes, Soon()));
      }
    }
  }

  void Run() {
    const TrackingCondition good = Metric(3, C::kGreater, 0.9);
    const TrackingCondition param{.field = F::kParam, .key = "model", .values = {"model-3"}};
    const TrackingCondition like{
        .field = F::kTag, .key = "team", .comparison = C::kLike, .values = {"team-1%"}};
    const TrackingOrder best{.field = F::kMetric, .key = "metric5", .down = true};
    Measure("newest", [&] { Search({}, {}); });
    Measure("metric > 0.9", [&] { Search({good}, {}); });
    Measure("metric > 0.9, by another", [&] { Search({good}, {best}); });
    Measure("all, by a metric", [&] { Search({}, {best}); });
    Measure("metric > 0.9, param =, by another", [&] { Search({good, param}, {best}); });
    Measure("three metrics, tag LIKE, by a metric and a param", [&] {
      Search({good, Metric(4, C::kLess, 0.5), Metric(6, C::kGreaterOrEqual, 0.2), like},
             {best, {.field = F::kParam, .key = "rate"}});
    });
    Measure("param =", [&] { Search({param}, {}); });
    Measure("param =, none has it",
            [&] { Search({{.field = F::kParam, .key = "model", .values = {"none"}}}, {}); });
    Measure("by a param", [&] { Search({}, {{.field = F::kParam, .key = "rate"}}); });
    Measure("run_name LIKE, by start",
            [&] { Search({{.comparison = C::kLike, .values = {"run 7%"}}}, {{.field = F::kStarted}}); });
    Measure("a page in the middle, by a metric", [&] { Search({}, {best}, MiddleOf({best})); });
  }

 private:
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + std::chrono::minutes(5); }
  double Uniform() { return static_cast<double>(random_() % 100'000) / 100'000; }
  static TrackingCondition Metric(int number, C comparison, double value) {
    return {
        .field = F::kMetric, .key = fmt::format("metric{}", number), .comparison = comparison, .real = value};
  }

  RegistryPage<RunRecord> Search(std::vector<TrackingCondition> conditions, std::vector<TrackingOrder> order,
                                 const std::string& token = "") {
    const RunQuery query{
        .experiments = {searched_}, .conditions = std::move(conditions), .order = std::move(order)};
    return MustBe(store_.SearchRuns(tenant_, query, token, 100, Soon()));
  }
  /// Behind half of all runs; looked for once.
  const std::string& MiddleOf(const std::vector<TrackingOrder>& order) {
    if (!middle_.empty()) return middle_;
    for (int seen = 0; seen < load_.runs / 2; seen += 100) middle_ = Search({}, order, middle_).next;
    return middle_;
  }

  void Measure(const char* what, const std::function<void()>& call) {
    for (int i = 0; i < 5; ++i) call();  // Prepared, and in the database's memory.
    std::vector<double> ms;
    for (int i = 0; i < load_.calls; ++i) {
      const TimePoint begin = clock_.Now();
      call();
      ms.push_back(Seconds(clock_.Now() - begin) * 1000);
    }
    std::sort(ms.begin(), ms.end());
    const auto at = [&](double part) {
      return ms[std::min(ms.size() - 1, static_cast<std::size_t>(part * static_cast<double>(ms.size())))];
    };
    std::printf("%s\n", fmt::format(R"({{"call":"{}","p50_ms":{:.3f},"p99_ms":{:.3f},"max_ms":{:.3f}}})",
                                    what, at(0.5), at(0.99), ms.back())
                            .c_str());
    std::fflush(stdout);
  }

  const Load load_;
  const TenantId tenant_{"bench"};
  RealClock clock_;
  storage::testing::TempDir folder_;
  std::unique_ptr<storage::SqlDb> db_;
  TrackingStore store_;
  std::int64_t searched_ = 0;
  std::string middle_;
  std::minstd_rand random_{1};
};

}  // namespace
}  // namespace mezzo::lifecycle

int main(int argc, char** argv) {
  mezzo::lifecycle::Load load;
  CLI::App app("Searches of tracked runs");
  app.add_option("--runs", load.runs, "Runs of each of two experiments");
  app.add_option("--metrics", load.metrics, "Metrics of each")->check(CLI::Range(7, 1000));
  app.add_option("--calls", load.calls, "Calls of each kind");
  app.add_option("--database", load.database, "PostgreSQL's URL");
  CLI11_PARSE(app, argc, argv);
  mezzo::lifecycle::Bench bench(load);
  bench.Fill();
  bench.Run();
  return 0;
}
