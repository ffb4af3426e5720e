#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/app/cli/v2_client.h"

namespace mezzo::app::cli {

/// The command line of `mezzo job`.
struct JobOptions {
  enum class Action : std::uint8_t { kList, kSubmit, kShow, kWatch, kCancel, kRetry };
  ServerOptions server;
  Action action = Action::kList;
  std::string id;
  std::string file;    ///< submit: the JSON of POST /v1/jobs; "-" is standard input.
  std::string key;     ///< submit: the Idempotency-Key.
  std::string status;  ///< list: only these.
  std::size_t limit = 20;
  bool json = false;
};

/// Registers `mezzo job`; `options` must outlive `app`'s parsing.
CLI::App* AddJobCommand(CLI::App& app, JobOptions& options);
/// Asks the server and prints the answer; see ExitCode. Watching a job that fails ends with kRefused.
int RunJobCommand(const JobOptions& options);

/// Follows a job to its end on standard output: on a terminal one line that changes, otherwise a line for
/// each change. Fails with "server_refused" when the job did not succeed.
Result<void> WatchJob(const V2Client& client, const std::string& id);

/// The table of `mezzo job list`. Fails with "bad_answer".
Result<std::string> JobTable(std::string_view json);
/// One line of `mezzo job watch`: "[########............]  40 %  running  denoising". Fails with
/// "bad_answer".
Result<std::string> ProgressLine(std::string_view json);

}  // namespace mezzo::app::cli
