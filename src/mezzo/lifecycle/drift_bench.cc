// Question: what does a call pay that is not sampled, and one that is? Budget: 1 µs and 20 µs.

#include <cstring>

#include <benchmark/benchmark.h>

#include "mezzo/lifecycle/drift.h"

namespace mezzo::lifecycle {
namespace {

void BM_Unsampled(benchmark::State& state) {
  static DriftSampler sampler(1U << 30U);
  for (auto _ : state) benchmark::DoNotOptimize(sampler.Sample());
}
BENCHMARK(BM_Unsampled)->Threads(1)->Threads(4);

void BM_Sampled(benchmark::State& state) {
  const auto elements = static_cast<std::size_t>(state.range(0));
  std::string bytes(elements * sizeof(float), '\0');
  for (std::size_t i = 0; i < elements; ++i) {
    const auto value = static_cast<float>(i * 7919 % 1000);
    std::memcpy(bytes.data() + i * sizeof(float), &value, sizeof(float));
  }
  const tensor::Tensor tensor{.dtype = tensor::DType::kFp32,
                              .shape = {static_cast<std::int64_t>(elements)},
                              .data = SharedBytes::FromString(std::move(bytes))};
  DriftSketch sketch({});
  for (auto _ : state) sketch.Add(tensor);
}
BENCHMARK(BM_Sampled)->Arg(16)->Arg(384)->Arg(150'528);

}  // namespace
}  // namespace mezzo::lifecycle
