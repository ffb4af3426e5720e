#include "mezzo/cache/internal/duels.h"

#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace mezzo::cache::internal {
namespace {

/// Spread over all bits, as the tier's hashes are.
std::uint64_t Hash(std::uint64_t n) { return n * 0x9E3779B97F4A7C15ULL ^ (n * 0xC4CEB9FE1A85EC53ULL) >> 29; }

TEST(Duels, NewcomersThatWinGainCreditAndVictimsTakeIt) {
  Duels duels(1000);
  std::uint64_t time = 0;
  for (std::uint64_t i = 0; i < 100; ++i, ++time) {
    duels.Begin(Hash(2 * i), Hash(2 * i + 1), time, 900);
    duels.Asked(Hash(2 * i), time);
  }
  EXPECT_EQ(duels.credit(), Duels::kMostCredit);

  for (std::uint64_t i = 0; i < 100; ++i, ++time) {
    duels.Begin(Hash(2 * i), Hash(2 * i + 1), time, 900);
    duels.Asked(Hash(2 * i + 1), time);
  }
  EXPECT_EQ(duels.credit(), 0U);
}

TEST(Duels, OnlyTheFirstOfTheTwoCounts) {
  Duels duels(1000);
  for (std::uint64_t i = 0; i < 200; ++i) {
    duels.Begin(Hash(2 * i), Hash(2 * i + 1), i, 900);
    duels.Asked(Hash(2 * i + 1), i);
    duels.Asked(Hash(2 * i), i);
    duels.Asked(Hash(2 * i), i);
  }
  EXPECT_EQ(duels.credit(), 0U) << "the victims were first";
}

TEST(Duels, WhoComesAfterTheLimitWinsNothing) {
  Duels duels(1000);
  for (std::uint64_t i = 0; i < 200; ++i) {
    duels.Begin(Hash(2 * i), Hash(2 * i + 1), i * 1000, 900);
    duels.Asked(Hash(2 * i), i * 1000 + 950);
  }
  EXPECT_EQ(duels.credit(), 0U);
}

TEST(Duels, CreditIsLostWhenNobodyComesBack) {
  Duels duels(1000);
  for (std::uint64_t i = 0; i < 100; ++i) {
    duels.Begin(Hash(2 * i), Hash(2 * i + 1), i, 900);
    duels.Asked(Hash(2 * i), i);
  }
  ASSERT_EQ(duels.credit(), Duels::kMostCredit);

  for (std::uint64_t i = 1000; i < 20'000; ++i) duels.Begin(Hash(2 * i), Hash(2 * i + 1), i * 10, 900);
  EXPECT_EQ(duels.credit(), 0U);
}

TEST(Duels, CreditFollowsWhoMostlyWins) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const auto after = [seed](double newcomers) {
      std::mt19937_64 random(seed);
      std::bernoulli_distribution newcomer_wins(newcomers);
      Duels duels(std::size_t{64} << (seed % 8));
      for (std::uint64_t i = 0; i < 2000; ++i) {
        duels.Begin(Hash(2 * i), Hash(2 * i + 1), i, 900);
        duels.Asked(Hash(2 * i + (newcomer_wins(random) ? 0 : 1)), i);
      }
      return duels.credit();
    };
    EXPECT_LE(after(0.3), 4U) << "seed " << seed;
    EXPECT_GE(after(0.9), 12U) << "seed " << seed;
  }
}

TEST(Duels, ThreadsMayAskWhileOneBegins) {
  Duels duels(1000);
  std::vector<std::thread> threads;
  threads.reserve(2);
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&duels, t] {
      for (std::uint64_t i = 0; i < 20'000; ++i) {
        duels.Asked(Hash(i % 500 * 2 + static_cast<std::uint64_t>(t)), i);
        ASSERT_LE(duels.credit(), Duels::kMostCredit);
      }
    });
  }
  for (std::uint64_t i = 0; i < 20'000; ++i) duels.Begin(Hash(i % 500 * 2), Hash(i % 500 * 2 + 1), i, 900);
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace mezzo::cache::internal
