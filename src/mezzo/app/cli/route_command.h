#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// The command line of `mezzo route`.
struct RouteOptions {
  enum class Action : std::uint8_t { kList, kShow, kSet, kWeights, kRollback, kHistory };
  ServerOptions server;
  Action action = Action::kList;
  std::string model;
  std::string file;                  ///< With the route as JSON; "-": standard input.
  std::string stable;                ///< Instead of a file: everything to this version.
  std::vector<std::string> weights;  ///< "canary=500".
  std::string why;
  std::int64_t revision = -1;  ///< That the change is about, or to go back to; negative: not said.
  bool json = false;
};

/// Registers `mezzo route`; `options` must outlive `app`'s parsing.
CLI::App* AddRouteCommand(CLI::App& app, RouteOptions& options);
/// Asks the server and prints the answer; see ExitCode.
int RunRouteCommand(const RouteOptions& options);

/// The table of `mezzo route` and `mezzo route history`. Fails with "bad_answer".
Result<std::string> RouteTable(std::string_view json, bool history);
/// The route `route_json` with the weights named, the others as they are. kInvalidArgument "bad_weights" for
/// an arm that there is not, or what is no "arm=weight" with a weight from 0 to 10,000.
Result<std::string> WithWeights(std::string_view route_json, const std::vector<std::string>& weights);

}  // namespace mezzo::app::cli
