#pragma once

#include <string>

#include "mezzo/app/server_config.h"
#include "mezzo/base/clock.h"
#include "mezzo/drivers/onnxruntime/onnx_engine.h"
#include "mezzo/drivers/remote/remote_engine.h"
#include "mezzo/drivers/worker/worker_engine.h"
#include "mezzo/engine/platform_engine.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::app {

/// Whatever runs models: ONNX Runtime here, Python beside, upstreams elsewhere. What is given outlives it.
/// `linked_root`: OnnxEngine::Options::linked_root.
class ModelEngines {
 public:
  ModelEngines(const EngineConfig& engine, const WorkersConfig& workers, std::string linked_root,
               const Clock& clock, observe::Registry& registry, observe::Logger& log);

  /// All of them as one.
  [[nodiscard]] engine::Engine& all() { return all_; }

 private:
  drivers::OnnxEngine onnx_;
  drivers::WorkerEngine python_;
  drivers::RemoteEngine remote_;
  engine::PlatformEngine all_;  // Last: it refers to the others.
};

}  // namespace mezzo::app
