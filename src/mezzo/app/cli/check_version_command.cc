#include "mezzo/app/cli/check_version_command.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/drivers/onnxruntime/model_scan.h"
#include "mezzo/drivers/onnxruntime/onnx_engine.h"
#include "mezzo/lifecycle/version_child.h"

namespace mezzo::app::cli {
namespace {

/// Standard input, up to the size of a task and one byte.
std::string ReadTask() {
  constexpr std::size_t kMaxTask = std::size_t{64} << 10U;
  std::string out;
  std::array<char, 4096> piece{};
  while (out.size() <= kMaxTask) {
    const ssize_t n = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    out.append(piece.data(), static_cast<std::size_t>(n));
  }
  return out;
}

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
  const auto task = lifecycle::VersionChildTask::FromJson(ReadTask());
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
