#pragma once

#include <string>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"

namespace mezzo::app::cli {

/// The command line of `mezzo models`.
struct ModelsOptions {
  enum class Action : std::uint8_t { kList, kShow, kLoad, kUnload, kStats };
  ServerOptions server;
  Action action = Action::kList;
  std::string model;        ///< Of show, load and unload; of stats when only one is wanted.
  std::string config_file;  ///< load: JSON configuration that replaces the repository's; empty: none.
  bool json = false;        ///< The server's answer as it is.
};

/// Registers `mezzo models`; `options` must outlive `app`'s parsing.
CLI::App* AddModelsCommand(CLI::App& app, ModelsOptions& options);
/// Asks the server and prints the answer; see ExitCode.
int RunModelsCommand(const ModelsOptions& options);

/// The tables that RunModelsCommand prints, from the server's JSON. Fail with "bad_answer".
Result<std::string> IndexTable(std::string_view json);
Result<std::string> StatisticsTable(std::string_view json);
Result<std::string> SignatureTable(std::string_view json);

}  // namespace mezzo::app::cli
