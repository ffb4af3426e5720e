// Question: what does a sampled call pay? Budget: 20 µs. (What an unsampled one pays:
// inference/telemetry_bench.)

#include <cstring>

#include <benchmark/benchmark.h>

#include "mezzo/lifecycle/drift_monitor.h"

namespace mezzo::lifecycle {
namespace {

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
  DriftRecorder recorder({});
  std::size_t calls = 0;
  for (auto _ : state) {
    recorder.Add(/*output=*/false, "x", tensor);
    if (++calls % 1024 == 0) benchmark::DoNotOptimize(recorder.Take());
  }
}
BENCHMARK(BM_Sampled)->Arg(16)->Arg(384)->Arg(150'528);

}  // namespace
}  // namespace mezzo::lifecycle
