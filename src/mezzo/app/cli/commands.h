#pragma once

namespace CLI {
class App;
}

namespace mezzo::app::cli {

/// Registers `bench`, `top`, `models` and `infer`. The one that the command line names runs when `app` has
/// parsed it and leaves its exit code (see ExitCode) in `exit_code`, which must outlive the parsing.
void AddCommands(CLI::App& app, int& exit_code);

}  // namespace mezzo::app::cli
