#include "mezzo/app/cli/release_command.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/internal/actions.h"
#include "mezzo/app/cli/internal/json_answers.h"
#include "mezzo/app/cli/internal/text_table.h"
#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using Action = ReleaseOptions::Action;
using Json = nlohmann::ordered_json;

constexpr double kPerPercent = 100;  // Weights are in 1/10,000.
constexpr auto kWatchPeriod = std::chrono::seconds(1);

Result<Json> Ask(const V2Client& client, const char* method, const std::string& path,
                 const std::string& body = {}) {
  V2Client::Headers headers;
  if (!body.empty()) headers.emplace_back("Content-Type", "application/json");
  return AskJson(client, method, path, body, headers);
}

std::string TextOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

bool LooksLikeId(std::string_view name) {
  constexpr std::size_t kUuid = 36;
  return name.size() == kUuid && name[8] == '-' && name[13] == '-' && name[18] == '-' && name[23] == '-';
}

Result<std::string> IdOf(const V2Client& client, const std::string& name) {
  if (LooksLikeId(name)) return name;
  MEZZO_TRY(const Json page, Ask(client, "GET", "/v1/releases?limit=1&model=" + PercentEncode(name)));
  if (!page.contains("data") || !page["data"].is_array()) return BadAnswer(page.dump());
  if (page["data"].empty()) {
    return NotFound("release_missing", "model '" + Printable(name, 64) + "' has had no release");
  }
  return TextOf(page["data"][0], "id");
}

std::string SplitText(const Json& release) {
  std::string text;
  const auto split = release.find("split");
  if (split == release.end() || !split->is_array()) return "-";
  for (const Json& arm : *split) {
    if (!arm.is_object()) continue;
    const double weight = arm.value("weight", 0.0) / kPerPercent;
    text += fmt::format("{}{}={} {:g}%", text.empty() ? "" : ", ", Printable(TextOf(arm, "name"), 32),
                        Printable(TextOf(arm, "version"), 20), weight);
  }
  return text.empty() ? "-" : text;
}

bool HasEnded(const std::string& state) {
  return state == "succeeded" || state == "rolled_back" || state == "failed" || state == "cancelled";
}

std::string CommandName(Action action) {
  switch (action) {
    case Action::kPause:
      return "pause";
    case Action::kResume:
      return "resume";
    case Action::kPromote:
      return "promote";
    case Action::kRollBack:
      return "roll_back";
    default:
      return "cancel";
  }
}

/// Prints what changes until the release has ended; whether it succeeded.
Result<bool> Watch(const V2Client& client, const std::string& id) {
  std::string line_before;
  std::string state_before;
  while (true) {
    MEZZO_TRY(const Json release, Ask(client, "GET", "/v1/releases/" + PercentEncode(id)));
    const std::string state = TextOf(release, "state");
    const std::string line =
        fmt::format("{:<11}  {}  {}", state, SplitText(release), Printable(TextOf(release, "reason"), 300));
    if (line != line_before) {
      // A step begins with a look; its state is older.
      const bool step = state == state_before && release.contains("latest") && release["latest"].is_object();
      const std::string at = step ? TextOf(release["latest"], "at") : TextOf(release, "since");
      std::printf("%s  %s\n", at.c_str(), line.c_str());
      std::fflush(stdout);
      line_before = line;
      state_before = state;
    }
    if (HasEnded(state)) {
      MEZZO_TRY(const std::string text, ReleaseText(release.dump()));
      std::printf("\n%s", text.c_str());
      return state == "succeeded";
    }
    std::this_thread::sleep_for(kWatchPeriod);
  }
}

Result<void> PrintEvents(const V2Client& client, const std::string& id, bool json) {
  MEZZO_TRY(const Json page, Ask(client, "GET", "/v1/releases/" + PercentEncode(id) + "/events?limit=1000"));
  if (json) {
    std::printf("%s\n", page.dump(2).c_str());
    return {};
  }
  if (!page.contains("data") || !page["data"].is_array()) return BadAnswer(page.dump());
  TextTable table({"WHEN", "WHAT", "BY", "WHY"}, /*all_left=*/true);
  for (const Json& event : page["data"]) {
    table.Add({TextOf(event, "at"), TextOf(event, "kind"), Printable(TextOf(event, "who"), 64),
               Printable(TextOf(event, "text"), 300)});
  }
  std::fputs(table.ToString().c_str(), stdout);
  return {};
}

/// Whether what was watched succeeded; true when nothing was.
Result<bool> Act(const ReleaseOptions& options) {
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  const auto print = [&](const Json& answer) -> Result<void> {
    if (options.json) {
      std::printf("%s\n", answer.dump(2).c_str());
      return {};
    }
    MEZZO_TRY(const std::string text, ReleaseText(answer.dump()));
    std::fputs(text.c_str(), stdout);
    return {};
  };
  switch (options.action) {
    case Action::kList: {
      const std::string filter = options.name.empty() ? "" : "&model=" + PercentEncode(options.name);
      MEZZO_TRY(const Json page, Ask(client, "GET", "/v1/releases?limit=100" + filter));
      if (options.json) {
        std::printf("%s\n", page.dump(2).c_str());
        return true;
      }
      MEZZO_TRY(const std::string table, ReleaseTable(page.dump()));
      std::fputs(table.c_str(), stdout);
      return true;
    }
    case Action::kStart: {
      MEZZO_TRY(const std::string body, ReleaseBody(options));
      MEZZO_TRY(const Json release, Ask(client, "POST", "/v1/releases", body));
      if (options.watch) return Watch(client, TextOf(release, "id"));
      MEZZO_TRY_VOID(print(release));
      return true;
    }
    case Action::kShow: {
      MEZZO_TRY(const std::string id, IdOf(client, options.name));
      MEZZO_TRY(const Json release, Ask(client, "GET", "/v1/releases/" + PercentEncode(id)));
      MEZZO_TRY_VOID(print(release));
      return true;
    }
    case Action::kWatch: {
      MEZZO_TRY(const std::string id, IdOf(client, options.name));
      return Watch(client, id);
    }
    case Action::kEvents: {
      MEZZO_TRY(const std::string id, IdOf(client, options.name));
      MEZZO_TRY_VOID(PrintEvents(client, id, options.json));
      return true;
    }
    default:
      break;
  }
  MEZZO_TRY(const std::string id, IdOf(client, options.name));
  const std::string body = options.arm.empty() ? "{}" : Json({{"arm", options.arm}}).dump();
  MEZZO_TRY(
      const Json release,
      Ask(client, "POST", "/v1/releases/" + PercentEncode(id) + "/" + CommandName(options.action), body));
  MEZZO_TRY_VOID(print(release));
  return true;
}

std::string Figure(const Json& value) {
  return value.is_number() ? fmt::format("{:.4g}", value.get<double>()) : std::string("-");
}

}  // namespace

Result<std::string> ReleaseBody(const ReleaseOptions& options) {
  if (!options.file.empty()) {
    if (options.file == "-") {
      return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
    }
    std::ifstream in(options.file, std::ios::binary);
    if (!in) return NotFound("file_missing", "'" + options.file + "' can't be opened");
    return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  const auto bad = [](std::string message) { return InvalidArgument("bad_release", std::move(message)); };
  if (options.name.empty() || options.version.empty())
    return bad("say the model and the version, or --spec FILE");
  std::string strategy = options.strategy;
  if (strategy == "blue-green") strategy = "blue_green";
  Json body = {{"model", options.name}, {"strategy", strategy}, {"candidate", options.version}};
  if (!options.stable.empty()) body["stable"] = options.stable;
  if (!options.sticky.empty()) body["sticky"] = options.sticky;
  if (options.manual) body["automatic"] = false;
  if (options.settle_s >= 0) body["settle_s"] = options.settle_s;
  if (options.p99_objective_s >= 0) body["analysis"]["p99_objective_s"] = options.p99_objective_s;
  const bool tuned = options.step_time_s >= 0 || options.min_calls >= 0;
  std::vector<double> percents = options.steps;
  if (percents.empty() && tuned) percents = {5, 25, 50, 100};
  for (const double percent : percents) {
    const double weight = std::round(percent * kPerPercent);
    if (!(weight >= 1 && weight <= 100 * kPerPercent)) {
      return bad(fmt::format("a step of {:g} % is not from 0.01 to 100", percent));
    }
    Json step = {{"weight", static_cast<std::uint32_t>(weight)}};
    if (options.step_time_s >= 0) step["min_duration_s"] = options.step_time_s;
    if (options.min_calls >= 0) step["min_calls"] = options.min_calls;
    body["steps"].push_back(std::move(step));
  }
  return body.dump();
}

Result<std::string> ReleaseTable(std::string_view list_json) {
  const Json page = Json::parse(list_json, nullptr, /*allow_exceptions=*/false);
  if (!page.is_object() || !page.contains("data") || !page["data"].is_array()) return BadAnswer(list_json);
  if (page["data"].empty()) return std::string("no releases\n");
  TextTable table({"ID", "MODEL", "STRATEGY", "STATE", "SPLIT", "SINCE"}, /*all_left=*/true);
  for (const Json& one : page["data"]) {
    if (!one.is_object()) return BadAnswer(one.dump());
    table.Add({TextOf(one, "id"), Printable(TextOf(one, "model"), 64), TextOf(one, "strategy"),
               TextOf(one, "state"), SplitText(one), TextOf(one, "since")});
  }
  return table.ToString();
}

Result<std::string> ReleaseText(std::string_view release_json) {
  const Json release = Json::parse(release_json, nullptr, /*allow_exceptions=*/false);
  if (!release.is_object() || !release.contains("state")) return BadAnswer(release_json);
  std::string text = fmt::format(
      "release   {}\nmodel     {}\nstrategy  {}\nstate     {} since {}\nsplit     {}\n",
      TextOf(release, "id"), Printable(TextOf(release, "model"), 128), TextOf(release, "strategy"),
      TextOf(release, "state"), TextOf(release, "since"), SplitText(release));
  if (const std::string reason = TextOf(release, "reason"); !reason.empty()) {
    text += "why       " + Printable(reason, 500) + "\n";
  }
  const auto latest = release.find("latest");
  if (latest == release.end() || !latest->is_object() || !latest->contains("verdict")) return text;
  const Json& verdict = (*latest)["verdict"];
  if (!verdict.is_object()) return text;
  text +=
      fmt::format("verdict   {}: {}\n", TextOf(verdict, "action"), Printable(TextOf(verdict, "reason"), 500));
  if (!verdict.contains("evidence") || !verdict["evidence"].is_array() || verdict["evidence"].empty())
    return text;
  TextTable table({"METRIC", "CANARY", "BASELINE", "CALLS", "P", "LIMIT", ""});
  for (const Json& metric : verdict["evidence"]) {
    if (!metric.is_object()) return BadAnswer(metric.dump());
    const auto value = [&](const char* name) { return Figure(metric.value(name, Json())); };
    table.Add({Printable(TextOf(metric, "metric"), 64), value("canary"), value("baseline"),
               TextOf(metric, "canary_samples"), value("p_value"), value("threshold"),
               metric.value("crossed", false) ? "crossed" : ""});
  }
  return text + "\n" + table.ToString();
}

CLI::App* AddReleaseCommand(CLI::App& app, ReleaseOptions& options) {
  CLI::App* command =
      app.add_subcommand("release", "Brings versions of models into service, and takes them out again");
  AddServerOptions(*command, options.server);
  command->add_flag("--json", options.json, "Print the server's answer as it is");
  command->require_subcommand(0, 1);
  command->fallthrough();
  const internal::Actions action(*command, options.action);
  CLI::App* list = action("list", "Releases, newest first (what `mezzo release` alone does)", Action::kList);
  list->add_option("MODEL", options.name, "Only of this model");
  CLI::App* start = action("start", "Begins a release of a version", Action::kStart);
  start->add_option("MODEL", options.name, "Name of the model");
  start->add_option("VERSION", options.version, "The new version");
  start->add_option("--spec", options.file,
                    "Instead: the whole declaration as JSON; '-': from standard input");
  start->add_option("--strategy", options.strategy, "canary, blue-green or shadow; experiments by --spec")
      ->capture_default_str()
      ->check(CLI::IsMember({"canary", "blue-green", "shadow"}));
  start->add_option("--stable", options.stable, "The version that serves now; without it the route's");
  start->add_option("--sticky", options.sticky, "Whose calls stay together: none, tenant or header:NAME");
  start->add_option("--steps", options.steps, "Percent of the calls, step by step: 5,25,50,100")
      ->delimiter(',');
  start->add_option("--step-time", options.step_time_s, "Seconds that a step lasts at least");
  start->add_option("--min-calls", options.min_calls, "Calls that a step needs at least");
  start->add_option("--settle", options.settle_s, "Seconds that the old version stays warm at the end");
  start->add_option("--p99-objective", options.p99_objective_s,
                    "Seconds; slower versions are rolled back at once");
  start->add_flag("--manual", options.manual, "Each step waits for `mezzo release promote`");
  start->add_flag("--watch", options.watch, "Show what happens until it has ended");
  CLI::App* show = action("show", "One release with its latest verdict", Action::kShow);
  CLI::App* watch = action("watch", "Shows what happens until it has ended", Action::kWatch);
  CLI::App* events = action("events", "What happened, oldest first", Action::kEvents);
  CLI::App* pause = action("pause", "Stops it from moving on by itself", Action::kPause);
  CLI::App* resume = action("resume", "Lets it go on", Action::kResume);
  CLI::App* promote = action("promote", "Moves all calls to the new version", Action::kPromote);
  CLI::App* rollback =
      action("rollback", "Moves all calls back to the old version, at once", Action::kRollBack);
  CLI::App* cancel = action("cancel", "Ends it; all calls go to the old version", Action::kCancel);
  for (CLI::App* sub : {show, watch, events, pause, resume, promote, rollback, cancel}) {
    sub->add_option("RELEASE", options.name, "Its id, or a model: its latest release")->required();
  }
  promote->add_option("--arm", options.arm, "Of an experiment: the arm that wins");
  return command;
}

int RunReleaseCommand(const ReleaseOptions& options) {
  const auto done = Act(options);
  if (!done.ok()) return FailWith("release", done.error());
  return static_cast<int>(*done ? ExitCode::kOk : ExitCode::kRefused);
}

}  // namespace mezzo::app::cli
