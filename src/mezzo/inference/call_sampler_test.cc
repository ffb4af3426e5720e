#include "mezzo/inference/call_sampler.h"

#include <gtest/gtest.h>

namespace mezzo::inference {
namespace {

class Idle final : public CallSampler {
 public:
  using CallSampler::CallSampler;
  void Take(std::span<const NamedTensor>, std::span<const NamedTensor>) override {}
};

int Drawn(const CallSampler& sampler, int calls) {
  int drawn = 0;
  for (int i = 0; i < calls; ++i) drawn += sampler.Draw() ? 1 : 0;
  return drawn;
}

TEST(CallSampler, DrawsOneInSoMany) {
  EXPECT_EQ(Drawn(Idle(1), 1000), 1000);
  EXPECT_EQ(Drawn(Idle(0), 1000), 1000) << "one in none is each";
  // Six standard deviations.
  EXPECT_NEAR(Drawn(Idle(100), 100'000), 1000, 190);
  EXPECT_NEAR(Drawn(Idle(2), 100'000), 50'000, 950);
}

}  // namespace
}  // namespace mezzo::inference
