#include "mezzo/releases/release_controller.h"

#include <algorithm>
#include <utility>

#include "mezzo/releases/release_store.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::releases {

ReleaseController::ReleaseController(const Options& options, const Ports& ports, std::string host)
    : options_(options),
      ports_(ports),
      driver_(options.driver, ports.driver, std::move(host)),
      open_(ports.registry.NewGauge("mezzo_releases_open", "Releases that have not ended.")),
      leads_(ports.registry.NewGauge("mezzo_releases_leads", "1 on the host that judges releases.")),
      failures_(ports.registry.NewCounter("mezzo_releases_failures_total",
                                          "Rounds, or releases in a round, that could not be driven.")) {}

void ReleaseController::Start() {
  if (ports_.db != nullptr) {
    subscription_ = ports_.db->Listen(kReleasesChannel, [this](std::string_view) {
      MutexLock lock(mu_);
      told_ = true;
      changed_.NotifyAll();
    });
  }
  thread_ = std::thread([this] { Loop(); });
}

void ReleaseController::Stop() {
  subscription_.reset();
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void ReleaseController::Loop() {
  runtime::SetThreadName("releases");
  while (true) {
    {
      MutexLock lock(mu_);
      if (stopping_) return;
      told_ = false;
    }
    const bool left = Round();
    // A turn that was too short for all goes on at once.
    const TimePoint ended = ports_.driver.clock.Now();
    const TimePoint soon = ended + std::min(options_.least_pause, options_.period);
    const TimePoint wake = left ? ended : ended + options_.period;
    MutexLock lock(mu_);
    while (!stopping_) {
      const TimePoint until = told_ ? std::min(soon, wake) : wake;
      if (ports_.driver.clock.Now() >= until) break;
      (void)changed_.WaitUntil(mu_, until);
    }
    if (stopping_) return;
  }
}

bool ReleaseController::Round() {
  const auto round = driver_.Run(ports_.driver.clock.Now() + options_.limit);
  const Error* error = nullptr;
  if (!round.ok()) {
    error = &round.error();
    failures_.Add();
  } else {
    open_.Set(static_cast<double>(round->open));
    leads_.Set(round->leads ? 1 : 0);
    failures_.Add(round->errors.size());
    if (!round->errors.empty()) error = &round->errors.front();
  }
  Result<void> pruned;
  if (error == nullptr && round->leads) {
    pruned = Prune();
    if (!pruned.ok()) {
      failures_.Add();
      error = &pruned.error();
    }
  }
  if (error != nullptr && !failing_) {
    ports_.log.Warn("releases could not be driven",
                    {{"reason", error->reason()}, {"error", error->message()}});
  }
  if (error == nullptr && failing_) ports_.log.Info("releases are driven again", {});
  failing_ = error != nullptr;
  return round.ok() && round->left != 0;
}

Result<void> ReleaseController::Prune() {
  const TimePoint now = ports_.driver.clock.Now();
  if (pruned_ != TimePoint() && now < pruned_ + options_.prune_period) return {};
  MEZZO_TRY_VOID(ports_.driver.rows.Prune(options_.prune_older, now + options_.limit));
  pruned_ = now;
  return {};
}

}  // namespace mezzo::releases
