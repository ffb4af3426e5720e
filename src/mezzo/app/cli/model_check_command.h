#pragma once

#include <string>

#include <CLI/App.hpp>

#include "mezzo/base/clock.h"
#include "mezzo/lifecycle/compatibility.h"

namespace mezzo::app::cli {

/// The command line of `mezzo model check`.
struct ModelCheckOptions {
  lifecycle::CompatibilityPlan plan;
  double seconds = 0;  ///< Of wall time; 0: the plan's own.
  bool json = false;
};

/// Registers `mezzo model check`, and `mezzo model` when it is not there yet; `options` must outlive `app`'s
/// parsing.
CLI::App* AddModelCheckCommand(CLI::App& app, ModelCheckOptions& options);
/// Tests the version and prints what came of it: 0 when it has passed, 1 when it has not, 2 when it could not
/// be tested.
int RunModelCheckCommand(const ModelCheckOptions& options);

/// What RunModelCheckCommand prints for people.
std::string CheckTable(const lifecycle::CompatibilityReport& report);

}  // namespace mezzo::app::cli
