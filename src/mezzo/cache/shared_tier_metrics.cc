#include "mezzo/cache/shared_tier_metrics.h"

#include <string_view>
#include <utility>

namespace mezzo::cache {
namespace {

using observe::MetricType;
using Statistics = SharedTier::Statistics;

}  // namespace

SharedTierMetrics::SharedTierMetrics(observe::Registry& registry,
                                     std::function<SharedTier::Statistics()> read)
    : read_(std::move(read)),
      waits_(registry.NewHistogram("mezzo_cache_shared_wait_seconds",
                                   "How long this host waited for what another one computed.")) {
  const auto of = [this](auto value) {
    return [this, value] { return static_cast<double>(value(read_())); };
  };
  auto& calls = registry.NewCallbackFamily(
      "mezzo_cache_shared_calls_total",
      "Misses of this host by what the tier that hosts share said: hit, join (after another host was waited "
      "for), lead (computed here for all), alone (computed here for this host).",
      MetricType::kCounter, {"outcome"});
  callbacks_.push_back(calls.Add({"hit"}, of([](const Statistics& s) { return s.hits; })));
  callbacks_.push_back(calls.Add({"join"}, of([](const Statistics& s) { return s.joins; })));
  callbacks_.push_back(calls.Add({"lead"}, of([](const Statistics& s) { return s.leads; })));
  callbacks_.push_back(calls.Add({"alone"}, of([](const Statistics& s) { return s.alone; })));
  auto& alone = registry.NewCallbackFamily(
      "mezzo_cache_shared_alone_total",
      "Why this host computed alone: failure (of the store, or its breaker), late (another host), refused "
      "(not for sharing), outdated (the epoch rose).",
      MetricType::kCounter, {"reason"});
  callbacks_.push_back(alone.Add({"failure"}, of([](const Statistics& s) { return s.failures; })));
  callbacks_.push_back(alone.Add({"late"}, of([](const Statistics& s) { return s.late; })));
  callbacks_.push_back(alone.Add({"refused"}, of([](const Statistics& s) { return s.refused; })));
  callbacks_.push_back(alone.Add({"outdated"}, of([](const Statistics& s) { return s.outdated; })));
  callbacks_.push_back(registry.NewCallbackCounter("mezzo_cache_shared_corrupt_total",
                                                   "Shared entries that did not verify: treated as absent.",
                                                   of([](const Statistics& s) { return s.corrupt; })));
  auto& stores = registry.NewCallbackFamily(
      "mezzo_cache_shared_stores_total",
      "Results for other hosts: stored, overtaken (the lease had ended), dropped (the store failed, or too "
      "many waited).",
      MetricType::kCounter, {"outcome"});
  callbacks_.push_back(stores.Add({"stored"}, of([](const Statistics& s) { return s.stored; })));
  callbacks_.push_back(stores.Add({"overtaken"}, of([](const Statistics& s) { return s.overtaken; })));
  callbacks_.push_back(stores.Add({"dropped"}, of([](const Statistics& s) { return s.dropped; })));
  auto& bytes = registry.NewCallbackFamily("mezzo_cache_shared_bytes_total",
                                           "Shared entries before compression, read and written.",
                                           MetricType::kCounter, {"direction"});
  callbacks_.push_back(bytes.Add({"read"}, of([](const Statistics& s) { return s.bytes_read; })));
  callbacks_.push_back(bytes.Add({"written"}, of([](const Statistics& s) { return s.bytes_written; })));
  const auto gauge = [&](std::string_view name, std::string_view help, auto value) {
    callbacks_.push_back(registry.NewCallbackGauge(name, help, of(value)));
  };
  gauge("mezzo_cache_shared_pending_stores", "Results that wait to be stored for other hosts.",
        [](const Statistics& s) { return s.pending; });
  gauge("mezzo_cache_shared_leases", "Keys that this host computes for all.",
        [](const Statistics& s) { return s.leases; });
  gauge("mezzo_cache_shared_waiting", "Keys that this host waits for another to compute.",
        [](const Statistics& s) { return s.waiting; });
  gauge("mezzo_cache_shared_breaker_open", "1 while the shared tier is left alone because it failed.",
        [](const Statistics& s) { return s.healthy ? 0 : 1; });
}

}  // namespace mezzo::cache
