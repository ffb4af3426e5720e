#pragma once

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"

namespace mezzo::app::cli {

/// The command line of `mezzo top`.
struct TopOptions {
  ServerOptions server{.timeout = std::chrono::seconds(5)};
  Duration interval = std::chrono::seconds(1);
  bool once = false;  ///< One frame, over one interval, as plain text.
};

/// Registers `mezzo top`; `options` must outlive `app`'s parsing.
CLI::App* AddTopCommand(CLI::App& app, TopOptions& options);
/// Shows the server until 'q' or a signal; see ExitCode.
int RunTopCommand(const TopOptions& options);

}  // namespace mezzo::app::cli
