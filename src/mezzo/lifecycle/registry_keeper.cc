#include "mezzo/lifecycle/registry_keeper.h"

namespace mezzo::lifecycle {

RegistryKeeper::RegistryKeeper(Options options, Ports ports)
    : options_(options),
      ports_(ports),
      thread_({.name = "registry-care", .first = options.period}, ports.clock, [this] {
        RunAndLog();
        return runtime::PeriodicThread::Pause{.longest = options_.period};
      }) {}

Result<RegistryKeeper::Round> RegistryKeeper::RunOnce() {
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.round_time);
  const WallTime now = ports_.clock.WallNow();
  Round round;
  MEZZO_TRY(round.uploads,
            ports_.registry.ExpireUploads(now - options_.upload_lifetime, options_.batch, deadline));
  if (ports_.artifacts != nullptr) {
    MEZZO_TRY(round.artifacts, ports_.artifacts->Expire(options_.batch, deadline));
  }
  const auto remove = [&](const std::string& sha256) { return ports_.uploads.Remove(sha256, deadline); };
  MEZZO_TRY(round.contents,
            ports_.registry.CollectGarbage(now - options_.content_grace, options_.batch, remove, deadline));
  return round;
}

void RegistryKeeper::RunAndLog() {
  const auto round = RunOnce();
  if (!round.ok()) {
    ports_.log.Limited("registry_upkeep")
        .Warn("the upkeep of the registry failed",
              {{"reason", round.error().reason()}, {"message", round.error().message()}});
  } else if (round->uploads + round->contents + round->artifacts > 0) {
    ports_.log.Info(
        "the registry was looked after",
        {{"uploads", round->uploads}, {"contents", round->contents}, {"artifacts", round->artifacts}});
  }
}

}  // namespace mezzo::lifecycle
