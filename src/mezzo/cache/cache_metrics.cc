#include "mezzo/cache/cache_metrics.h"

#include <atomic>
#include <utility>

#include "mezzo/cache/internal/entry.h"

namespace mezzo::cache {
namespace {

using observe::MetricType;

observe::CallbackFamily::Function Read(const ResultCache::ModelRef& model,
                                       std::atomic<std::uint64_t> internal::CachedModel::* counter) {
  return
      [model, counter] { return static_cast<double>(((*model).*counter).load(std::memory_order_relaxed)); };
}

}  // namespace

CacheMetrics::CacheMetrics(observe::Registry& registry, const MemoryTier& tier)
    : calls_(registry.NewCallbackFamily("mezzo_cache_calls_total", "Calls of models by what the cache said.",
                                        MetricType::kCounter, {"model", "outcome"}, 4096)),
      stale_(registry.NewCallbackFamily("mezzo_cache_stale_hits_total",
                                        "Hits past their time to live, served while being computed anew.",
                                        MetricType::kCounter, {"model"})),
      entries_(
          registry.NewCallbackFamily("mezzo_cache_entries", "Results kept.", MetricType::kGauge, {"model"})),
      bytes_(registry.NewCallbackFamily("mezzo_cache_bytes", "Memory of the results kept.",
                                        MetricType::kGauge, {"model"})),
      saved_(registry.NewCallbackFamily("mezzo_cache_saved_seconds_total",
                                        "Device time of what hits and joins did not compute.",
                                        MetricType::kCounter, {"model"})) {
  const auto gauge = [&](const char* name, const char* help, auto read) {
    tier_.push_back(registry.NewCallbackGauge(
        name, help, [&tier, read] { return static_cast<double>(read(tier.statistics())); }));
  };
  gauge("mezzo_cache_tier_bytes", "Memory of all entries.", [](const auto& s) { return s.bytes; });
  gauge("mezzo_cache_tier_budget_bytes", "The tier's budget.", [](const auto& s) { return s.budget; });
  gauge("mezzo_cache_tier_unfreed_bytes", "Memory taken out and not freed yet.",
        [](const auto& s) { return s.unfreed_bytes; });
  const auto counter = [&](const char* name, const char* help, auto read) {
    tier_.push_back(registry.NewCallbackCounter(
        name, help, [&tier, read] { return static_cast<double>(read(tier.statistics())); }));
  };
  counter("mezzo_cache_tier_evictions_total", "Entries that gave way to newcomers.",
          [](const auto& s) { return s.evicted; });
  counter("mezzo_cache_tier_rejections_total",
          "Newcomers asked for less often than what they would push out.",
          [](const auto& s) { return s.rejected; });
  counter("mezzo_cache_tier_refusals_total",
          "Entries that were too large, or came faster than memory is freed.",
          [](const auto& s) { return s.refused; });
}

void CacheMetrics::Show(const ResultCache::ModelRef& model) {
  using internal::CachedModel;
  if (model == nullptr) return;
  const MutexLock lock(mu_);
  const auto [it, added] = models_.try_emplace(model->name);
  if (!added) return;
  std::vector<observe::Callback>& callbacks = it->second;
  const std::string& name = model->name;
  callbacks.push_back(calls_.Add({name, "hit"}, Read(model, &CachedModel::hits)));
  callbacks.push_back(calls_.Add({name, "join"}, Read(model, &CachedModel::joins)));
  callbacks.push_back(calls_.Add({name, "miss"}, Read(model, &CachedModel::misses)));
  callbacks.push_back(calls_.Add({name, "bypass"}, Read(model, &CachedModel::bypasses)));
  callbacks.push_back(stale_.Add({name}, Read(model, &CachedModel::stale)));
  callbacks.push_back(entries_.Add({name}, Read(model, &CachedModel::entries)));
  callbacks.push_back(bytes_.Add({name}, Read(model, &CachedModel::bytes)));
  callbacks.push_back(saved_.Add(
      {name}, [model] { return Seconds(Duration(model->saved.load(std::memory_order_relaxed))); }));
}

}  // namespace mezzo::cache
