#pragma once

#include <string>
#include <string_view>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// The command line of `mezzo usage`.
struct UsageOptions {
  ServerOptions server;
  std::string from;  ///< "2026-01-31" or "2026-01-31T18:00:00Z"; empty: the server's choice, as for `to`.
  std::string to;
  std::string by = "day";
  std::string group = "tenant,model";
  std::string tenant;   ///< Empty: all that the caller may see.
  std::string project;  ///< Empty: all, as for the others.
  std::string key;      ///< An API key's id.
  std::string model;
  std::string version;
  std::string kind;  ///< "inference" or "job".
  bool csv = false;
  bool json = false;
};

/// Registers `mezzo usage`; `options` must outlive `app`'s parsing.
CLI::App* AddUsageCommand(CLI::App& app, UsageOptions& options);
/// Asks the server and prints what was used; see ExitCode.
int RunUsageCommand(const UsageOptions& options);

/// The table of `mezzo usage`, with a line for the total. Fails with "bad_answer".
Result<std::string> UsageTable(std::string_view json);

}  // namespace mezzo::app::cli
