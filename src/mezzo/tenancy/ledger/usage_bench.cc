#include <benchmark/benchmark.h>

#include "mezzo/tenancy/ledger/usage.h"

namespace mezzo::tenancy {
namespace {

/// What a call pays for being charged: four counts of one account, which all threads share.
void BM_AccountAdd(benchmark::State& state) {
  static Account account({.tenant = "t"});
  const Usage usage{.requests = 1, .device_ns = 12'345, .bytes_in = 128, .bytes_out = 128};
  for (auto _ : state) account.Add(usage);
}
BENCHMARK(BM_AccountAdd)->Threads(1)->Threads(2);

/// What the journal's thread pays for an account that has changed.
void BM_AccountTotal(benchmark::State& state) {
  Account account({.tenant = "t"});
  for (auto _ : state) {
    benchmark::DoNotOptimize(account.TakeChanged());
    benchmark::DoNotOptimize(account.Total());
  }
}
BENCHMARK(BM_AccountTotal);

}  // namespace
}  // namespace mezzo::tenancy
