#include "mezzo/app/cli/pipeline_command.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
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

using Action = PipelineOptions::Action;
using Json = nlohmann::ordered_json;

constexpr auto kWatchPeriod = std::chrono::milliseconds(500);

Result<Json> Ask(const V2Client& client, const char* method, const std::string& path,
                 const std::string& body = {}, const char* type = "application/json") {
  V2Client::Headers headers;
  if (!body.empty()) headers.emplace_back("Content-Type", type);
  return AskJson(client, method, path, body, headers);
}

std::string TextOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string Shown(const Json& object, const char* name, std::size_t limit = 128) {
  return Printable(TextOf(object, name), limit);
}

bool LooksLikeId(std::string_view name) {
  constexpr std::size_t kUuid = 36;
  return name.size() == kUuid && name[8] == '-' && name[13] == '-' && name[18] == '-' && name[23] == '-';
}

/// Of a run's id, or of a pipeline's latest run.
Result<std::string> IdOf(const V2Client& client, const std::string& name) {
  if (LooksLikeId(name)) return name;
  MEZZO_TRY(const Json page, Ask(client, "GET", "/v1/pipelines/" + PercentEncode(name) + "/runs?limit=1"));
  if (!page.contains("data") || !page["data"].is_array()) return BadAnswer(page.dump());
  if (page["data"].empty())
    return NotFound("pipeline_run_missing", "pipeline '" + Printable(name, 128) + "' has had no run");
  return TextOf(page["data"][0], "id");
}

bool HasEnded(const std::string& state) {
  return state == "succeeded" || state == "failed" || state == "cancelled";
}

const char* Mark(const std::string& state) {
  if (state == "succeeded") return "[x]";
  if (state == "failed" || state == "cancelled") return "[!]";
  if (state == "skipped") return "[-]";
  if (state == "waiting") return "[?]";
  return state == "pending" ? "[ ]" : "[>]";
}

std::string Figures(const Json& stage) {
  const auto metrics = stage.find("metrics");
  std::string text;
  if (metrics == stage.end() || !metrics->is_object()) return text;
  for (const auto& [name, value] : metrics->items()) {
    if (value.is_number())
      text += fmt::format("{}{}={:.4g}", text.empty() ? "" : " ", Printable(name, 64), value.get<double>());
  }
  return text;
}

/// Shows the run until it has ended or waits; whether it succeeded. On a terminal the picture is drawn over
/// itself, elsewhere each change is printed.
Result<bool> Watch(const V2Client& client, const std::string& id) {
  const bool live = ::isatty(STDOUT_FILENO) == 1;
  std::string before;
  while (true) {
    MEZZO_TRY(const Json run, Ask(client, "GET", "/v1/pipeline-runs/" + PercentEncode(id)));
    MEZZO_TRY(const std::string text, PipelineRunText(run.dump()));
    if (text != before) {
      if (live && !before.empty())
        std::printf("\x1b[%zuA\x1b[J",
                    static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')));
      std::printf("%s%s", text.c_str(), live ? "" : "\n");
      std::fflush(stdout);
      before = text;
    }
    const std::string state = TextOf(run, "state");
    if (HasEnded(state) || state == "waiting") return state == "succeeded" || state == "waiting";
    std::this_thread::sleep_for(kWatchPeriod);
  }
}

Result<void> PrintEvents(const V2Client& client, const std::string& id, bool json) {
  MEZZO_TRY(const Json page,
            Ask(client, "GET", "/v1/pipeline-runs/" + PercentEncode(id) + "/events?limit=1000"));
  if (json) {
    std::printf("%s\n", page.dump(2).c_str());
    return {};
  }
  if (!page.contains("data") || !page["data"].is_array()) return BadAnswer(page.dump());
  TextTable table({"WHEN", "WHAT", "STAGE", "BY", "WHY"}, /*all_left=*/true);
  for (const Json& event : page["data"]) {
    table.Add({TextOf(event, "at"), TextOf(event, "kind"), Shown(event, "stage"), Shown(event, "who", 64),
               Shown(event, "text", 300)});
  }
  std::fputs(table.ToString().c_str(), stdout);
  return {};
}

Result<void> PrintHistory(const V2Client& client, const std::string& name, bool json) {
  MEZZO_TRY(const Json page,
            Ask(client, "GET", "/v1/pipelines/" + PercentEncode(name) + "/history?limit=100"));
  if (json) {
    std::printf("%s\n", page.dump(2).c_str());
    return {};
  }
  if (!page.contains("data") || !page["data"].is_array()) return BadAnswer(page.dump());
  TextTable table({"REVISION", "WHEN", "WHAT", "BY", "WHY"}, /*all_left=*/true);
  for (const Json& one : page["data"])
    table.Add({TextOf(one, "revision"), TextOf(one, "at"), TextOf(one, "kind"), Shown(one, "by", 64),
               Shown(one, "why", 200)});
  std::fputs(table.ToString().c_str(), stdout);
  return {};
}

Result<void> Print(const Json& answer, bool json, Result<std::string> (*text_of)(std::string_view)) {
  if (json) {
    std::printf("%s\n", answer.dump(2).c_str());
    return {};
  }
  MEZZO_TRY(const std::string text, text_of(answer.dump()));
  std::fputs(text.c_str(), stdout);
  return {};
}

Result<Json> EventBody(const PipelineOptions& options) {
  Json body = {{"kind", options.kind}, {"model", options.model}, {"key", options.key}};
  if (!options.detail.empty()) {
    body["detail"] = Json::parse(options.detail, nullptr, /*allow_exceptions=*/false);
    if (!body["detail"].is_object()) return InvalidArgument("bad_event", "--detail must be a JSON object");
  }
  return body;
}

Result<bool> Command(const V2Client& client, const PipelineOptions& options, const char* name) {
  MEZZO_TRY(const std::string id, IdOf(client, options.name));
  Json body = Json::object();
  if (!options.stage.empty()) body["stage"] = options.stage;
  if (!options.note.empty()) body["note"] = options.note;
  MEZZO_TRY(const Json run,
            Ask(client, "POST", "/v1/pipeline-runs/" + PercentEncode(id) + "/" + name, body.dump()));
  if (options.watch) return Watch(client, id);
  MEZZO_TRY_VOID(Print(run, options.json, PipelineRunText));
  return true;
}

/// Whether what was watched succeeded; true when nothing was.
Result<bool> Act(const PipelineOptions& options) {
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  const std::string pipeline = "/v1/pipelines/" + PercentEncode(options.name);
  switch (options.action) {
    case Action::kList: {
      std::string filter;
      if (!options.template_name.empty()) filter += "&template=" + PercentEncode(options.template_name);
      if (!options.model.empty()) filter += "&model=" + PercentEncode(options.model);
      MEZZO_TRY(const Json page, Ask(client, "GET", "/v1/pipelines?limit=1000" + filter));
      MEZZO_TRY_VOID(Print(page, options.json, PipelineTable));
      return true;
    }
    case Action::kPut: {
      MEZZO_TRY(const std::string text, ReadFile(options.file));
      const std::string why = options.why.empty() ? "" : "?why=" + PercentEncode(options.why);
      MEZZO_TRY(const Json made,
                Ask(client, "PUT", pipeline + why, text.empty() ? "\n" : text, "application/yaml"));
      MEZZO_TRY_VOID(Print(made, options.json, PipelineText));
      return true;
    }
    case Action::kShow: {
      MEZZO_TRY(const Json found, Ask(client, "GET", pipeline));
      MEZZO_TRY_VOID(Print(found, options.json, PipelineText));
      return true;
    }
    case Action::kDelete: {
      MEZZO_TRY_VOID(Ask(client, "DELETE", pipeline));
      return true;
    }
    case Action::kHistory: {
      MEZZO_TRY_VOID(PrintHistory(client, options.name, options.json));
      return true;
    }
    case Action::kRun: {
      const std::string body = options.note.empty() ? "{}" : Json({{"note", options.note}}).dump();
      MEZZO_TRY(const Json run, Ask(client, "POST", pipeline + "/runs", body));
      if (options.watch) return Watch(client, TextOf(run, "id"));
      MEZZO_TRY_VOID(Print(run, options.json, PipelineRunText));
      return true;
    }
    case Action::kRuns: {
      const std::string state = options.state.empty() ? "" : "&state=" + PercentEncode(options.state);
      const std::string of = options.name.empty() ? "/v1/pipeline-runs" : pipeline + "/runs";
      MEZZO_TRY(const Json page, Ask(client, "GET", of + "?limit=100" + state));
      MEZZO_TRY_VOID(Print(page, options.json, PipelineRunTable));
      return true;
    }
    case Action::kStatus: {
      MEZZO_TRY(const std::string id, IdOf(client, options.name));
      if (options.watch) return Watch(client, id);
      MEZZO_TRY(const Json run, Ask(client, "GET", "/v1/pipeline-runs/" + PercentEncode(id)));
      MEZZO_TRY_VOID(Print(run, options.json, PipelineRunText));
      return true;
    }
    case Action::kEvents: {
      MEZZO_TRY(const std::string id, IdOf(client, options.name));
      MEZZO_TRY_VOID(PrintEvents(client, id, options.json));
      return true;
    }
    case Action::kFire: {
      MEZZO_TRY(const Json body, EventBody(options));
      MEZZO_TRY(const Json answer, Ask(client, "POST", "/v1/pipeline-events", body.dump()));
      std::printf("%s\n", answer.dump(2).c_str());
      return true;
    }
    case Action::kApprove:
      return Command(client, options, "approve");
    case Action::kReject:
      return Command(client, options, "reject");
    case Action::kRetry:
      return Command(client, options, "retry");
    case Action::kCancel:
      break;
  }
  return Command(client, options, "cancel");
}

}  // namespace

Result<std::string> PipelineTable(std::string_view list_json) {
  const Json page = Json::parse(list_json, nullptr, /*allow_exceptions=*/false);
  if (!page.is_object() || !page.contains("data") || !page["data"].is_array()) return BadAnswer(list_json);
  if (page["data"].empty()) return std::string("no pipelines\n");
  TextTable table({"NAME", "KIND", "MODEL", "TEMPLATE", "REVISION", "NEXT", "LATEST RUN"}, /*all_left=*/true);
  for (const Json& one : page["data"]) {
    if (!one.is_object()) return BadAnswer(one.dump());
    std::string next;
    if (one.contains("triggers") && one["triggers"].is_array()) {
      for (const Json& trigger : one["triggers"]) {
        const std::string at = TextOf(trigger, "next_at");
        if (!at.empty() && (next.empty() || at < next)) next = at;
      }
    }
    std::string latest;
    if (one.contains("latest_run") && one["latest_run"].is_object())
      latest = TextOf(one["latest_run"], "state") + " " + TextOf(one["latest_run"], "created_at");
    table.Add({Shown(one, "name"), TextOf(one, "kind"), Shown(one, "model"), Shown(one, "template"),
               TextOf(one, "revision"), next, latest});
  }
  return table.ToString();
}

Result<std::string> PipelineText(std::string_view pipeline_json) {
  const Json one = Json::parse(pipeline_json, nullptr, /*allow_exceptions=*/false);
  if (!one.is_object() || !one.contains("revision")) return BadAnswer(pipeline_json);
  std::string text =
      fmt::format("{}  {}, revision {} by {} at {}\n", TextOf(one, "kind"), Shown(one, "name"),
                  TextOf(one, "revision"), Shown(one, "updated_by", 64), TextOf(one, "updated_at"));
  if (const std::string model = Shown(one, "model"); !model.empty()) text += "model     " + model + "\n";
  if (const std::string from = Shown(one, "template"); !from.empty()) text += "template  " + from + "\n";
  if (const std::string about = Shown(one, "description", 500); !about.empty())
    text += "about     " + about + "\n";
  if (one.contains("stages") && one["stages"].is_array() && !one["stages"].empty()) {
    std::string stages;
    for (const Json& stage : one["stages"])
      stages += (stages.empty() ? "" : " > ") + Shown(stage, "name") + " (" + Shown(stage, "kind") + ")";
    text += "stages    " + stages + "\n";
  }
  if (one.contains("triggers") && one["triggers"].is_array()) {
    for (const Json& trigger : one["triggers"]) {
      text += "trigger   " + Shown(trigger, "kind") + " " + Shown(trigger, "text");
      if (const std::string next = TextOf(trigger, "next_at"); !next.empty()) text += ", next at " + next;
      if (trigger.is_object() && trigger.contains("watched") && trigger["watched"].is_object()) {
        const Json& watched = trigger["watched"];
        if (const std::string why = Shown(watched, "error", 500); !why.empty())
          text += ", not watched: " + why;
        if (watched.contains("settling") && watched["settling"] == Json(true))
          text += ", changed and to settle";
      }
      text += "\n";
    }
  }
  return text;
}

Result<std::string> PipelineRunTable(std::string_view list_json) {
  const Json page = Json::parse(list_json, nullptr, /*allow_exceptions=*/false);
  if (!page.is_object() || !page.contains("data") || !page["data"].is_array()) return BadAnswer(list_json);
  if (page["data"].empty()) return std::string("no runs\n");
  TextTable table({"ID", "PIPELINE", "STATE", "STAGE", "VERSION", "BEGUN BY", "CREATED"}, /*all_left=*/true);
  for (const Json& run : page["data"]) {
    if (!run.is_object() || !run.contains("stages") || !run["stages"].is_array())
      return BadAnswer(run.dump());
    std::string at;
    for (const Json& stage : run["stages"]) {
      const std::string state = TextOf(stage, "state");
      if (state == "succeeded" || state == "skipped" || !at.empty()) continue;
      at = Shown(stage, "name");
    }
    const auto trigger = run.value("trigger", Json::object());
    table.Add({TextOf(run, "id"), Shown(run, "pipeline"), TextOf(run, "state"), at, TextOf(run, "version"),
               TextOf(trigger, "kind"), TextOf(run, "created_at")});
  }
  return table.ToString();
}

Result<std::string> PipelineRunText(std::string_view run_json) {
  const Json run = Json::parse(run_json, nullptr, /*allow_exceptions=*/false);
  if (!run.is_object() || !run.contains("stages") || !run["stages"].is_array()) return BadAnswer(run_json);
  const auto trigger = run.value("trigger", Json::object());
  std::string text =
      fmt::format("run       {}\npipeline  {} for {}\nbegun by  {} ({}) at {}\nstate     {}\n",
                  TextOf(run, "id"), Shown(run, "pipeline"), Shown(run, "model"), TextOf(trigger, "kind"),
                  Shown(trigger, "who", 64), TextOf(run, "created_at"), TextOf(run, "state"));
  if (const std::string why = Shown(run, "message", 600); !why.empty()) text += "why       " + why + "\n";
  for (const Json& stage : run["stages"]) {
    if (!stage.is_object()) return BadAnswer(stage.dump());
    const std::string state = TextOf(stage, "state");
    std::string line = fmt::format("  {} {:<20} {:<9} {:<10}", Mark(state), Shown(stage, "name", 64),
                                   TextOf(stage, "kind"), state);
    if (const std::string attempt = TextOf(stage, "attempt"); attempt != "0" && attempt != "1")
      line += " attempt " + attempt + "/" + TextOf(stage, "max_attempts");
    if (const std::string figures = Figures(stage); !figures.empty()) line += "  " + figures;
    while (line.ends_with(' ')) line.pop_back();
    text += line + "\n";
    if (stage.contains("approval") && stage["approval"].is_object()) {
      const Json& approval = stage["approval"];
      const std::string by = Shown(approval, "by", 64);
      if (state == "waiting")
        text += "        needs the role " + TextOf(approval, "role") + " until " + TextOf(approval, "until") +
                "\n";
      if (!by.empty()) text += "        " + TextOf(approval, "state") + " by " + by + "\n";
    }
    if (stage.contains("gates") && stage["gates"].is_array()) {
      for (const Json& gate : stage["gates"])
        text += fmt::format("        gate {}: {}, {}\n", Shown(gate, "gate", 200), TextOf(gate, "outcome"),
                            Shown(gate, "reason", 200));
    }
    if (stage.contains("error") && stage["error"].is_object() && state != "succeeded")
      text += "        " + Shown(stage["error"], "message", 500) + "\n";
  }
  return text;
}

CLI::App* AddPipelineCommand(CLI::App& app, PipelineOptions& options) {
  CLI::App* command = app.add_subcommand("pipeline", "Pipelines that train, test and release models");
  AddServerOptions(*command, options.server);
  command->add_flag("--json", options.json, "Print the server's answer as it is");
  command->require_subcommand(0, 1);
  command->fallthrough();
  const internal::Actions action(*command, options.action);
  CLI::App* list =
      action("list", "Pipelines and templates (what `mezzo pipeline` alone does)", Action::kList);
  list->add_option("--template", options.template_name, "Only those of this template");
  list->add_option("--model", options.model, "Only those of this model");
  CLI::App* put = action("put", "Makes or replaces a pipeline or a template", Action::kPut);
  put->add_option("NAME", options.name, "Its name")->required();
  put->add_option("FILE", options.file, "Its text, YAML; '-': from standard input")->required();
  put->add_option("--why", options.why, "Kept in its history");
  CLI::App* show = action("show", "One pipeline with its next times", Action::kShow);
  CLI::App* remove = action("rm", "Removes a pipeline", Action::kDelete);
  CLI::App* history = action("history", "Its texts: who put them, when and why", Action::kHistory);
  CLI::App* run = action("run", "Runs it now", Action::kRun);
  run->add_option("--note", options.note, "Kept with the run");
  for (CLI::App* sub : {show, remove, history, run})
    sub->add_option("NAME", options.name, "Its name")->required();
  CLI::App* runs = action("runs", "Runs, newest first", Action::kRuns);
  runs->add_option("NAME", options.name, "Only of this pipeline");
  runs->add_option("--state", options.state, "queued, running, waiting, succeeded, failed or cancelled");
  CLI::App* status = action("status", "A run with its stages", Action::kStatus);
  CLI::App* events = action("events", "What happened to a run, oldest first", Action::kEvents);
  CLI::App* approve = action("approve", "Lets the stage that waits begin", Action::kApprove);
  CLI::App* reject = action("reject", "Ends the run at the stage that waits", Action::kReject);
  CLI::App* cancel = action("cancel", "Ends the run; what runs is stopped", Action::kCancel);
  CLI::App* retry =
      action("retry", "Goes on with a run that has failed, at the stage that failed", Action::kRetry);
  for (CLI::App* sub : {status, events, approve, reject, cancel, retry})
    sub->add_option("RUN", options.name, "Its id, or a pipeline: its latest run")->required();
  for (CLI::App* sub : {approve, reject, cancel, retry})
    sub->add_option("--note", options.note, "Kept with the run");
  for (CLI::App* sub : {approve, reject})
    sub->add_option("--stage", options.stage, "The stage that is meant");
  for (CLI::App* sub : {run, status, approve, retry})
    sub->add_flag("--watch", options.watch, "Show its stages until it has ended or waits for an approval");
  CLI::App* fire = action("fire", "Tells of an event that pipelines may begin with", Action::kFire);
  fire->add_option("MODEL", options.model, "Whose")->required();
  fire->add_option("KEY", options.key, "Events of equal kind, model and key are one")->required();
  fire->add_option("--kind", options.kind, "data, drift or objective")->capture_default_str();
  fire->add_option("--detail", options.detail, "A JSON object, kept with the run");
  return command;
}

int RunPipelineCommand(const PipelineOptions& options) {
  const auto done = Act(options);
  if (!done.ok()) return FailWith("pipeline", done.error());
  return static_cast<int>(*done ? ExitCode::kOk : ExitCode::kRefused);
}

}  // namespace mezzo::app::cli
