// Reads arbitrary bytes as a scheduler_config.json and runs the sampler that it says. The first byte gives
// the steps (1 to 8), the second one the strength (1/8 to 1) and the sampler's name.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/check.h"
#include "mezzo/generation/sampler.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mezzo::generation;
  constexpr std::size_t kElements = 16;
  constexpr std::size_t kHead = 2;
  if (size < kHead) return 0;
  const auto config = ParseSchedulerConfig({reinterpret_cast<const char*>(data) + kHead, size - kHead});
  if (!config.ok()) {
    MEZZO_CHECK(!config.error().message().empty());
    return 0;
  }
  const auto names = SamplerNames();
  const std::size_t name = data[1] / 8U % (names.size() + 1);
  const SamplerOptions options{.name = name < names.size() ? std::string(names[name]) : std::string(),
                               .steps = data[0] % 8U + 1,
                               .strength = (data[1] % 8U + 1) / 8.0,
                               .eta = 0.5,
                               .elements = kElements};
  TorchRandom random(data[0]);
  const auto sampler = MakeSampler(*config, options, random);
  if (!sampler.ok()) {
    MEZZO_CHECK(!sampler.error().message().empty());
    return 0;
  }
  std::vector<float> latents(kElements);
  std::vector<float> output(kElements);
  random.Randn(latents);
  (*sampler)->AddNoise(latents, latents, 0, latents);
  while (!(*sampler)->done()) {
    (*sampler)->ScaleModelInput(latents, output);
    (*sampler)->Step(output, latents);
  }
  return 0;
}
