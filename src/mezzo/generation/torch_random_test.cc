#include "mezzo/generation/torch_random.h"

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/generation/internal/golden_files.h"
#include "mezzo/generation/internal/half.h"

namespace mezzo::generation {
namespace {

using nlohmann::json;

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// One call of torch.randn(): its values' bytes.
std::string Call(TorchRandom& random, const json& call) {
  const auto size = call["size"].get<std::size_t>();
  if (call["type"] == "float64") {
    std::vector<double> values(size);
    random.Randn(values);
    return BytesOf(values);
  }
  std::vector<float> values(size);
  random.Randn(values, call["type"] == "float16" ? NormalType::kFloat16 : NormalType::kFloat32);
  return BytesOf(values);
}

std::string Hex(const std::string& bytes) {
  const auto* const data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  return HexEncode({data, bytes.size()});
}

TEST(TorchRandom, GivesTheBitsOfTorchRandn) {
  std::size_t calls = 0;
  for (const json& plan : internal::ReadGolden("randn.json")) {
    TorchRandom random(plan["seed"].get<std::uint64_t>());
    for (const json& call : plan["calls"]) {
      SCOPED_TRACE("seed " + plan["seed"].dump() + " " + call["type"].dump() + " " + call["size"].dump());
      const std::string bytes = Call(random, call);

      if (call.contains("bits")) {
        EXPECT_EQ(Hex(bytes), call["bits"].get<std::string>());
      } else {
        EXPECT_EQ(Sha256Hex(bytes), call["sha256"].get<std::string>());
      }
      ++calls;
    }
  }
  EXPECT_GE(calls, 400U) << "the file is not whole";
}

TEST(TorchRandom, OnlyTheLowerHalfOfASeedMatters) {
  std::vector<float> small(20);
  std::vector<float> large(20);
  TorchRandom(7).Randn(small);
  TorchRandom((std::uint64_t{9} << 32U) + 7).Randn(large);

  EXPECT_EQ(small, large);
}

TEST(TorchRandom, NoCallMakesNothing) {
  TorchRandom random(1);
  random.Randn(std::span<float>());
  std::vector<float> after(4);
  random.Randn(after);
  std::vector<float> fresh(4);
  TorchRandom(1).Randn(fresh);

  EXPECT_EQ(after, fresh);
}

TEST(TorchRandom, IsNormal) {
  std::vector<float> values(1 << 16);
  TorchRandom(3).Randn(values);

  double sum = 0;
  double squares = 0;
  for (const float value : values) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  EXPECT_NEAR(sum / static_cast<double>(values.size()), 0, 0.02);
  EXPECT_NEAR(squares / static_cast<double>(values.size()), 1, 0.02);
}

TEST(RoundToHalf, GivesNeighboursOfHalfPrecisionWithTiesToEven) {
  using internal::RoundToHalf;
  EXPECT_EQ(RoundToHalf(1.0F), 1.0F);
  EXPECT_EQ(RoundToHalf(1.0F + 0x1p-11F), 1.0F);
  EXPECT_EQ(RoundToHalf(1.0F + 0x1.8p-10F), 1.0F + 0x1p-9F);
  EXPECT_EQ(RoundToHalf(-1.0F - 0x1.2p-11F), -1.0F - 0x1p-10F);
  EXPECT_EQ(RoundToHalf(65504.0F), 65504.0F);
  EXPECT_EQ(RoundToHalf(2049.0F), 2048.0F);
  EXPECT_EQ(RoundToHalf(0x1.8p-25F), 0x1p-24F);
  EXPECT_EQ(RoundToHalf(0x1p-25F), 0.0F);
  EXPECT_EQ(RoundToHalf(-0x1.FFFp-15F), -0x1p-14F);
}

}  // namespace
}  // namespace mezzo::generation
