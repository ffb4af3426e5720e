#include "mezzo/cache/epoch_feed.h"

#include <utility>

namespace mezzo::cache {

EpochFeed::EpochFeed(Options options, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      feed_({.thread = "epochs",
             .channel = kEpochsChannel,
             .poll = options_.poll,
             .trusted = options_.max_staleness,
             .failed = "the cache's epochs can't be read: results are computed once the bound has passed",
             .recovered = "the cache's epochs are read again"},
            {.db = &ports_.db, .clock = ports_.clock, .log = ports_.log, .read = [this](TimePoint begun) {
               return Refresh(begun);
             }}) {}

ResultCache::ModelRef EpochFeed::Model(std::string_view name) {
  // First the model, then its epoch: Refresh() keeps the new epochs first, then tells the models there are.
  ResultCache::ModelRef model = ports_.results.Model(name);
  if (model == nullptr) return model;
  MutexLock lock(mu_);
  ports_.results.LearnEpoch(model, epochs_.Of(name));
  return model;
}

Result<void> EpochFeed::Refresh(TimePoint begun) {
  const TimePoint deadline = AddSaturating(begun, options_.max_staleness);
  std::int64_t known = 0;
  {
    MutexLock lock(mu_);
    known = epochs_.revision;
  }
  MEZZO_TRY(auto found, ports_.store.Load(known, deadline));
  if (!found) return {};
  if (ports_.also) MEZZO_TRY_VOID(ports_.also(deadline));
  {
    MutexLock lock(mu_);
    epochs_ = *found;
  }
  ports_.tenants.Set(found->tenants);
  for (const auto& statistics : ports_.results.statistics()) {
    if (const auto model = ports_.results.Find(statistics.model)) {
      ports_.results.LearnEpoch(model, found->Of(statistics.model));
    }
  }
  return {};
}

}  // namespace mezzo::cache
