#include "mezzo/app/drift_watch.h"

#include <utility>

#include "mezzo/base/uuid.h"

namespace mezzo::app {
namespace {

class RecordingSampler final : public inference::CallSampler {
 public:
  RecordingSampler(std::uint32_t one_in, std::shared_ptr<lifecycle::DriftRecorder> recorder)
      : CallSampler(one_in), recorder_(std::move(recorder)) {}

  void Take(std::span<const inference::NamedTensor> inputs,
            std::span<const inference::NamedTensor> outputs) override {
    for (const auto& input : inputs) recorder_->Add(/*output=*/false, input.name, input.tensor);
    for (const auto& output : outputs) recorder_->Add(/*output=*/true, output.name, output.tensor);
  }

 private:
  const std::shared_ptr<lifecycle::DriftRecorder> recorder_;
};

lifecycle::DriftMonitor::Options MonitorOptions(const DriftConfig& config, WallTime now) {
  lifecycle::DriftMonitor::Options options;
  options.host = NewUuidV7(now);
  options.reference_calls = config.reference_calls;
  options.min_calls = config.min_calls;
  options.window = config.window;
  options.flush = config.flush;
  options.threshold = config.threshold;
  options.sustain = config.sustain;
  options.max_tensors = config.max_tensors;
  return options;
}

}  // namespace

DriftWatch::DriftWatch(const DriftConfig& config, Ports ports)
    : config_(config),
      store_({}, ports.store.db(), ports.store.clock()),
      monitor_(MonitorOptions(config, ports.store.clock().WallNow()),
               {.store = store_, .clock = ports.store.clock(), .log = ports.log, .metrics = ports.registry}),
      pool_({.name = "drift", .threads = 1, .max_queued = 64}),
      handler_({}, {.store = store_, .monitor = monitor_, .pool = pool_, .clock = ports.store.clock()}) {
  store_.set_outbox(std::move(ports.outbox));
}

std::unique_ptr<inference::CallSampler> DriftWatch::SamplerOf(const models::ModelVersion& version) {
  if (config_.one_in == 0) return nullptr;
  return std::make_unique<RecordingSampler>(config_.one_in,
                                            monitor_.RecorderOf(version.name.str(), version.version));
}

void DriftWatch::Start() {
  if (config_.one_in != 0) monitor_.Start();
}

}  // namespace mezzo::app
