#include <string>

#include <CLI/CLI.hpp>

#include "mezzo/app/cli/commands.h"
#include "mezzo/app/serve_command.h"
#include "mezzo/app/version.h"

int main(int argc, char** argv) {
  CLI::App app("Mezzo serves models: v2 inference (HTTP, gRPC), OpenAI embeddings, fair and on time.",
               "mezzo");
  app.set_version_flag("--version", "mezzo " + std::string(mezzo::app::kVersion) + " (" +
                                        std::string(mezzo::app::kCommit) + ")");
  app.require_subcommand(1);
  int exit_code = 0;
  mezzo::app::AddServeCommand(app, exit_code);
  mezzo::app::AddConfigCommand(app, exit_code);
  mezzo::app::cli::AddCommands(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  return exit_code;
}
