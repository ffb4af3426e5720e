#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// The command line of `mezzo pipeline`.
struct PipelineOptions {
  enum class Action : std::uint8_t {
    kList,
    kPut,
    kShow,
    kDelete,
    kHistory,
    kRun,
    kRuns,
    kStatus,
    kEvents,
    kFire,
    kApprove,
    kReject,
    kCancel,
    kRetry
  };
  ServerOptions server;
  Action action = Action::kList;
  std::string name;  ///< A pipeline, or a run's id: a pipeline is its latest run.
  std::string file;  ///< Of `put`; "-": standard input.
  std::string why;
  std::string note;
  std::string stage;
  std::string template_name;
  std::string state;
  std::string model;  ///< Of `fire`, with the next three.
  std::string kind = "data";
  std::string key;
  std::string detail;
  bool watch = false;
  bool json = false;
};

/// Registers `mezzo pipeline`; `options` must outlive `app`'s parsing.
CLI::App* AddPipelineCommand(CLI::App& app, PipelineOptions& options);
/// Asks the server and prints the answer; with --watch returns when the run has ended or waits for an
/// approval. See ExitCode; kRefused when a watched run did not succeed.
int RunPipelineCommand(const PipelineOptions& options);

/// Tables for people, from the server's answers. Fail with "bad_answer".
Result<std::string> PipelineTable(std::string_view list_json);
Result<std::string> PipelineText(std::string_view pipeline_json);
Result<std::string> PipelineRunTable(std::string_view list_json);
/// A run with its stages drawn one below the other.
Result<std::string> PipelineRunText(std::string_view run_json);

}  // namespace mezzo::app::cli
