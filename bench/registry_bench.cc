// Question: how long do lists and searches of the registry take with 1,000 models of 5 versions each? Budget:
// 20 ms at the 99th percentile on PostgreSQL.
//
// Usage: mezzo_bench_registry [--models N] [--versions N] [--calls N] [--database URL]
// Without --database it takes SQLite in a temporary folder. Prints a line of JSON for each kind of call.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/lifecycle/registry_schema.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::lifecycle {
namespace {

struct Load {
  int models = 1000;
  int versions = 5;
  int calls = 300;
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

class Bench {
 public:
  explicit Bench(const Load& load)
      : load_(load), db_(Open(load, folder_.path(), clock_)), store_({}, *db_, clock_) {
    MustBe(storage::Migrate(*db_, "registry", RegistryMigrations(), Soon(), clock_));
  }

  void Fill() {
    for (int m = 0; m < load_.models; ++m) {
      const std::string name = Name(m);
      MustBe(store_.CreateModel({.name = name,
                                 .description = "a model of the benchmark",
                                 .tags = {{"team", "team-" + std::to_string(m % 20)}, {"task", "classify"}}},
                                "bench", Soon()));
      for (int v = 0; v < load_.versions; ++v) {
        const std::string content = name + "/" + std::to_string(v);
        const auto manifest =
            MustBe(Manifest::Make({{.path = "model.onnx", .sha256 = Sha256Hex(content), .bytes = 1000},
                                   {.path = "model.yaml", .sha256 = Sha256Hex("shared"), .bytes = 10}},
                                  {}));
        const auto made = MustBe(store_.CreateVersion(name,
                                                      {.manifest = manifest,
                                                       .lineage = {.run_id = "run-" + content},
                                                       .tags = {{"quality", std::to_string(v)}}},
                                                      "bench", Soon()));
        MustBe(store_.SetState(name, made.version,
                               {.from = VersionState::kUploading, .to = VersionState::kReady}, "bench",
                               Soon()));
      }
      MustBe(store_.SetAlias(name, "production", load_.versions - 1, {}, "bench", Soon()));
    }
  }

  void Run() {
    const auto models = [&](const ModelQuery& query) { MustBe(store_.ListModels(query, "", 100, Soon())); };
    const auto versions = [&](const VersionQuery& query) {
      MustBe(store_.ListVersions(query, "", 100, Soon()));
    };
    Measure("models by name", [&] { models({}); });
    Measure("models by time", [&] { models({.order = RegistryOrder::kTimeDown}); });
    Measure("models by prefix", [&] { models({.match = NameMatch::kPrefix, .name = Any().substr(0, 9)}); });
    Measure("models like", [&] { models({.match = NameMatch::kLike, .name = "%7%"}); });
    Measure("models ilike", [&] { models({.match = NameMatch::kILike, .name = "%MODEL%7%"}); });
    Measure("models by tag", [&] { models({.tags = {{"team", "team-7"}}}); });
    Measure("models by alias", [&] { models({.alias = "production", .order = RegistryOrder::kTime}); });
    Measure("a page in the middle of models", [&] { MustBe(store_.ListModels({}, Any(), 100, Soon())); });
    Measure("a model", [&] { MustBe(store_.GetModel(Any(), Soon())); });
    Measure("versions of a model", [&] { versions({.match = NameMatch::kEquals, .model = Any()}); });
    Measure("versions by name", [&] { versions({.order = RegistryOrder::kName}); });
    Measure("versions by time", [&] { versions({.order = RegistryOrder::kTimeDown}); });
    Measure("versions by state", [&] { versions({.state = VersionState::kReady}); });
    Measure("versions by tag", [&] { versions({.tags = {{"quality", "3"}}}); });
    Measure("versions by run", [&] { versions({.run_id = "run-" + Any() + "/2"}); });
    Measure("versions like", [&] { versions({.match = NameMatch::kLike, .model = "%7%"}); });
    Measure("an alias", [&] { MustBe(store_.Resolve(Any(), "production", Soon())); });
    Measure("latest", [&] { MustBe(store_.Resolve(Any(), "latest", Soon())); });
    Measure("history", [&] { MustBe(store_.History(Any(), {}, 100, Soon())); });
    Measure("at a moment", [&] { MustBe(store_.At(Any(), clock_.WallNow(), Soon())); });
  }

 private:
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + std::chrono::minutes(5); }
  static std::string Name(int m) { return fmt::format("model-{:05}", m); }
  std::string Any() { return Name(static_cast<int>(random_() % static_cast<unsigned>(load_.models))); }

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
  RealClock clock_;
  storage::testing::TempDir folder_;
  std::unique_ptr<storage::SqlDb> db_;
  RegistryStore store_;
  std::minstd_rand random_{1};
};

}  // namespace
}  // namespace mezzo::lifecycle

int main(int argc, char** argv) {
  mezzo::lifecycle::Load load;
  CLI::App app("Lists and searches of the registry");
  app.add_option("--models", load.models, "Models");
  app.add_option("--versions", load.versions, "Versions of each")->check(CLI::Range(2, 1000));
  app.add_option("--calls", load.calls, "Calls of each kind");
  app.add_option("--database", load.database, "PostgreSQL's URL");
  CLI11_PARSE(app, argc, argv);
  mezzo::lifecycle::Bench bench(load);
  bench.Fill();
  bench.Run();
  return 0;
}
