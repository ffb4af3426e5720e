#include "mezzo/cache/epoch_feed.h"

#include <utility>

#include "mezzo/runtime/loop.h"

namespace mezzo::cache {

EpochFeed::~EpochFeed() { Stop(); }

void EpochFeed::Start() {
  subscription_ = ports_.db.Listen(kEpochsChannel, [this](std::string_view) {
    MutexLock lock(mu_);
    told_ = true;
    changed_.NotifyAll();
  });
  {
    MutexLock lock(mu_);
    told_ = true;
  }
  thread_ = std::thread([this] { Follow(); });
}

void EpochFeed::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  subscription_.reset();
  if (thread_.joinable()) thread_.join();
}

bool EpochFeed::CatchUp(Duration limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  MutexLock lock(mu_);
  const std::uint64_t ticket = ++asked_;
  told_ = true;
  changed_.NotifyAll();
  while (caught_up_ < ticket && !stopping_) {
    if (!changed_.WaitUntil(mu_, until)) break;
  }
  return caught_up_ >= ticket;
}

ResultCache::ModelRef EpochFeed::Model(std::string_view name) {
  // First the model, then its epoch: Refresh() keeps the new epochs first, then tells the models there are.
  ResultCache::ModelRef model = ports_.results.Model(name);
  if (model == nullptr) return model;
  MutexLock lock(mu_);
  ports_.results.LearnEpoch(model, epochs_.Of(name));
  return model;
}

void EpochFeed::Follow() {
  runtime::SetThreadName("epochs");
  while (true) {
    std::uint64_t asked = 0;
    {
      MutexLock lock(mu_);
      if (!told_ && !stopping_) changed_.WaitUntil(mu_, std::chrono::steady_clock::now() + options_.poll);
      if (stopping_) return;
      told_ = false;
      asked = asked_;
    }
    if (const auto refreshed = Refresh(); !refreshed.ok()) {
      if (!std::exchange(failing_, true)) {
        ports_.log.Warn("the cache's epochs can't be read: results are computed once the bound has passed",
                        {{"bound", options_.max_staleness}, {"error", refreshed.error().ToString()}});
      }
      MutexLock lock(mu_);  // No faster than the poll, whatever is told meanwhile.
      if (!stopping_) changed_.WaitUntil(mu_, std::chrono::steady_clock::now() + options_.poll);
      continue;
    }
    if (std::exchange(failing_, false)) ports_.log.Info("the cache's epochs are read again");
    MutexLock lock(mu_);
    caught_up_ = asked;
    changed_.NotifyAll();
  }
}

Result<void> EpochFeed::Refresh() {
  const TimePoint begun = ports_.clock.Now();
  std::int64_t known = 0;
  {
    MutexLock lock(mu_);
    known = epochs_.revision;
  }
  MEZZO_TRY(auto found, ports_.store.Load(known, AddSaturating(begun, options_.max_staleness)));
  if (found) {
    if (ports_.also) MEZZO_TRY_VOID(ports_.also(AddSaturating(begun, options_.max_staleness)));
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
  }
  verified_until_.store(AddSaturating(begun, options_.max_staleness).time_since_epoch().count(),
                        std::memory_order_release);
  return {};
}

}  // namespace mezzo::cache
