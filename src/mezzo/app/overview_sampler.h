#pragma once

#include "mezzo/api/platform/overview.h"
#include "mezzo/api/platform/overview_handler.h"
#include "mezzo/inference/version_runtime.h"
#include "mezzo/observe/health.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/scope.h"
#include "mezzo/sched/device_executor.h"
#include "mezzo/tenancy/limiter.h"

namespace mezzo::app {

/// Reads once a second what the metrics and the scheduler have counted, and serves it as the overview.
/// Reading happens on a thread of its own, in the background; while it is late, seconds are left out.
/// Thread-safe.
class OverviewSampler {
 public:
  /// All outlive this.
  struct Ports {
    const inference::InferenceMetrics& metrics;
    const sched::DeviceExecutor& executor;
    const tenancy::Limiter& limiter;
    const observe::Health& health;  ///< Streams end when it drains.
    const Clock& clock;
    observe::Registry& registry;
  };
  explicit OverviewSampler(Ports ports);

  /// Until `scope` stops, which must be before this dies.
  void Start(runtime::Scope& scope, runtime::Loop& loop);
  /// Serves OverviewHandler::kRoot.
  [[nodiscard]] api::Protocol& handler() { return handler_; }

 private:
  runtime::Task<Result<void>> Run(runtime::Context ctx);
  [[nodiscard]] api::platform::OverviewCounts Read() const;

  const Ports ports_;
  const Duration period_ = std::chrono::seconds(1);
  api::platform::OverviewFeed feed_;
  api::platform::OverviewHandler handler_;
  runtime::BlockingPool pool_;
  observe::Callback watchers_;
};

}  // namespace mezzo::app
