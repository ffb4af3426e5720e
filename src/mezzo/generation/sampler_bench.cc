// Question: what does a step cost beside the model's run, by sampler and by the picture's size, and what does
// it cost to begin a picture? Budget: 1 ms for a step of the latents of 1024 x 1024 (65,536 numbers), where a
// model needs at least 20 ms; 200 us to begin.

#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "mezzo/generation/sampler.h"

namespace mezzo::generation {
namespace {

SchedulerConfig Config() {
  return ParseSchedulerConfig(
             R"({"_class_name":"PNDMScheduler","beta_schedule":"scaled_linear","beta_start":0.00085,
                                  "beta_end":0.012,"skip_prk_steps":true,"steps_offset":1,"clip_sample":false})")
      .value();
}

SamplerOptions OptionsOf(const benchmark::State& state, std::size_t elements) {
  return {.name = std::string(SamplerNames()[static_cast<std::size_t>(state.range(0))]),
          .steps = 20,
          .elements = elements};
}

/// Numbers of the latents per second, over whole runs.
void BM_Step(benchmark::State& state) {
  const auto elements = static_cast<std::size_t>(state.range(1));
  const SamplerOptions options = OptionsOf(state, elements);
  state.SetLabel(options.name);
  const SchedulerConfig config = Config();
  TorchRandom random(1);
  std::vector<float> latents(elements);
  std::vector<float> output(elements);
  random.Randn(latents);
  random.Randn(output);
  auto sampler = MakeSampler(config, options, random).value();
  for (auto _ : state) {
    if (sampler->done()) {
      state.PauseTiming();
      sampler = MakeSampler(config, options, random).value();
      state.ResumeTiming();
    }
    sampler->ScaleModelInput(latents, latents);
    sampler->Step(output, latents);
    benchmark::DoNotOptimize(latents.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(elements));
}

void BM_MakeSampler(benchmark::State& state) {
  const SamplerOptions options = OptionsOf(state, 16384);
  state.SetLabel(options.name);
  const SchedulerConfig config = Config();
  TorchRandom random(1);
  for (auto _ : state) benchmark::DoNotOptimize(MakeSampler(config, options, random)->get());
}

void EverySampler(benchmark::internal::Benchmark* bench) {
  for (std::size_t i = 0; i < SamplerNames().size(); ++i) bench->Arg(static_cast<std::int64_t>(i));
}
void EverySamplerBySize(benchmark::internal::Benchmark* bench) {
  for (std::size_t i = 0; i < SamplerNames().size(); ++i) {
    for (const int elements : {16384, 65536}) bench->Args({static_cast<std::int64_t>(i), elements});
  }
}
BENCHMARK(BM_Step)
    ->ArgNames({"sampler", "elements"})
    ->Apply(EverySamplerBySize)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_MakeSampler)->ArgName("sampler")->Apply(EverySampler)->Unit(benchmark::kMicrosecond);

/// The noise of a picture.
void BM_Randn(benchmark::State& state) {
  const NormalType type = state.range(0) == 0 ? NormalType::kFloat32 : NormalType::kFloat16;
  TorchRandom random(1);
  std::vector<float> noise(16384);
  for (auto _ : state) {
    random.Randn(noise, type);
    benchmark::DoNotOptimize(noise.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(noise.size()));
}
BENCHMARK(BM_Randn)->ArgName("half")->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace mezzo::generation
