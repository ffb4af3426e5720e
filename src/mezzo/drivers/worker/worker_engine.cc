#include "mezzo/drivers/worker/worker_engine.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string_view>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/worker/internal/worker_metrics.h"
#include "mezzo/drivers/worker/internal/worker_package.h"
#include "mezzo/drivers/worker/internal/worker_session.h"
#include "mezzo/drivers/worker/internal/worker_supervisor.h"

namespace mezzo::drivers {
namespace {

/// What a worker sees of this process's environment: where programs, homes and devices are, and how numbers
/// and threads are dealt with. Nothing that could be a secret.
constexpr std::string_view kPassedOn[] = {"PATH",
                                          "HOME",
                                          "LANG",
                                          "LC_ALL",
                                          "TZ",
                                          "TMPDIR",
                                          "LD_LIBRARY_PATH",
                                          "CUDA_VISIBLE_DEVICES",
                                          "NVIDIA_VISIBLE_DEVICES",
                                          "HIP_VISIBLE_DEVICES",
                                          "OMP_NUM_THREADS",
                                          "MKL_NUM_THREADS",
                                          "OPENBLAS_NUM_THREADS"};

/// Python looks for modules where it is started: not in a model's folder before the worker knows what that
/// is.
constexpr const char* kStartFolder = "/";

std::string Absolute(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) == nullptr ? path : resolved;
}

ByteCount HalfOfHost() {
  return static_cast<ByteCount>(::sysconf(_SC_PHYS_PAGES)) * static_cast<ByteCount>(::sysconf(_SC_PAGESIZE)) /
         2;
}

Result<void> CheckSpecs(const char* what, const std::vector<engine::TensorSpec>& specs) {
  if (specs.size() > kMaxWorkerTensors) {
    return InvalidArgument("model_invalid", "the model declares " + std::to_string(specs.size()) + " " +
                                                what + "s; the limit is " +
                                                std::to_string(kMaxWorkerTensors));
  }
  std::set<std::string_view> names;
  for (const auto& spec : specs) {
    if (spec.name.empty() || spec.name.size() > kMaxWorkerName || !names.insert(spec.name).second) {
      return InvalidArgument("model_invalid",
                             std::string("the model's ") + what + " '" + Printable(spec.name) +
                                 "' has no name, too long a name, or one that is there twice");
    }
  }
  return {};
}

}  // namespace

WorkerEngine::WorkerEngine(Options options, const Clock& clock, observe::Registry& registry,
                           observe::Logger* log)
    : options_(std::move(options)),
      clock_(clock),
      metrics_(std::make_shared<WorkerMetrics>(registry)),
      log_(log) {}

WorkerEngine::~WorkerEngine() = default;

std::vector<std::string> WorkerEngine::Environment() const {
  std::vector<std::string> environment = {
      "PYTHONPATH=/proc/self/fd/" + std::to_string(WorkerProcess::kPackage), "PYTHONUNBUFFERED=1",
      "PYTHONDONTWRITEBYTECODE=1",
      // A model is what lies in its folder: nothing is fetched when it loads.
      "HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1"};
  const auto pass = [&environment](const std::string& name) {
    if (const char* value = ::getenv(name.c_str()); value != nullptr)
      environment.push_back(name + "=" + value);
  };
  for (const std::string_view name : kPassedOn) pass(std::string(name));
  for (const std::string& name : options_.environment) pass(name);
  return environment;
}

Result<std::unique_ptr<engine::Session>> WorkerEngine::Load(const engine::LoadRequest& request) {
  if (::access(request.model_path.c_str(), R_OK) != 0) {
    return NotFound("model_file_missing", "'" + Printable(request.model_path, 256) + "' can't be read");
  }
  MEZZO_TRY_VOID(CheckSpecs("input", request.declared_inputs));
  MEZZO_TRY_VOID(CheckSpecs("output", request.declared_outputs));
  MEZZO_TRY(Fd package, OpenWorkerPackage());
  WorkerPlan plan;
  plan.path = Absolute(request.model_path);
  plan.model = request.model;
  plan.settings = request.worker;
  if (plan.settings.python.empty()) plan.settings.python = options_.python;
  if (plan.settings.memory_limit == 0) plan.settings.memory_limit = options_.memory_limit;
  if (plan.settings.memory_limit == 0) plan.settings.memory_limit = HalfOfHost();
  plan.command = {.arguments = {plan.settings.python, "-m", "mezzo_worker", "--fd",
                                std::to_string(WorkerProcess::kSocket)},
                  .environment = Environment(),
                  .folder = kStartFolder,
                  .package = std::make_shared<const Fd>(std::move(package))};
  plan.declared_inputs = request.declared_inputs;
  plan.declared_outputs = request.declared_outputs;
  plan.crash_budget = options_.crash_budget;
  plan.backoff = options_.backoff;
  plan.broken_pause = options_.broken_pause;
  plan.metrics = metrics_;
  const TimePoint until = AddSaturating(clock_.Now(), plan.settings.start_timeout + std::chrono::seconds(5));
  const auto instances = static_cast<std::size_t>(std::max<std::int64_t>(request.instances, 1));
  auto budget = std::make_shared<SegmentBudget>(options_.max_shared_bytes);
  MEZZO_TRY(std::unique_ptr<WorkerSupervisor> supervisor,
            WorkerSupervisor::Start(std::move(plan), instances, budget, clock_, log_));
  MEZZO_TRY_VOID(supervisor->desk().AwaitAllReady(until));
  WorkerReady declared = supervisor->desk().declared();
  MEZZO_TRY_VOID(CheckSpecs("input", declared.inputs));
  MEZZO_TRY_VOID(CheckSpecs("output", declared.outputs));
  engine::SessionFacts facts;
  facts.inputs = std::move(declared.inputs);
  facts.outputs = std::move(declared.outputs);
  facts.provider = "python";
  facts.memory_bytes = supervisor->own_memory();
  facts.has_loops = true;
  return std::unique_ptr<engine::Session>(
      std::make_unique<WorkerSession>(std::move(supervisor), std::move(budget), std::move(facts), clock_));
}

}  // namespace mezzo::drivers
