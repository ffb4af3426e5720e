#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/artifact_manifest.h"

namespace mezzo::app::cli {

/// The command line of `mezzo model`: the registry.
struct ModelOptions {
  enum class Action : std::uint8_t {
    kList,
    kPush,
    kShow,
    kAlias,
    kTag,
    kHistory,
    kPull,
    kRemove,
    kLoad,
    kUnload,
    kDrift,
    kRetire,
    kRestore
  };
  ServerOptions server;
  Action action = Action::kList;
  bool json = false;
  std::string name;
  std::string version;  ///< A number, an alias or "latest"; empty: the model itself.
  std::string folder;   ///< To push, or to pull into.
  std::string alias;
  std::vector<std::string> tags;  ///< "key=value".
  std::string description;
  std::string stage;
  std::string data;
  std::string code;
  std::string metrics_file;
  std::int64_t parent = 0;
  std::string run_id;
  bool wait = false;
  Duration wait_limit = std::chrono::minutes(30);
  std::uint64_t piece = std::uint64_t{8} << 20;  ///< Bytes sent or fetched at a time.
  bool remove = false;                           ///< Of alias and tag.
  bool reset = false;                            ///< Of drift: the next calls are the reference,
  std::int64_t from = 0;                         ///< or those of this version; 0: not said.
};

/// Registers `mezzo model`; `options` must outlive `app`'s parsing.
CLI::App* AddModelCommand(CLI::App& app, ModelOptions& options);
/// See ExitCode.
int RunModelCommand(const ModelOptions& options);

/// The files of a folder that is to be pushed, with their digests; `left_out` counts hidden ones and
/// __pycache__, which are not. Errors: kInvalidArgument "model_folder" (no folder, a symbolic link or
/// something else that is not a file in it), and those of lifecycle::Manifest::Make().
Result<lifecycle::Manifest> ManifestOfFolder(const std::string& folder, std::size_t& left_out);

/// The tables of `mezzo model list`, `show` and `history`, from the server's answers. Fail with "bad_answer".
Result<std::string> RegisteredTable(std::string_view json);
Result<std::string> VersionsTable(std::string_view json);
Result<std::string> HistoryTable(std::string_view json);
/// Of `mezzo model drift`, likewise.
Result<std::string> DriftTable(std::string_view json);

}  // namespace mezzo::app::cli
