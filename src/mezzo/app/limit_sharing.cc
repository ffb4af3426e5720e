#include "mezzo/app/limit_sharing.h"

#include <utility>

#include "mezzo/base/uuid.h"

namespace mezzo::app {

LimitSharing::LimitSharing(Ports ports) : ports_(ports) {
  if (ports_.state.is_shared()) {
    sharing_.emplace(tenancy::SharedLimits::Options{}, NewUuidV7(ports.clock.WallNow()), ports.limiter,
                     ports.clock);
  }
  using Read = double (*)(const tenancy::SharedLimits&);
  const auto read = [this](Read value) {
    return [this, value] { return sharing_.has_value() ? value(*sharing_) : 0; };
  };
  counts_.push_back(ports_.registry.NewCallbackGauge(
      "mezzo_tenancy_limits_alone",
      "1 while limits go on with this host's last share: Redis is away, or just back.",
      read([](const auto& it) { return it.mode() == tenancy::SharingMode::kShared ? 0.0 : 1.0; })));
  counts_.push_back(ports_.registry.NewCallbackGauge(
      "mezzo_tenancy_limit_hosts", "Hosts that share limits, as last known; 0: not known, or no Redis.",
      read([](const auto& it) { return static_cast<double>(it.hosts()); })));
  counts_.push_back(ports_.registry.NewCallbackCounter(
      "mezzo_tenancy_limit_rounds_total", "Exchanges of tokens and permits with Redis.",
      read([](const auto& it) { return static_cast<double>(it.rounds()); })));
  counts_.push_back(ports_.registry.NewCallbackCounter(
      "mezzo_tenancy_limit_round_failures_total", "Exchanges with Redis that failed or came too late.",
      read([](const auto& it) { return static_cast<double>(it.failures()); })));
}

void LimitSharing::Start(runtime::Scope& scope, runtime::Loop& loop) {
  if (!sharing_.has_value()) return;
  scope.Spawn(loop, runtime::Context(), [this](runtime::Context ctx) {
    return sharing_->Run(std::move(ctx), {.store = &ports_.state.tokens(), .log = &ports_.log});
  });
}

}  // namespace mezzo::app
