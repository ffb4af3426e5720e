#include "mezzo/app/cli/model_check_command.h"

#include <cstdio>
#include <filesystem>
#include <system_error>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "mezzo/app/cli/internal/text_table.h"
#include "mezzo/app/cli/server_address.h"
#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/process_version_tester.h"

namespace mezzo::app::cli {
namespace {

using lifecycle::Check;
using lifecycle::CheckOutcome;
using lifecycle::CompatibilityPlan;
using lifecycle::CompatibilityReport;

/// The folder's absolute path; a folder that is none is a fault of the command line, not of a version.
Result<std::string> Folder(const std::string& given) {
  std::error_code failed;
  if (!std::filesystem::is_directory(given, failed)) {
    return InvalidArgument("bad_folder", "'" + Printable(given, 256) + "' is no folder");
  }
  return std::filesystem::absolute(given, failed).lexically_normal().string();
}

Result<CompatibilityPlan> PlanOf(const ModelCheckOptions& options) {
  CompatibilityPlan plan = options.plan;
  MEZZO_TRY(plan.folder, Folder(plan.folder));
  if (!plan.against.empty()) {
    MEZZO_TRY(plan.against, Folder(plan.against));
  }
  if (options.seconds > 0) plan.limits.time = FromSeconds(options.seconds);
  return plan;
}

Result<bool> CheckModel(const ModelCheckOptions& options) {
  MEZZO_TRY(const CompatibilityPlan plan, PlanOf(options));
  const RealClock clock;
  const lifecycle::ProcessVersionTester tester({}, clock);
  MEZZO_TRY(const CompatibilityReport report, tester.Test(plan));
  const std::string text = options.json ? report.ToJson() + "\n" : CheckTable(report);
  std::fputs(text.c_str(), stdout);
  return report.passed();
}

/// "p50_ms 1.25, runs 50".
std::string MeasuredText(const Check& check) {
  std::string out;
  for (const auto& [name, value] : check.measured) {
    out += fmt::format("{}{} {:.6g}", out.empty() ? "" : ", ", name, value);
  }
  return out;
}

}  // namespace

std::string CheckTable(const CompatibilityReport& report) {
  TextTable table({"CHECK", "OUTCOME", "MEASURED"}, /*all_left=*/true);
  for (const Check& check : report.checks) {
    table.Add({check.name, std::string(OutcomeName(check.outcome)), MeasuredText(check)});
  }
  std::string out = table.ToString() + "\n";
  for (const Check& check : report.checks) {
    if (check.reason.empty()) continue;
    out += fmt::format("{} {}: {}\n", check.name, OutcomeName(check.outcome), check.reason);
  }
  if (!report.confined) {
    out +=
        "this host's kernel has no Landlock: the test could read files outside the folder while it loaded\n";
  }
  return out + (report.passed() ? "passed\n" : "not passed: " + report.Reason() + "\n");
}

CLI::App* AddModelCheckCommand(CLI::App& app, ModelCheckOptions& options) {
  const auto found = app.get_subcommands([](CLI::App* one) { return one->get_name() == "model"; });
  CLI::App* const model = found.empty() ? app.add_subcommand("model", "Versions of models") : found.front();
  if (found.empty()) model->require_subcommand(1);
  CLI::App* command = model->add_subcommand(
      "check", "Tests a version as the registry does on its arrival, in a process of its own");
  CompatibilityPlan& plan = options.plan;
  command->add_option("FOLDER", plan.folder, "Folder of the version: model.onnx, model.yaml, golden/")
      ->required();
  command->add_option("--against", plan.against, "Folder of the version before, to compare with");
  command->add_flag("--json", options.json, "Print the report as JSON");
  command->add_option("--memory", plan.limits.memory, "Bytes that it may take (512MiB)")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false));
  command->add_option("--cpu-seconds", plan.limits.cpu_seconds, "CPU time that it may take")
      ->capture_default_str();
  command->add_option("--seconds", options.seconds, "Wall time that it may take; default: 300");
  command->add_option("--threads", plan.limits.threads, "Threads of one run")->capture_default_str();
  command->add_option("--runs", plan.limits.runs, "Timed runs; 0: none")->capture_default_str();
  command
      ->add_option("--latency-factor", plan.rules.latency_factor,
                   "How many times as slow as the version before it may be; 0: not compared")
      ->capture_default_str();
  command
      ->add_option("--memory-factor", plan.rules.memory_factor,
                   "How many times the memory of the version before it may hold; 0: not compared")
      ->capture_default_str();
  return command;
}

int RunModelCheckCommand(const ModelCheckOptions& options) {
  const auto passed = CheckModel(options);
  if (!passed.ok()) return FailWith("model check", passed.error());
  return static_cast<int>(*passed ? ExitCode::kOk : ExitCode::kRefused);
}

}  // namespace mezzo::app::cli
