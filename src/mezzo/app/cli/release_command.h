#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// The command line of `mezzo release`.
struct ReleaseOptions {
  enum class Action : std::uint8_t {
    kList,
    kStart,
    kShow,
    kWatch,
    kEvents,
    kPause,
    kResume,
    kPromote,
    kRollBack,
    kCancel
  };
  ServerOptions server;
  Action action = Action::kList;
  std::string name;  ///< A release's id, or a model: its latest release.
  std::string arm;   ///< Of an experiment, to promote.
  bool json = false;
  // Of `start`:
  std::string version;
  std::string file;  ///< The whole declaration as JSON; "-": standard input.
  std::string strategy = "canary";
  std::string stable;
  std::string sticky;
  std::vector<double> steps;  ///< Percent.
  double step_time_s = -1;    ///< Negative: the server's default, as the next two.
  std::int64_t min_calls = -1;
  double settle_s = -1;
  double p99_objective_s = -1;
  bool manual = false;
  bool watch = false;
};

/// Registers `mezzo release`; `options` must outlive `app`'s parsing.
CLI::App* AddReleaseCommand(CLI::App& app, ReleaseOptions& options);
/// Asks the server and prints the answer; `watch` returns when the release has ended. See ExitCode; kRefused
/// when a watched release did not succeed.
int RunReleaseCommand(const ReleaseOptions& options);

/// The body of POST /v1/releases. kInvalidArgument "bad_release".
Result<std::string> ReleaseBody(const ReleaseOptions& options);
/// Tables for people, from the server's answers. Fail with "bad_answer".
Result<std::string> ReleaseTable(std::string_view list_json);
Result<std::string> ReleaseText(std::string_view release_json);

}  // namespace mezzo::app::cli
