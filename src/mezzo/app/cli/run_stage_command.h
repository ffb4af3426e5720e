#pragma once

#include <CLI/App.hpp>

namespace mezzo::app::cli {

/// The command line of `mezzo run-stage`, which the server runs for itself: see lifecycle::CommandRunner.
struct RunStageOptions {};

/// Registers the command, hidden from the help; `options` must outlive `app`'s parsing.
CLI::App* AddRunStageCommand(CLI::App& app, RunStageOptions& options);
/// Stands over the command that standard input names, and tells its end on standard output.
int RunRunStageCommand(const RunStageOptions& options);

}  // namespace mezzo::app::cli
