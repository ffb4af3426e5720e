#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"

namespace mezzo::app::cli {

/// The command line of `mezzo generate`.
struct GenerateOptions {
  ServerOptions server;
  std::string prompt;      ///< Of pictures; either this or `storyboard`.
  std::string storyboard;  ///< A JSON file; "-" is standard input.
  std::string model = "emoji";
  std::string version;
  std::string out = "out";  ///< A folder; made when there is none.
  std::size_t images = 1;
  std::string negative_prompt;
  std::string image;  ///< A picture file to start from.
  std::string mask;   ///< A picture file: what of `image` is painted anew.
  std::optional<double> strength;
  std::string size;
  std::string sampler;
  std::string format = "png";
  std::string tier = "free";
  std::optional<std::uint64_t> seed;
  std::optional<std::size_t> steps;
  std::optional<double> guidance;
  std::optional<double> step_cache;
};

/// Registers `mezzo generate`; `options` must outlive `app`'s parsing.
CLI::App* AddGenerateCommand(CLI::App& app, GenerateOptions& options);
/// Queues a job, shows its progress, and saves what it has made; see ExitCode.
int RunGenerateCommand(const GenerateOptions& options);

/// Artifacts that the files of the command line have become; empty where there was none.
struct UploadedFiles {
  std::string image;
  std::string mask;
};

/// The body of POST /v1/jobs. `storyboard` is the JSON of the file. Fails with kInvalidArgument
/// "bad_storyboard" when it is no JSON object.
Result<std::string> GenerateBody(const GenerateOptions& options, const std::string& storyboard,
                                 const UploadedFiles& files = {});

/// Where to ask the server for an artifact by its URL, which may have been signed for another
/// name of it; nothing for a URL of another host.
std::optional<std::string> PathOnServer(std::string_view url);

}  // namespace mezzo::app::cli
