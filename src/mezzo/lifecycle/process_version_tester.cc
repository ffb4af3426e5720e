#include "mezzo/lifecycle/process_version_tester.h"

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/internal/report_json.h"
#include "mezzo/lifecycle/version_child.h"
#include "mezzo/runtime/child_process.h"

namespace mezzo::lifecycle {

using internal::Json;

/// What a child has told, and what became of it.
struct ProcessVersionTester::Heard {
  CompatibilityReport report;  ///< Its checks and parts.
  std::string stage;           ///< What it was at.
  std::uint64_t run = 0;       ///< Of that stage, when it counts runs.
  std::optional<std::string> unfit;
  bool done = false;
  bool garbled = false;  ///< A line that is none of a child's.

  void Line(std::string_view text);
  void Put(Check check);
  void Put(TestedPart part);
};

namespace {

constexpr std::size_t kMaxStage = 200;

/// "while loading".
std::string While(const std::string& stage, std::uint64_t run) {
  if (stage.empty()) return "while it started";
  if (stage == kFilesCheck) return "while its files were read";
  if (stage == kOperatorsCheck) return "while its operators were read";
  if (stage == kLoadCheck) return "while loading";
  if (stage == kWarmupCheck) return "while warming up";
  if (stage == kLatencyCheck) return fmt::format("in timed run {}", run);
  if (stage.starts_with(kGoldenPrefix)) {
    return "on golden example '" + Printable(stage.substr(kGoldenPrefix.size())) + "'";
  }
  return "at '" + Printable(stage) + "'";
}

/// "signal 11 (SIGSEGV)".
std::string SignalText(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name == nullptr ? fmt::format("signal {}", signal) : fmt::format("signal {} (SIG{})", signal, name);
}

/// Why a child that did not come to its end has ended; empty: it came to its end.
std::string Fate(const runtime::ChildEnd& end, bool done, const TestLimits& limits) {
  using Cut = runtime::ChildEnd::Cut;
  if (end.cut == Cut::kDeadline) return fmt::format("not done after {:g} s: ended", Seconds(limits.time));
  if (end.cut == Cut::kOutput) return "wrote more than a test's process may: ended";
  if (end.signal == SIGXCPU) return fmt::format("took more than {} s of CPU time", limits.cpu_seconds);
  if (end.signal == SIGKILL) return "was killed from outside (signal 9): has the host run out of memory?";
  if (end.signal != 0) return "crashed: " + SignalText(end.signal);
  if (end.status == kVersionChildOutOfMemory) {
    return fmt::format("needed more than the {} of memory that a test may take", FormatBytes(limits.memory));
  }
  if (end.status != kVersionChildDone || !done)
    return fmt::format("ended by itself with status {}", end.status);
  return "";
}

void Skip(CompatibilityReport& report, std::string_view name, const std::string& reason) {
  if (report.Find(name) != nullptr) return;
  report.checks.push_back({.name = std::string(name), .outcome = CheckOutcome::kSkipped, .reason = reason});
}

}  // namespace

void ProcessVersionTester::Heard::Put(Check check) {
  check.name = Printable(check.name, kMaxStage);
  check.reason = Printable(check.reason, 4 * CompatibilityReport::kMaxReason);
  auto& checks = report.checks;
  const auto same =
      std::find_if(checks.begin(), checks.end(), [&](const Check& one) { return one.name == check.name; });
  if (same != checks.end()) {
    *same = std::move(check);
  } else if (checks.size() < CompatibilityReport::kMaxChecks) {
    checks.push_back(std::move(check));
  }
}

void ProcessVersionTester::Heard::Put(TestedPart part) {
  part.name = Printable(part.name, kMaxStage);
  auto& parts = report.parts;
  const auto same =
      std::find_if(parts.begin(), parts.end(), [&](const auto& one) { return one.name == part.name; });
  if (same != parts.end()) {
    *same = std::move(part);
  } else if (parts.size() < CompatibilityReport::kMaxParts) {
    parts.push_back(std::move(part));
  }
}

/// The child has met hostile bytes: what it says is checked as they were.
void ProcessVersionTester::Heard::Line(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.empty()) {
    garbled = true;
    return;
  }
  const auto word = [&json](const char* name) -> std::optional<std::string> {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_string()) return std::nullopt;
    return Printable(found->get_ref<const std::string&>(), kMaxStage);
  };
  const auto count = [&json](const char* name) -> std::uint64_t {
    const auto found = json.find(name);
    return found != json.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
  };
  if (const auto now = word("stage")) {
    stage = *now;
    run = count("run");
  } else if (const auto why = word("unfit")) {
    unfit = *why;
  } else if (json.contains("check")) {
    auto check = internal::CheckFromJson(json["check"]);
    check.ok() ? Put(std::move(check).value()) : void(garbled = true);
  } else if (json.contains("part")) {
    auto part = internal::PartFromJson(json["part"]);
    part.ok() ? Put(std::move(part).value()) : void(garbled = true);
  } else if (json.contains("peak_memory_bytes")) {
    report.peak_memory = count("peak_memory_bytes");
    const auto confined = json.find("confined");
    report.confined = confined != json.end() && confined->is_boolean() && confined->get<bool>();
  } else if (json.contains("done")) {
    done = true;
  } else {
    garbled = true;
  }
}

Result<ProcessVersionTester::Heard> ProcessVersionTester::RunOne(const CompatibilityPlan& plan, bool before,
                                                                 const std::function<bool()>& stop) const {
  VersionChildTask task{.folder = before ? plan.against : plan.folder,
                        .examples = before ? plan.folder : "",
                        .measure_only = before,
                        .limits = plan.limits,
                        .library = options_.library,
                        .model = before ? "" : plan.model};
  const std::string input = task.ToJson();
  const runtime::ChildProcess child{
      .command = options_.command,
      .input = AsBytes(input),
      .max_output = kMaxVersionChildOutput,
      // The child sets its own, exact limits once the engine's library is loaded.
      .max_memory = std::numeric_limits<std::uint64_t>::max(),
      .max_cpu_seconds = plan.limits.cpu_seconds + 10,
      .stop = stop};
  MEZZO_TRY(const runtime::ChildEnd end,
            runtime::WatchChild(child, AddSaturating(clock_.Now(), plan.limits.time), clock_));
  Heard heard;
  std::string_view rest = end.output;
  while (!rest.empty() && !heard.garbled) {
    const std::size_t line = rest.find('\n');
    if (line == std::string_view::npos) break;  // Cut off in the middle.
    heard.Line(rest.substr(0, line));
    rest.remove_prefix(line + 1);
  }
  if (heard.unfit && end.status == kVersionChildUnfit && end.signal == 0) {
    return Internal("child_failed", "a version can't be tested here: " + *heard.unfit);
  }
  if (heard.stage.empty() && end.signal == 0 && end.status == kVersionChildUnfit) {
    return Internal("child_failed", options_.command.front() + " does not test versions");
  }
  std::string fate = Fate(end, heard.done, plan.limits);
  if (heard.garbled && end.cut == runtime::ChildEnd::Cut::kNone && end.signal == 0 && end.status == 0)
    fate = "wrote what no test's process writes";
  if (fate.empty() && heard.report.Reason().empty() &&
      (heard.report.Find(kLoadCheck) == nullptr || heard.report.parts.empty())) {
    fate = "ended without having loaded the version";
  }
  if (fate.empty()) return heard;
  Check check{.name = heard.stage.empty() ? std::string(kLoadCheck) : heard.stage,
              .outcome = CheckOutcome::kFailed,
              .reason = fate + " " + While(heard.stage, heard.run)};
  heard.Put(std::move(check));
  return heard;
}

Result<CompatibilityReport> ProcessVersionTester::Test(const CompatibilityPlan& plan,
                                                       const std::function<bool()>& stop) const {
  MEZZO_TRY_VOID(plan.Validate());
  MEZZO_TRY(Heard heard, RunOne(plan, /*before=*/false, stop));
  CompatibilityReport& report = heard.report;
  const bool loaded = report.Find(kLoadCheck) != nullptr &&
                      report.Find(kLoadCheck)->outcome == CheckOutcome::kPassed && !report.parts.empty();
  if (loaded) {
    std::optional<Heard> before;
    if (!plan.against.empty()) {
      MEZZO_TRY(before, RunOne(plan, /*before=*/true, stop));
    }
    const bool known = before && !before->report.parts.empty();
    const std::vector<TestedPart>* const old_parts = known ? &before->report.parts : nullptr;
    const std::string why =
        plan.against.empty()
            ? "there is no version before to compare with"
            : "the version before could not be loaded" +
                  (before->report.Reason().empty() ? "" : " (" + before->report.Reason() + ")");
    if (known) {
      report.checks.push_back(CompareSignatures(*old_parts, report.parts));
    } else {
      Skip(report, kSignatureCheck, Printable(why, CompatibilityReport::kMaxReason));
    }
    if (plan.limits.runs > 0 && report.Find(kLatencyCheck) == nullptr) {
      report.checks.push_back(CompareLatency(old_parts, report.parts, plan.rules));
    }
    report.checks.push_back(CompareMemory(old_parts, report.parts, report.peak_memory, plan.rules));
  }
  for (const std::string_view name : {kFilesCheck, kOperatorsCheck, kLoadCheck, kSignatureCheck, kWarmupCheck,
                                      kLatencyCheck, kMemoryCheck}) {
    if (name == kLatencyCheck && loaded && plan.limits.runs == 0) {
      Skip(report, name, "no runs were asked for");
    }
    Skip(report, name, "not reached");
  }
  SortChecks(report.checks);
  return std::move(report);
}

}  // namespace mezzo::lifecycle
