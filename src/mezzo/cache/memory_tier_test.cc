#include "mezzo/cache/memory_tier.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <list>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/base/sanitizers.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::cache {
namespace {

using std::chrono::seconds;

/// A value that knows what it is, pretends to a size, and counts those alive.
class Number final : public Cached {
 public:
  Number(std::uint64_t n, ByteCount size, std::atomic<int>* alive = nullptr)
      : number(n), size_(size), alive_(alive) {
    if (alive_ != nullptr) alive_->fetch_add(1);
  }
  ~Number() override {
    if (alive_ != nullptr) alive_->fetch_sub(1);
  }
  [[nodiscard]] ByteCount bytes() const override { return size_; }
  void TakenOut() const noexcept override { taken_out.fetch_add(1); }
  mutable std::atomic<int> taken_out{0};
  const std::uint64_t number;

 private:
  const ByteCount size_;
  std::atomic<int>* const alive_;
};

CachedRef Value(std::uint64_t n, ByteCount size = 64) { return std::make_shared<Number>(n, size); }

CacheKey Key(std::uint64_t n) { return KeyBuilder("test").Integer(static_cast<std::int64_t>(n)).Finish(); }

std::vector<CacheKey> Keys(std::size_t count) {
  std::vector<CacheKey> keys;
  keys.reserve(count);
  for (std::size_t i = 0; i < count; ++i) keys.push_back(Key(i));
  return keys;
}

std::optional<std::uint64_t> NumberAt(MemoryTier& tier, const CacheKey& key) {
  const auto item = tier.Get(key);
  if (!item.has_value()) return std::nullopt;
  return dynamic_cast<const Number&>(*item->value).number;
}

class MemoryTierTest : public ::testing::Test {
 protected:
  testing::ManualClock clock_;
};

TEST_F(MemoryTierTest, KeepsReplacesAndErases) {
  MemoryTier tier({}, clock_);

  EXPECT_TRUE(tier.Put(Key(1), {.value = Value(1), .stamp = 7}));
  EXPECT_TRUE(tier.Put(Key(2), {.value = Value(2)}));
  EXPECT_TRUE(tier.Put(Key(1), {.value = Value(11), .stamp = 8}));

  EXPECT_EQ(NumberAt(tier, Key(1)), 11U);
  EXPECT_EQ(tier.Get(Key(1))->stamp, 8U);
  EXPECT_EQ(tier.statistics().entries, 2U);
  EXPECT_TRUE(tier.Erase(Key(1)));
  EXPECT_FALSE(tier.Erase(Key(1)));
  EXPECT_EQ(NumberAt(tier, Key(1)), std::nullopt);
  EXPECT_EQ(NumberAt(tier, Key(2)), 2U);
}

TEST_F(MemoryTierTest, EraseExactlyLeavesOtherValuesAlone) {
  MemoryTier tier({}, clock_);
  const CachedRef first = Value(1);
  tier.Put(Key(1), {.value = first});
  tier.Put(Key(1), {.value = Value(2)});

  EXPECT_FALSE(tier.EraseExactly(Key(1), first.get()));
  EXPECT_EQ(NumberAt(tier, Key(1)), 2U);
  EXPECT_TRUE(tier.EraseExactly(Key(1), tier.Get(Key(1))->value.get()));
  EXPECT_EQ(NumberAt(tier, Key(1)), std::nullopt);
}

TEST_F(MemoryTierTest, ComparesLongKeysToo) {
  MemoryTier tier({}, clock_);
  const auto key = [](char last) {
    return KeyBuilder("long").Text(std::string(100'000, 'x') + last).Finish();
  };
  tier.Put(key('a'), {.value = Value(1)});

  EXPECT_EQ(NumberAt(tier, key('a')), 1U);
  EXPECT_EQ(NumberAt(tier, key('b')), std::nullopt);
}

TEST_F(MemoryTierTest, FindsNothingThatHasExpired) {
  MemoryTier tier({}, clock_);
  tier.Put(Key(1), {.value = Value(1), .expires = clock_.Now() + seconds(10)});

  clock_.Advance(seconds(10) - Duration(1));
  EXPECT_EQ(NumberAt(tier, Key(1)), 1U);
  clock_.Advance(Duration(1));
  EXPECT_EQ(NumberAt(tier, Key(1)), std::nullopt);
  EXPECT_FALSE(tier.Put(Key(2), {.value = Value(2), .expires = clock_.Now()}));
}

TEST_F(MemoryTierTest, RefusesWhatIsTooLargeAndForgetsWhatItWouldReplace) {
  MemoryTier tier({.max_bytes = ByteCount{1} << 20, .max_entry_bytes = 10'000}, clock_);
  tier.Put(Key(1), {.value = Value(1)});

  EXPECT_FALSE(tier.Put(Key(1), {.value = Value(2, 10'000)}));

  EXPECT_EQ(NumberAt(tier, Key(1)), std::nullopt);
  EXPECT_EQ(tier.statistics().refused, 1U);
}

TEST_F(MemoryTierTest, EraseIfAndClearTakeWhatTheyShould) {
  MemoryTier tier({}, clock_);
  for (std::uint64_t i = 0; i < 1000; ++i) tier.Put(Key(i), {.value = Value(i), .stamp = i % 3});

  EXPECT_EQ(tier.EraseIf([](const CacheKey&, const MemoryTier::Item& item) { return item.stamp == 0; }),
            334U);
  EXPECT_EQ(tier.statistics().entries, 666U);
  EXPECT_EQ(NumberAt(tier, Key(3)), std::nullopt);
  EXPECT_EQ(NumberAt(tier, Key(4)), 4U);
  tier.Clear();
  EXPECT_EQ(tier.statistics().entries, 0U);
  EXPECT_EQ(tier.statistics().bytes, 0U);
}

TEST_F(MemoryTierTest, TellsEachValueOnceThatItIsHeldNoLonger) {
  std::vector<std::shared_ptr<const Number>> values;
  {
    MemoryTier tier({.max_bytes = 64 << 10, .max_entry_bytes = 4096, .max_shards = 2}, clock_);
    std::mt19937_64 random(3);
    for (std::uint64_t i = 0; i < 3000; ++i) {
      values.push_back(std::make_shared<Number>(i, random() % 5000));
      const TimePoint expires = random() % 10 == 0 ? clock_.Now() : kNever;
      tier.Put(Key(random() % 300), {.value = values.back(), .expires = expires});
      if (i % 10 == 0) tier.Erase(Key(random() % 300));
      if (i % 1000 == 0) tier.Clear();
    }
    int held = 0;
    for (const auto& value : values) held += value->taken_out.load() == 0 ? 1 : 0;
    EXPECT_EQ(static_cast<std::size_t>(held), tier.statistics().entries);
  }
  for (const auto& value : values) ASSERT_EQ(value->taken_out.load(), 1);
}

TEST_F(MemoryTierTest, NeverHoldsMoreThanItsBudgetAndFreesWhatItDrops) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    std::mt19937_64 random(seed);
    std::atomic<int> alive{0};
    {
      MemoryTier tier({.max_bytes = ByteCount{256} << 10,
                       .max_entry_bytes = ByteCount{32} << 10,
                       .max_shards = std::size_t{1} << (seed % 4),
                       .seed = seed},
                      clock_);
      ByteCount budget = ByteCount{256} << 10;
      for (int i = 0; i < 5000; ++i) {
        const ByteCount size = random() % 4 == 0 ? random() % 30'000 : random() % 600;
        tier.Put(Key(random() % 2000), {.value = std::make_shared<Number>(i, size, &alive)});
        if (i % 1000 == 999) {
          budget = (ByteCount{64} << 10) + random() % (ByteCount{256} << 10);
          tier.SetBudget(budget);
        }
        const auto statistics = tier.statistics();
        ASSERT_LE(statistics.bytes, budget) << "seed " << seed << " step " << i;
        ASSERT_LE(statistics.unfreed_bytes, budget) << "seed " << seed << " step " << i;
      }
      tier.Clear();
      for (int i = 0; i < 64; ++i) tier.Erase(Key(5000));
      EXPECT_LE(alive.load(), 16 * 32) << "what was taken out is freed but for a few";
    }
    EXPECT_EQ(alive.load(), 0);
  }
}

TEST_F(MemoryTierTest, AnswersWithTheLastValueOrNothingWhateverHappens) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    std::mt19937_64 random(seed);
    const auto keys = Keys(600);
    MemoryTier tier({.max_bytes = 64 << 10, .max_entry_bytes = 4096, .max_shards = 4, .seed = seed}, clock_);
    std::map<std::size_t, std::pair<std::uint64_t, TimePoint>> last;
    std::uint64_t found = 0;
    for (std::uint64_t i = 0; i < 20'000; ++i) {
      const std::size_t k = random() % 20 == 0 ? random() % keys.size() : random() % 100;
      switch (random() % 8) {
        case 0:
        case 1: {
          const TimePoint expires = random() % 2 == 0 ? kNever : clock_.Now() + Duration(random() % 200);
          const bool kept = tier.Put(keys[k], {.value = Value(i, random() % 2000), .expires = expires});
          last[k] = {i, kept ? expires : TimePoint()};
          break;
        }
        case 2:
          if (random() % 8 == 0) {
            tier.Erase(keys[k]);
            last.erase(k);
          }
          break;
        case 3:
          clock_.Advance(Duration(1));
          break;
        default: {
          const auto number = NumberAt(tier, keys[k]);
          if (!number.has_value()) break;
          ++found;
          ASSERT_TRUE(last.contains(k)) << "seed " << seed << " step " << i;
          ASSERT_EQ(*number, last[k].first) << "seed " << seed << " step " << i;
          ASSERT_LT(clock_.Now(), last[k].second) << "seed " << seed << " step " << i;
        }
      }
    }
    EXPECT_GT(found, 1000U);
  }
}

TEST_F(MemoryTierTest, ThreadsSeeOnlyWhatWasPutForTheirKeys) {
  constexpr std::uint64_t kKeys = 300;
  const auto keys = Keys(kKeys);
  std::atomic<int> alive{0};
  {
    MemoryTier tier({.max_bytes = 64 << 10, .max_entry_bytes = 2048, .max_shards = 2}, clock_);
    std::atomic<std::uint64_t> wrong{0};
    std::atomic<std::uint64_t> found{0};
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (std::uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(t);
        for (int i = 0; i < (kSanitized ? 10'000 : 100'000); ++i) {
          const std::uint64_t k = std::min(random() % kKeys, random() % kKeys);
          const std::uint64_t action = random() % 64;
          if (action < 12) {
            tier.Put(keys[k],
                     {.value = std::make_shared<Number>(k, 100 + random() % 500, &alive), .stamp = k});
          } else if (action == 12) {
            tier.Erase(keys[k]);
          } else if (action == 13 && random() % 256 == 0) {
            tier.Clear();
          } else if (action == 14 && random() % 64 == 0) {
            tier.SetBudget((64 << 10) + random() % (64 << 10));
          } else if (const auto item = tier.Get(keys[k]); item.has_value()) {
            found.fetch_add(1);
            if (item->stamp != k || dynamic_cast<const Number&>(*item->value).number != k) wrong.fetch_add(1);
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong.load(), 0U);
    EXPECT_GT(found.load(), 1000U);
  }
  EXPECT_EQ(alive.load(), 0);
}

// Hit ratios.

/// Numbers below `count` with probabilities as 1 / rank^alpha, ranks shuffled over the numbers.
class Zipf {
 public:
  Zipf(std::size_t count, double alpha, std::uint64_t seed) : random_(seed), names_(count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      sum += 1 / std::pow(static_cast<double>(i + 1), alpha);
      cumulated_.push_back(sum);
      names_[i] = i;
    }
    std::shuffle(names_.begin(), names_.end(), random_);
  }
  std::size_t operator()() {
    const double draw = std::uniform_real_distribution<double>(0, cumulated_.back())(random_);
    const auto at = std::lower_bound(cumulated_.begin(), cumulated_.end(), draw) - cumulated_.begin();
    return names_[static_cast<std::size_t>(at)];
  }

 private:
  std::mt19937_64 random_;
  std::vector<double> cumulated_;
  std::vector<std::size_t> names_;
};

constexpr std::size_t kPlaces = 1000;

double LruHitRatio(const std::vector<std::size_t>& trace) {
  std::list<std::size_t> order;
  std::unordered_map<std::size_t, std::list<std::size_t>::iterator> places;
  std::size_t hits = 0;
  for (const std::size_t k : trace) {
    const auto it = places.find(k);
    if (it != places.end()) {
      ++hits;
      order.splice(order.begin(), order, it->second);
      continue;
    }
    if (order.size() == kPlaces) {
      places.erase(order.back());
      order.pop_back();
    }
    order.push_front(k);
    places[k] = order.begin();
  }
  return static_cast<double>(hits) / static_cast<double>(trace.size());
}

double TierHitRatio(const std::vector<std::size_t>& trace, const Clock& clock) {
  const auto keys = Keys(*std::max_element(trace.begin(), trace.end()) + 1);
  const ByteCount size = 1024 - MemoryTier::kEntryOverhead - keys[0].text().size();
  MemoryTier tier({.max_bytes = kPlaces * 1024, .max_entry_bytes = 4096, .max_shards = 4}, clock);
  std::size_t hits = 0;
  for (const std::size_t k : trace) {
    if (tier.Get(keys[k]).has_value()) {
      ++hits;
    } else {
      tier.Put(keys[k], {.value = Value(k, size)});
    }
  }
  return static_cast<double>(hits) / static_cast<double>(trace.size());
}

void ExpectAtLeastLru(const char* name, const std::vector<std::size_t>& trace, const Clock& clock,
                      double less = 0) {
  const double lru = LruHitRatio(trace);
  const double ours = TierHitRatio(trace, clock);
  EXPECT_GE(ours, lru - less) << name;
}

TEST_F(MemoryTierTest, HitsAtLeastAsOftenAsLruOnZipf) {
  for (const double alpha : {0.7, 0.9, 1.0, 1.2}) {
    Zipf zipf(20'000, alpha, 11);
    std::vector<std::size_t> trace(150'000);
    for (auto& k : trace) k = zipf();
    ExpectAtLeastLru(("zipf " + std::to_string(alpha)).c_str(), trace, clock_);
  }
}

TEST_F(MemoryTierTest, HitsAtLeastAsOftenAsLruWhenScansPassThrough) {
  Zipf zipf(5000, 0.9, 12);
  std::vector<std::size_t> trace;
  std::size_t fresh = 5000;
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 3000; ++i) trace.push_back(zipf());
    for (int i = 0; i < 1500; ++i) trace.push_back(fresh++);
  }
  ExpectAtLeastLru("scan", trace, clock_);
}

TEST_F(MemoryTierTest, HitsAtLeastAsOftenAsLruOnLoops) {
  for (const std::size_t length : {900U, 1500U, 4000U}) {
    std::vector<std::size_t> trace;
    trace.reserve(100'000);
    for (std::size_t i = 0; i < 100'000; ++i) trace.push_back(i % length);
    ExpectAtLeastLru(("loop " + std::to_string(length)).c_str(), trace, clock_);
  }
}

TEST_F(MemoryTierTest, HitsAtLeastAsOftenAsLruWhenAllThatIsPopularChanges) {
  std::vector<std::size_t> trace;
  for (std::size_t phase = 0; phase < 6; ++phase) {
    Zipf zipf(4000, 0.9, 13 + phase);
    for (int i = 0; i < 30'000; ++i) trace.push_back(zipf() + phase * 2000);
  }
  ExpectAtLeastLru("shifting", trace, clock_);
}

TEST_F(MemoryTierTest, LosesNextToNothingToLruWhereOnlyRecencyTells) {
  std::mt19937_64 random(14);
  std::geometric_distribution<std::size_t> back(1.0 / kPlaces);
  std::vector<std::size_t> trace;
  std::size_t fresh = 0;
  while (trace.size() < 150'000) {
    const std::size_t distance = back(random) + 1;
    const bool is_new = distance > trace.size() || random() % 10 == 0;
    trace.push_back(is_new ? fresh++ : trace[trace.size() - distance]);
  }
  ExpectAtLeastLru("recent", trace, clock_, 0.005);
}

TEST_F(MemoryTierTest, GoesBackToFrequencyWhenRecencyNoLongerTells) {
  // What is popular changes all the time, then a loop of four times the cache comes, which LRU and CLOCK
  // never hit.
  std::vector<std::size_t> trace;
  for (std::size_t phase = 0; phase < 10; ++phase) {
    Zipf zipf(4000, 0.9, 20 + phase);
    for (int i = 0; i < 5000; ++i) trace.push_back(zipf() + phase * 4000);
  }
  const std::size_t before = trace.size();
  for (std::size_t i = 0; i < 60 * kPlaces; ++i) trace.push_back(50'000 + i % (4 * kPlaces));

  const double hits = TierHitRatio(trace, clock_) * static_cast<double>(trace.size());
  const std::vector<std::size_t> popular(trace.begin(), trace.begin() + static_cast<std::ptrdiff_t>(before));
  const double hits_before = TierHitRatio(popular, clock_) * static_cast<double>(before);
  EXPECT_GE((hits - hits_before) / static_cast<double>(trace.size() - before), 0.1)
      << "of 0.25 that are possible";
}

TEST_F(MemoryTierTest, AFloodOfUniqueKeysLeavesWhatIsAskedForAlone) {
  MemoryTier tier({.max_bytes = ByteCount{400} << 10, .max_entry_bytes = 4096, .max_shards = 2}, clock_);
  const auto hot = Keys(100);
  const auto ask = [&](const CacheKey& key) {
    if (tier.Get(key).has_value()) return true;
    tier.Put(key, {.value = Value(0, 500)});
    return false;
  };
  for (int round = 0; round < 20; ++round) {
    for (const auto& key : hot) ask(key);
  }

  std::size_t hits = 0;
  for (std::uint64_t i = 0; i < 50'000; ++i) {
    ask(Key(1'000'000 + i));
    if (i % 10 == 0 && ask(hot[i / 10 % hot.size()])) ++hits;
  }

  EXPECT_GE(hits, 4900U) << "of 5000";
}

}  // namespace
}  // namespace mezzo::cache
