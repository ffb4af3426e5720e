#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// The command line of `mezzo limit`.
struct LimitOptions {
  enum class Action : std::uint8_t { kList, kShow, kSet, kRemove };
  ServerOptions server;
  Action action = Action::kList;
  std::string name;
  std::string kind;
  std::string tenant;
  std::string project;
  std::string key;
  std::string model;
  std::vector<std::string> per;
  double rate = 0;     ///< 0: not said.
  double burst = 0;    ///< 0: not said.
  double amount = -1;  ///< Negative: not said.
  bool json = false;
};

/// Registers `mezzo limit`; `options` must outlive `app`'s parsing.
CLI::App* AddLimitCommand(CLI::App& app, LimitOptions& options);
/// Asks the server and prints the answer; see ExitCode.
int RunLimitCommand(const LimitOptions& options);

/// The table of `mezzo limit list`. Fails with "bad_answer".
Result<std::string> LimitTable(std::string_view json);

}  // namespace mezzo::app::cli
