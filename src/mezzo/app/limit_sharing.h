#pragma once

#include <optional>
#include <vector>

#include "mezzo/app/shared_state.h"
#include "mezzo/base/clock.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/scope.h"
#include "mezzo/tenancy/limiter.h"
#include "mezzo/tenancy/shared_limits.h"

namespace mezzo::app {

/// Has this server share its limits with the other hosts of its Redis, if it has one, and shows it as
/// metrics. The check "redis" of SharedState says when it can't.
class LimitSharing {
 public:
  /// All outlive this.
  struct Ports {
    tenancy::Limiter& limiter;
    SharedState& state;
    const Clock& clock;
    observe::Registry& registry;
    observe::Logger& log;
  };
  /// Before the first call.
  explicit LimitSharing(Ports ports);

  /// Its rounds run on `loop` until the scope stops; without Redis there are none.
  void Start(runtime::Scope& scope, runtime::Loop& loop);

 private:
  const Ports ports_;
  std::optional<tenancy::SharedLimits> sharing_;  // With Redis.
  std::vector<observe::Callback> counts_;
};

}  // namespace mezzo::app
