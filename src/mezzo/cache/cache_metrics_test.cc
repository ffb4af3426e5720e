#include "mezzo/cache/cache_metrics.h"

#include <chrono>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/observe/exposition.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::cache {
namespace {

using ::testing::HasSubstr;

class Blob final : public Cached {
 public:
  [[nodiscard]] ByteCount bytes() const override { return 100; }
};

TEST(CacheMetrics, ShowWhatTheCacheDidForEachModel) {
  const testing::ManualClock clock;
  observe::Registry registry;
  MemoryTier tier({.max_bytes = ByteCount{1} << 20}, clock);
  ResultCache cache({}, tier, clock);
  CacheMetrics metrics(registry, tier);
  const auto model = cache.Model("m");
  metrics.Show(model);
  metrics.Show(model);
  const Rules rules{.ttl = std::chrono::minutes(1)};
  const CacheKey key = KeyBuilder("test").Finish();

  cache.Begin(model, key, rules, clock.Now())
      .ticket->Fill(std::make_shared<Blob>(), std::chrono::milliseconds(500));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(cache.Begin(model, key, rules, clock.Now()).kind, ResultCache::Kind::kHit);

  const std::string text = observe::Render(registry, observe::ExpositionFormat::kOpenMetrics);
  EXPECT_THAT(text, HasSubstr("mezzo_cache_calls_total{model=\"m\",outcome=\"hit\"} 3"));
  EXPECT_THAT(text, HasSubstr("mezzo_cache_calls_total{model=\"m\",outcome=\"miss\"} 1"));
  EXPECT_THAT(text, HasSubstr("mezzo_cache_entries{model=\"m\"} 1"));
  EXPECT_THAT(text, HasSubstr("mezzo_cache_saved_seconds_total{model=\"m\"} 1.5"));
  EXPECT_THAT(text, HasSubstr("mezzo_cache_tier_budget_bytes 1048576"));
}

}  // namespace
}  // namespace mezzo::cache
