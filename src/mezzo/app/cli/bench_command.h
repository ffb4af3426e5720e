#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/App.hpp>

#include "mezzo/app/cli/flow_spec.h"
#include "mezzo/app/cli/server_address.h"

namespace mezzo::app::cli {

/// The command line of `mezzo bench`.
struct BenchOptions {
  ServerOptions server{.timeout = std::chrono::seconds(10)};
  FlowSpec defaults;               ///< From flags such as --model: what flows of --flow start from.
  std::vector<std::string> flows;  ///< --flow; empty and no scenario: `defaults` is the only flow.
  std::string scenario_file;
  std::optional<Duration> duration;
  std::optional<Duration> warmup;
  std::optional<std::uint64_t> requests;
  std::optional<std::uint64_t> seed;
  std::size_t threads = 1;
  std::string json_file;  ///< "-" for standard output; the text report then goes to standard error.
  bool quiet = false;     ///< No progress line even on a terminal.
};

/// Registers `mezzo bench`; `options` must outlive `app`'s parsing.
CLI::App* AddBenchCommand(CLI::App& app, BenchOptions& options);
/// Runs the benchmark and prints the report; see ExitCode. kRefused when no request succeeded.
int RunBenchCommand(const BenchOptions& options);

}  // namespace mezzo::app::cli
