#pragma once

#include <CLI/CLI.hpp>

namespace mezzo::app::cli::internal {

/// Adds subcommands that each stand for one action of their command's options.
template <typename Action>
class Actions {
 public:
  /// Both outlive the parsing.
  Actions(CLI::App& command, Action& chosen) : command_(command), chosen_(chosen) {}

  CLI::App* operator()(const char* name, const char* about, Action what) const {
    CLI::App* sub = command_.add_subcommand(name, about);
    sub->callback([&chosen = chosen_, what] { chosen = what; });
    return sub;
  }

 private:
  CLI::App& command_;
  Action& chosen_;
};

}  // namespace mezzo::app::cli::internal
