#pragma once

#include <memory>

#include "mezzo/api/platform/drift_handler.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/drift_config.h"
#include "mezzo/inference/call_sampler.h"
#include "mezzo/lifecycle/drift_monitor.h"
#include "mezzo/lifecycle/drift_store.h"
#include "mezzo/lifecycle/trigger_sink.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::app {

/// Drift of versions, wired: what samples calls, what judges them, and the protocol. Thread-safe.
class DriftWatch final : public inference::CallSamplers {
 public:
  /// All outlive this and the versions that were bound with it.
  struct Ports {
    DataStore& store;
    observe::Logger& log;
    observe::Registry& registry;
    lifecycle::VersionOutbox outbox = nullptr;  ///< Null: nobody is told.
  };
  DriftWatch(const DriftConfig& config, Ports ports);

  std::unique_ptr<inference::CallSampler> SamplerOf(const models::ModelVersion& version) override;
  [[nodiscard]] api::Protocol& handler() { return handler_; }
  /// Whom breaches are told; before Start(), and outlives this.
  void set_triggers(lifecycle::TriggerSink* triggers) { monitor_.set_triggers(triggers); }
  /// Nothing while no call is looked at.
  void Start();
  void Stop() { monitor_.Stop(); }

 private:
  const DriftConfig config_;
  lifecycle::DriftStore store_;
  lifecycle::DriftMonitor monitor_;
  runtime::BlockingPool pool_;
  api::platform::DriftHandler handler_;
};

}  // namespace mezzo::app
