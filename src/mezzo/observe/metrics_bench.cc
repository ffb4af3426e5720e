// Question: what do Counter::Add, Histogram::Observe and Gauge::Add cost, alone and from two threads at once?
// Budget: Add and Observe 5 ns on a thread of their own, and no dearer when another thread counts too.
// BM_SharedCell is the one-atomic counter that the shards replace, for comparison within the run.

#include <atomic>

#include <benchmark/benchmark.h>

#include "mezzo/observe/exposition.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::observe {
namespace {

Registry& BenchRegistry() {
  static Registry registry;
  return registry;
}

void BM_CounterAdd(benchmark::State& state) {
  Counter& counter = BenchRegistry().NewCounter("mezzo_bench_events_total", "Events.");
  for (auto _ : state) counter.Add();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_CounterAdd)->Threads(1)->Threads(2);

void BM_SharedCell(benchmark::State& state) {
  static std::atomic<std::uint64_t> cell{0};
  for (auto _ : state) cell.fetch_add(1, std::memory_order_relaxed);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_SharedCell)->Threads(1)->Threads(2);

void BM_HistogramObserve(benchmark::State& state) {
  Histogram& histogram = BenchRegistry().NewHistogram("mezzo_bench_wait_seconds", "Waits.");
  std::int64_t ns = 1;
  for (auto _ : state) {
    histogram.Observe(Duration(ns));
    ns = (ns * 5) & 0xFFFFFFFF;  // Walks over the buckets, which a branching search could not predict.
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_HistogramObserve)->Threads(1)->Threads(2);

void BM_SizeHistogramObserve(benchmark::State& state) {
  SizeHistogram& histogram = BenchRegistry().NewSizeHistogram("mezzo_bench_batch_rows", "Rows.");
  std::uint64_t rows = 0;
  for (auto _ : state) histogram.Observe(++rows & 1023U);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_SizeHistogramObserve)->Threads(1)->Threads(2);

void BM_GaugeAdd(benchmark::State& state) {
  Gauge& gauge = BenchRegistry().NewGauge("mezzo_bench_depth", "Depth.");
  for (auto _ : state) gauge.Add(1);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_GaugeAdd)->Threads(1)->Threads(2);

void BM_FamilyWith(benchmark::State& state) {
  auto& family = BenchRegistry().NewCounterFamily("mezzo_bench_calls_total", "Calls.", {"model", "version"});
  for (auto _ : state) family.With({"magika", "1"}).Add();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_FamilyWith)->Threads(1)->Threads(2);

void BM_RenderHistograms(benchmark::State& state) {
  Registry registry;
  auto& family = registry.NewHistogramFamily("mezzo_bench_wait_seconds", "Waits.", {"model"});
  for (int i = 0; i < state.range(0); ++i)
    family.With({std::to_string(i)}).Observe(Duration(i * 1'000'000LL));
  for (auto _ : state) benchmark::DoNotOptimize(Render(registry, ExpositionFormat::kOpenMetrics));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_RenderHistograms)->Arg(1)->Arg(100);

}  // namespace
}  // namespace mezzo::observe
