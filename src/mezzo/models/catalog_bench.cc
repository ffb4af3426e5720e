#include <fcntl.h>

#include <memory>
#include <string>
#include <thread>

#include <benchmark/benchmark.h>

#include "mezzo/models/repository_catalog.h"
#include "mezzo/models/testing/fake_engine.h"
#include "mezzo/models/testing/temp_repository.h"

namespace mezzo::models {
namespace {

/// A catalog of `count` loaded models, "m0" and so on.
struct Served {
  explicit Served(int count) {
    for (int i = 0; i < count; ++i) files.Write("m" + std::to_string(i) + "/1/model.onnx");
    RepositoryCatalog::Options options;
    options.roots = {files.path()};
    const RepositoryCatalog::Parts parts{
        .engine = engine, .clock = clock, .pool = pool, .registry = registry, .log = log};
    catalog = std::make_unique<RepositoryCatalog>(options, parts);
    if (!catalog->Start(nullptr).ok()) std::abort();
    while (!catalog->StartupDone()) std::this_thread::yield();
  }
  testing::TempRepository files;
  testing::FakeEngine engine;
  RealClock clock;
  observe::Registry registry;
  observe::Logger log{{.fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC)}, clock};
  runtime::BlockingPool pool{{.name = "loads", .threads = 2, .max_queued = 4096}};
  std::unique_ptr<RepositoryCatalog> catalog;
};

// Question: what does finding a loaded model cost a request, by the number of models? Budget: 100 ns.
void BM_Acquire(benchmark::State& state) {
  const Served served(static_cast<int>(state.range(0)));
  const std::string name = "m" + std::to_string(state.range(0) / 2);
  for (auto _ : state) benchmark::DoNotOptimize(served.catalog->Acquire(name, ""));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Acquire)->Arg(1)->Arg(1000);

}  // namespace
}  // namespace mezzo::models
