#pragma once

namespace CLI {
class App;
}

namespace mezzo::app {

/// `mezzo serve`: runs a server until SIGTERM or SIGINT; SIGHUP reads the configuration again. A second
/// signal ends at once. Exit codes: 0 ended cleanly, 1 could not start or had to cut requests, 2 bad usage or
/// configuration.
void AddServeCommand(CLI::App& app, int& exit_code);

/// `mezzo config check|show|reference`.
void AddConfigCommand(CLI::App& app, int& exit_code);

}  // namespace mezzo::app
