#include "mezzo/releases/release_controller.h"

#include <algorithm>
#include <utility>

#include "mezzo/releases/release_store.h"

namespace mezzo::releases {

ReleaseController::ReleaseController(const Options& options, const Ports& ports, std::string host)
    : options_(options),
      ports_(ports),
      driver_(options.driver, ports.driver, std::move(host)),
      open_(ports.registry.NewGauge("mezzo_releases_open", "Releases that have not ended.")),
      leads_(ports.registry.NewGauge("mezzo_releases_leads", "1 on the host that judges releases.")),
      failures_(ports.registry.NewCounter("mezzo_releases_failures_total",
                                          "Rounds, or releases in a round, that could not be driven.")),
      failing_(ports.log, "releases could not be driven", "releases are driven again"),
      thread_({.name = "releases"}, ports.driver.clock, [this] { return Round(); }) {}

void ReleaseController::Start() {
  if (ports_.db != nullptr) {
    subscription_ = ports_.db->Listen(kReleasesChannel, [this](std::string_view) { thread_.Wake(); });
  }
  thread_.Start();
}

void ReleaseController::Stop() {
  subscription_.reset();
  thread_.Stop();
}

runtime::PeriodicThread::Pause ReleaseController::Round() {
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
  if (error == nullptr) {
    failing_.Worked();
  } else {
    failing_.Failed({{"reason", error->reason()}, {"error", error->message()}});
  }
  // A turn that was too short for all goes on at once.
  const bool left = round.ok() && round->left != 0;
  return {.longest = left ? Duration::zero() : options_.period,
          .least = std::min(options_.least_pause, options_.period)};
}

Result<void> ReleaseController::Prune() {
  const TimePoint now = ports_.driver.clock.Now();
  if (pruned_ != TimePoint() && now < pruned_ + options_.prune_period) return {};
  MEZZO_TRY_VOID(ports_.driver.rows.Prune(options_.prune_older, now + options_.limit));
  pruned_ = now;
  return {};
}

}  // namespace mezzo::releases
