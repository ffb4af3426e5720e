#include "mezzo/app/cli/check_version_command.h"

#include <signal.h>

#include <cstddef>
#include <string>

#include "mezzo/app/cli/internal/standard_input.h"
#include "mezzo/base/clock.h"
#include "mezzo/drivers/onnxruntime/model_scan.h"
#include "mezzo/drivers/onnxruntime/onnx_engine.h"
#include "mezzo/lifecycle/version_child.h"

namespace mezzo::app::cli {
namespace {

/// Of a task; longer ones are none.
constexpr std::size_t kMaxTask = std::size_t{64} << 10U;

Result<lifecycle::ModelFileFacts> Scan(const std::string& path) {
  // The files of a version that is served have another name there.
  MEZZO_TRY(drivers::ModelScan scan, drivers::ScanModelFile(path, drivers::SecondNames::kAllowed));
  return lifecycle::ModelFileFacts{.opsets = std::move(scan.opsets),
                                   .foreign_operators = std::move(scan.foreign_operators),
                                   .external_files = scan.external.size(),
                                   .tensor_bytes = scan.inline_tensor_bytes + scan.external_tensor_bytes};
}

}  // namespace

CLI::App* AddCheckVersionCommand(CLI::App& app, CheckVersionOptions& /*options*/) {
  CLI::App* command =
      app.add_subcommand("check-version", "Tests a version of a model; the server runs this for itself");
  command->group("");  // Hidden.
  return command;
}

int RunCheckVersionCommand(const CheckVersionOptions& /*options*/) {
  const auto task = lifecycle::VersionChildTask::FromJson(internal::ReadStandardInput(kMaxTask));
  if (!task.ok()) lifecycle::RefuseVersionChild(task.error());
  // The engine's library keeps files of its own in the home folder. This process may write none: let it see
  // an error instead of the signal.
  ::signal(SIGXFSZ, SIG_IGN);
  drivers::OnnxEngine::Options options;
  options.library = task->library;
  options.intra_op_threads = task->limits.threads;
  options.linked_root = task->folder;
  drivers::OnnxEngine engine(options);
  // Opens the library, and starts its threads, while files can be opened.
  if (engine.providers().empty()) {
    lifecycle::RefuseVersionChild(Unavailable("engine_missing", "ONNX Runtime can't be opened"));
  }
  const RealClock clock;
  lifecycle::RunVersionChild(*task, {.engine = engine, .scan = Scan, .clock = clock});
}

}  // namespace mezzo::app::cli
