#include "mezzo/app/model_engines.h"

#include <utility>

namespace mezzo::app {
namespace {

drivers::OnnxEngine::Options OnnxOptions(const EngineConfig& config, std::string linked_root) {
  drivers::OnnxEngine::Options options;
  options.library = config.library;
  options.intra_op_threads = config.intra_op_threads;
  options.spinning = config.spinning;
  options.max_run_bytes = config.run_memory;
  options.linked_root = std::move(linked_root);
  for (const auto& provider : config.provider_libraries) {
    options.provider_libraries.emplace_back(provider.name, provider.library);
  }
  return options;
}

drivers::WorkerEngine::Options WorkerOptions(const WorkersConfig& config) {
  drivers::WorkerEngine::Options options;
  options.python = config.python;
  options.environment = config.environment;
  options.memory_limit = config.memory_limit;
  options.max_shared_bytes = config.max_shared;
  return options;
}

}  // namespace

ModelEngines::ModelEngines(const EngineConfig& engine, const WorkersConfig& workers, std::string linked_root,
                           const Clock& clock, observe::Registry& registry, observe::Logger& log)
    : onnx_(OnnxOptions(engine, std::move(linked_root)), &log),
      python_(WorkerOptions(workers), clock, registry, &log),
      remote_({}, clock, registry),
      all_({onnx_, python_, remote_}) {}

}  // namespace mezzo::app
