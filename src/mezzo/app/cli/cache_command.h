#pragma once

#include <string>
#include <string_view>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// The command line of `mezzo cache`.
struct CacheOptions {
  ServerOptions server;
  bool purge = false;
  std::string model;  ///< To purge; empty: all, if `all` says so.
  bool all = false;
  std::string tenant;  ///< Whose part to purge; empty: everybody's.
  bool json = false;
  bool correct = false;      ///< `model`'s answer to `request` is `response`.
  bool corrections = false;  ///< List them; of `model`, if it is given.
  std::string version;
  std::string request;   ///< A file: a v2 inference request.
  std::string response;  ///< A file: the v2 response to give.
  std::string remove;    ///< The id of a correction to remove.
};

/// Registers `mezzo cache`; `options` must outlive `app`'s parsing.
CLI::App* AddCacheCommand(CLI::App& app, CacheOptions& options);
/// Asks the server and prints the answer; see ExitCode.
int RunCacheCommand(const CacheOptions& options);

/// The table of `mezzo cache stats`, from the server's answer. Fails with "bad_answer".
Result<std::string> CacheTable(std::string_view json);
/// The table of `mezzo cache corrections`, likewise.
Result<std::string> CorrectionsTable(std::string_view json);

}  // namespace mezzo::app::cli
