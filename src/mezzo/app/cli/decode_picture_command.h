#pragma once

#include <string>
#include <vector>

#include <CLI/App.hpp>

namespace mezzo::app::cli {

/// The command line of `mezzo decode-picture`, which the server runs for itself: see
/// drivers::ProcessPictureDecoder.
struct DecodePictureOptions {
  std::vector<std::string> arguments;  ///< Of drivers::PictureChildTask.
};

/// Registers the command, hidden from the help; `options` must outlive `app`'s parsing.
CLI::App* AddDecodePictureCommand(CLI::App& app, DecodePictureOptions& options);
/// Decodes one picture from standard input to standard output, inside a sandbox.
int RunDecodePictureCommand(const DecodePictureOptions& options);

}  // namespace mezzo::app::cli
