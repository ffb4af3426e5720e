#include "mezzo/app/cli/run_stage_command.h"

#include <cstddef>
#include <string>

#include "mezzo/app/cli/internal/standard_input.h"
#include "mezzo/app/cli/server_address.h"
#include "mezzo/lifecycle/stage_child.h"

namespace mezzo::app::cli {
namespace {

/// Of a task; longer ones are none.
constexpr std::size_t kMaxTask = std::size_t{2} << 20U;

}  // namespace

CLI::App* AddRunStageCommand(CLI::App& app, RunStageOptions& /*options*/) {
  CLI::App* command =
      app.add_subcommand("run-stage", "Runs a command of a pipeline; the server runs this for itself");
  command->group("");  // Hidden.
  return command;
}

int RunRunStageCommand(const RunStageOptions& /*options*/) {
  const auto task = lifecycle::StageChildTask::FromJson(internal::ReadStandardInput(kMaxTask));
  if (!task.ok()) return FailWith("run-stage", task.error());
  return lifecycle::RunStageChild(*task);
}

}  // namespace mezzo::app::cli
