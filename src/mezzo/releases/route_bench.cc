// Question: what does a call pay to find its route and its arm? Budget: 1 µs (issue 6), by rules and arms.

#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "mezzo/base/strings.h"
#include "mezzo/releases/router.h"

namespace mezzo::releases {
namespace {

/// A request's headers, as the HTTP server keeps them: in a vector, searched without regard to case.
using Headers = std::vector<std::pair<std::string, std::string>>;

HeaderLookup Lookup(const Headers& headers) {
  return {&headers, [](const void* from, std::string_view name) -> std::optional<std::string_view> {
            for (const auto& [key, value] : *static_cast<const Headers*>(from)) {
              if (EqualsIgnoreCase(key, name)) return value;
            }
            return std::nullopt;
          }};
}

const Headers& TwelveHeaders() {
  static const Headers headers = {{"Host", "127.0.0.1:8000"},
                                  {"User-Agent", "python-tritonclient"},
                                  {"Accept", "*/*"},
                                  {"Accept-Encoding", "gzip, deflate"},
                                  {"Connection", "keep-alive"},
                                  {"Content-Type", "application/json"},
                                  {"Content-Length", "230"},
                                  {"Authorization", "Bearer mz_0123456789"},
                                  {"X-Request-Id", "0f0e0d0c"},
                                  {"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
                                  {"X-User-Id", "user-123456"},
                                  {"X-Group", "g-none"}};
  return headers;
}

Route RouteOf(int rules, int arms) {
  Route route{.sticky = Sticky::kHeader,
              .sticky_header = "x-user-id",
              .salt = "salt",
              .stable = VersionName::Number(1)};
  for (int i = 0; i < rules; ++i) {
    RouteRule rule{
        .header = "x-group", .equals = "g-" + std::to_string(i), .version = VersionName::Number(2)};
    if (i % 2 == 1)
      rule = {.tenant = TenantId("tenant-" + std::to_string(i)), .version = VersionName::Number(2)};
    route.rules.push_back(rule);
  }
  for (int i = 0; i < arms; ++i) {
    route.arms.push_back(
        {.name = "arm" + std::string(1, static_cast<char>('a' + i)),
         .version = VersionName::Number(i + 1),
         .weight = i == 0 ? kWholeWeight - 100 * static_cast<std::uint32_t>(arms - 1) : 100U});
  }
  return route;
}

void BM_ChooseArm(benchmark::State& state) {
  const RouteTable table(RouteOf(static_cast<int>(state.range(0)), static_cast<int>(state.range(1))), {});
  const HeaderLookup headers = Lookup(TwelveHeaders());
  std::uint64_t random = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.Choose({.tenant = "acme", .headers = headers, .random = ++random}));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ChooseArm)
    ->ArgNames({"rules", "arms"})
    ->Args({0, 1})
    ->Args({0, 3})
    ->Args({8, 3})
    ->Args({64, 16});

/// What inference does: among 1,000 models with routes, the model's, then an arm.
void BM_FindAndChoose(benchmark::State& state) {
  RealClock clock;
  observe::Registry registry;
  Router router({}, {.clock = clock, .registry = registry});
  std::vector<RouteRecord> records;
  for (int i = 0; i < 1000; ++i) {
    records.push_back({.model = "model-" + std::to_string(i),
                       .revision = 1,
                       .route = RouteOf(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)))});
  }
  router.Replace(std::move(records));
  const HeaderLookup headers = Lookup(TwelveHeaders());
  for (auto _ : state) {
    const LiveRouteRef route = router.Find("model-567");
    benchmark::DoNotOptimize(
        route->table().Choose({.tenant = "acme", .headers = headers, .random = Router::Random()}));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_FindAndChoose)->ArgNames({"rules", "arms"})->Args({0, 3})->Args({8, 3})->Args({64, 16});
BENCHMARK(BM_FindAndChoose)->ArgNames({"rules", "arms"})->Args({8, 3})->Threads(2);

}  // namespace
}  // namespace mezzo::releases
