#pragma once

#include <CLI/App.hpp>

namespace mezzo::app::cli {

/// The command line of `mezzo check-version`, which the server and `mezzo model check` run for themselves:
/// see lifecycle::ProcessVersionTester.
struct CheckVersionOptions {};

/// Registers the command, hidden from the help; `options` must outlive `app`'s parsing.
CLI::App* AddCheckVersionCommand(CLI::App& app, CheckVersionOptions& options);
/// Tests the version that standard input names, inside a sandbox, and tells on standard output.
int RunCheckVersionCommand(const CheckVersionOptions& options);

}  // namespace mezzo::app::cli
