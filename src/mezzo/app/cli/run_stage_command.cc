#include "mezzo/app/cli/run_stage_command.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/lifecycle/stage_child.h"

namespace mezzo::app::cli {
namespace {

/// Standard input, up to the size of a task and one byte.
std::string ReadTask() {
  constexpr std::size_t kMaxTask = std::size_t{2} << 20U;
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

}  // namespace

CLI::App* AddRunStageCommand(CLI::App& app, RunStageOptions& /*options*/) {
  CLI::App* command =
      app.add_subcommand("run-stage", "Runs a command of a pipeline; the server runs this for itself");
  command->group("");  // Hidden.
  return command;
}

int RunRunStageCommand(const RunStageOptions& /*options*/) {
  const auto task = lifecycle::StageChildTask::FromJson(ReadTask());
  if (!task.ok()) return FailWith("run-stage", task.error());
  return lifecycle::RunStageChild(*task);
}

}  // namespace mezzo::app::cli
