#include "mezzo/app/cli/model_command.h"

#include <algorithm>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/internal/actions.h"
#include "mezzo/app/cli/internal/json_answers.h"
#include "mezzo/app/cli/internal/model_transfer.h"
#include "mezzo/app/cli/internal/text_table.h"
#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using Action = ModelOptions::Action;
using Json = nlohmann::ordered_json;

void Print(const std::string& text) { std::fputs(text.c_str(), stdout); }

std::string Word(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return "-";
  if (found->is_string()) return Printable(found->get<std::string>());
  return Printable(found->dump(-1, ' ', false, Json::error_handler_t::replace));
}

/// "a=1, b=2"
std::string Pairs(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_object() || found->empty()) return "-";
  std::string text;
  for (const auto& [key, value] : found->items()) {
    text += (text.empty() ? "" : ", ") + key + "=" +
            (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return Printable(text);
}

std::string Words(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_array() || found->empty()) return "-";
  std::string text;
  for (const Json& word : *found) {
    if (word.is_string()) text += (text.empty() ? "" : ", ") + word.get<std::string>();
  }
  return Printable(text);
}

/// {"data": [objects]}
Result<Json> ListOf(std::string_view text) {
  Json answer = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("data") || !answer["data"].is_array()) return BadAnswer(text);
  for (const Json& one : answer["data"]) {
    if (!one.is_object()) return BadAnswer(text);
  }
  return answer;
}

/// All pages of a list as one answer.
Result<std::string> AllPages(const V2Client& client, const std::string& path) {
  constexpr int kMostPages = 100;
  Json all = {{"object", "list"}, {"data", Json::array()}};
  std::string after;
  for (int page = 0; page < kMostPages; ++page) {
    std::string target = path;
    target += "?limit=1000";
    if (!after.empty()) target += "&after=" + PercentEncode(after);
    MEZZO_TRY(const HttpReply reply, client.CallOk("GET", target));
    MEZZO_TRY(const Json answer, ListOf(reply.body));
    for (const Json& one : answer["data"]) all["data"].push_back(one);
    if (!answer.contains("next") || !answer["next"].is_string()) break;
    after = answer["next"].get<std::string>();
  }
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<void> PrintList(const V2Client& client, const ModelOptions& options, const std::string& path,
                       Result<std::string> (*table)(std::string_view)) {
  MEZZO_TRY(const std::string answer, AllPages(client, path));
  if (options.json) {
    Print(answer + "\n");
    return {};
  }
  MEZZO_TRY(const std::string text, table(answer));
  Print(text);
  return {};
}

Result<void> Show(const V2Client& client, const ModelOptions& options) {
  const std::string path = RegistryPath(options.name, options.version);
  MEZZO_TRY(const HttpReply reply, client.CallOk("GET", path));
  if (options.json || !options.version.empty()) {
    const Json answer = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
    if (!answer.is_object()) return BadAnswer(reply.body);
    Print(options.json ? reply.body + "\n" : answer.dump(2) + "\n");
    return {};
  }
  const Json model = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  if (!model.is_object()) return BadAnswer(reply.body);
  Print(Word(model, "name") + ": " + Word(model, "description") + "\ntags " + Pairs(model, "tags") +
        "\naliases " + Pairs(model, "aliases") + "\n\n");
  return PrintList(client, options, path + "/versions", VersionsTable);
}

Result<void> History(const V2Client& client, const ModelOptions& options) {
  MEZZO_TRY(
      const HttpReply reply,
      client.CallOk("GET", RegistryPath(options.name) + "/history?limit=1000" +
                               (options.version.empty() ? "" : "&version=" + PercentEncode(options.version)) +
                               (options.alias.empty() ? "" : "&alias=" + PercentEncode(options.alias))));
  if (options.json) {
    Print(reply.body + "\n");
    return {};
  }
  MEZZO_TRY(const std::string text, HistoryTable(reply.body));
  Print(text);
  return {};
}

Result<void> SetAlias(const V2Client& client, const ModelOptions& options) {
  const std::string path = RegistryPath(options.name) + "/aliases/" + PercentEncode(options.alias);
  if (options.remove) {
    MEZZO_TRY_VOID(client.CallOk("DELETE", path));
    Print("removed " + options.alias + "\n");
    return {};
  }
  const auto version = ParseUint(options.version);
  if (!version)
    return InvalidArgument("model_version", "say which version the alias is to point at: a number");
  MEZZO_TRY_VOID(client.CallOk("PUT", path, Json{{"version", *version}}.dump()));
  Print(options.alias + " is version " + options.version + "\n");
  return {};
}

Result<void> SetTags(const V2Client& client, const ModelOptions& options) {
  const std::string path = RegistryPath(options.name, options.version) + "/tags";
  for (const std::string& tag : options.tags) {
    if (options.remove) {
      MEZZO_TRY_VOID(client.CallOk("DELETE", path + "?key=" + PercentEncode(tag)));
      continue;
    }
    const std::size_t equals = tag.find('=');
    if (equals == std::string::npos || equals == 0) {
      return InvalidArgument("model_tag", "a tag is KEY=VALUE, not '" + Printable(tag) + "'");
    }
    const Json body = {{"key", tag.substr(0, equals)}, {"value", tag.substr(equals + 1)}};
    MEZZO_TRY_VOID(client.CallOk("PUT", path, body.dump()));
  }
  return {};
}

Result<void> Drift(const V2Client& client, const ModelOptions& options) {
  if (options.reset) {
    const auto version = ParseUint(options.version);
    if (!version)
      return InvalidArgument("model_version", "say whose reference is to begin anew: --version NUMBER");
    Json body = Json::object();
    if (options.from > 0) body["from"] = options.from;
    MEZZO_TRY_VOID(client.CallOk(
        "POST", "/v1/drift/" + PercentEncode(options.name) + "/" + options.version + "/reset", body.dump()));
    Print(options.from > 0 ? "compared with version " + std::to_string(options.from) + " from now on\n"
                           : "the next calls are the reference\n");
    return {};
  }
  MEZZO_TRY(const HttpReply reply, client.CallOk("GET", "/v1/drift?model=" + PercentEncode(options.name)));
  MEZZO_TRY(Json answer, ListOf(reply.body));
  if (!options.version.empty()) {
    Json kept = Json::array();
    for (const Json& one : answer["data"]) {
      if (Word(one, "version") == options.version) kept.push_back(one);
    }
    answer["data"] = std::move(kept);
  }
  const std::string text = answer.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (options.json) {
    Print(text + "\n");
    return {};
  }
  MEZZO_TRY(const std::string table, DriftTable(text));
  Print(table);
  return {};
}

Result<void> Act(const ModelOptions& options) {
  ServerOptions server = options.server;
  const bool transfers = options.action == Action::kPush || options.action == Action::kPull ||
                         options.action == Action::kLoad || options.action == Action::kRestore;
  // The last piece of a large content is answered when the whole has been verified, a load when it serves.
  if (transfers) server.timeout = std::max<Duration>(server.timeout, std::chrono::minutes(30));
  MEZZO_TRY(const V2Client client, V2Client::Make(server));
  const std::string path = RegistryPath(options.name, options.version);
  switch (options.action) {
    case Action::kList:
      return PrintList(client, options, "/v1/registry/models", RegisteredTable);
    case Action::kPush:
      return PushModel(client, options);
    case Action::kPull:
      return PullModel(client, options);
    case Action::kShow:
      return Show(client, options);
    case Action::kHistory:
      return History(client, options);
    case Action::kAlias:
      return SetAlias(client, options);
    case Action::kTag:
      return SetTags(client, options);
    case Action::kRemove:
      MEZZO_TRY_VOID(client.CallOk("DELETE", path));
      Print("removed " + options.name + (options.version.empty() ? "" : " version " + options.version) +
            "\n");
      return {};
    case Action::kLoad:
      MEZZO_TRY_VOID(client.CallOk("POST", path + "/load", ""));
      Print("serving " + options.name + " version " + options.version + "\n");
      return {};
    case Action::kUnload:
      MEZZO_TRY_VOID(client.CallOk("POST", path + "/unload", ""));
      Print("no longer serving " + options.name + " version " + options.version + "\n");
      return {};
    case Action::kDrift:
      return Drift(client, options);
    case Action::kRetire:
      MEZZO_TRY_VOID(client.CallOk("POST", path + "/retire", ""));
      Print("retiring " + options.name + " version " + options.version + "\n");
      return {};
    case Action::kRestore:
      MEZZO_TRY_VOID(client.CallOk("POST", path + "/restore", ""));
      Print(options.name + " version " + options.version + " is ready\n");
      return {};
  }
  return {};
}

}  // namespace

Result<std::string> RegisteredTable(std::string_view text) {
  MEZZO_TRY(const Json answer, ListOf(text));
  if (answer["data"].empty()) return std::string("no models are registered\n");
  TextTable table({"MODEL", "LATEST", "ALIASES", "TAGS", "UPDATED"}, /*all_left=*/true);
  for (const Json& model : answer["data"]) {
    table.Add({Word(model, "name"), Word(model, "latest"), Pairs(model, "aliases"), Pairs(model, "tags"),
               Word(model, "updated_at")});
  }
  return table.ToString();
}

Result<std::string> VersionsTable(std::string_view text) {
  MEZZO_TRY(const Json answer, ListOf(text));
  if (answer["data"].empty()) return std::string("no versions\n");
  TextTable table({"VERSION", "STATE", "ALIASES", "SIZE", "TAGS", "CREATED", "BY", "REASON"},
                  /*all_left=*/true);
  for (const Json& version : answer["data"]) {
    const auto bytes = version.find("bytes");
    const bool sized = bytes != version.end() && bytes->is_number_unsigned();
    table.Add({Word(version, "version"), Word(version, "state"), Words(version, "aliases"),
               sized ? FormatBytes(bytes->get<std::uint64_t>()) : "-", Pairs(version, "tags"),
               Word(version, "created_at"), Word(version, "created_by"), Word(version, "reason")});
  }
  return table.ToString();
}

Result<std::string> HistoryTable(std::string_view text) {
  MEZZO_TRY(const Json answer, ListOf(text));
  if (answer["data"].empty()) return std::string("no history\n");
  TextTable table({"WHEN", "WHAT", "VERSION", "FIELD", "BEFORE", "AFTER", "BY"}, /*all_left=*/true);
  for (const Json& event : answer["data"]) {
    table.Add({Word(event, "at"), Word(event, "kind"), Word(event, "version"), Word(event, "field"),
               Word(event, "before"), Word(event, "after"), Word(event, "by")});
  }
  return table.ToString();
}

Result<std::string> DriftTable(std::string_view text) {
  MEZZO_TRY(const Json answer, ListOf(text));
  if (answer["data"].empty()) return std::string("nothing is watched yet: drift.one_in, and enough calls\n");
  const auto number = [](const Json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_number() ? fmt::format("{:.3f}", found->get<double>()) : "-";
  };
  TextTable table({"VERSION", "TENSOR", "DIRECTION", "PSI", "KS", "CALLS", "THRESHOLD", "DRIFTED SINCE"},
                  /*all_left=*/true);
  for (const Json& version : answer["data"]) {
    const auto tensors = version.find("tensors");
    if (tensors == version.end() || !tensors->is_array()) return BadAnswer(text);
    for (const Json& tensor : *tensors) {
      if (!tensor.is_object()) return BadAnswer(text);
      table.Add({Word(version, "version"), Word(tensor, "name"), Word(tensor, "direction"),
                 number(tensor, "psi"), number(tensor, "ks"), Word(tensor, "calls"),
                 number(version, "threshold"), Word(version, "drifted_since")});
    }
  }
  return table.ToString();
}

CLI::App* AddModelCommand(CLI::App& app, ModelOptions& options) {
  CLI::App* command = app.add_subcommand("model", "The registry: pushes, lists, names and fetches versions");
  AddServerOptions(*command, options.server);
  command->add_flag("--json", options.json, "Print the server's answer as it is");
  command->require_subcommand(0, 1);
  command->fallthrough();
  const internal::Actions add(*command, options.action);
  const auto named = [&](CLI::App* sub) {
    sub->add_option("NAME", options.name, "The model")->required();
    return sub;
  };
  const char* const version_help = "A number, an alias or latest";
  add("list", "The registered models (what `mezzo model` alone does)", Action::kList);

  CLI::App* push = add("push", "Registers a folder's files as a new version", Action::kPush);
  push->add_option("FOLDER", options.folder, "The version's files: model.onnx, model.yaml, ...")->required();
  push->add_option("--name", options.name, "The model; made when there is none")->required();
  push->add_option("--alias", options.alias, "Points this alias at the version when it is ready");
  push->add_option("--tag", options.tags, "KEY=VALUE; may be repeated");
  push->add_option("--description", options.description, "What the version is");
  push->add_option("--stage", options.stage, "A word of your own: dev, staging, ...");
  push->add_option("--data", options.data, "Lineage: the data it was trained on");
  push->add_option("--code", options.code, "Lineage: the code, such as a commit");
  push->add_option("--metrics", options.metrics_file, "Lineage: a file with a JSON object")
      ->type_name("FILE");
  push->add_option("--parent", options.parent, "Lineage: the version it was made from");
  push->add_option("--run-id", options.run_id, "Lineage: the run that made it");
  push->add_flag("--wait", options.wait, "End when the version is ready, or was rejected");
  AddDurationOption(*push, "--wait-limit", options.wait_limit, "How long to wait");
  push->add_option("--piece", options.piece, "Bytes sent at a time")->check(CLI::Range(65536, 64 << 20));

  CLI::App* show =
      named(add("show", "A model with its versions, or a version with its files", Action::kShow));
  show->add_option("VERSION", options.version, version_help);

  CLI::App* alias = named(add("alias", "Points an alias at a version", Action::kAlias));
  alias->add_option("ALIAS", options.alias, "The alias")->required();
  alias->add_option("VERSION", options.version, "The version's number");
  alias->add_flag("--remove", options.remove, "Remove the alias");

  CLI::App* tag = named(add("tag", "Sets tags of a model, or of a version", Action::kTag));
  tag->add_option("TAG", options.tags, "KEY=VALUE; with --remove KEY")->required();
  tag->add_option("--version", options.version, "The version's number; else the model itself");
  tag->add_flag("--remove", options.remove, "Remove them");

  CLI::App* history = named(add("history", "What was changed, when and by whom", Action::kHistory));
  history->add_option("--version", options.version, "Only of this version");
  history->add_option("--alias", options.alias, "Only of this alias");

  CLI::App* pull = named(add("pull", "Fetches a version's files, verified", Action::kPull));
  pull->add_option("VERSION", options.version, version_help);
  pull->add_option("--to", options.folder, "The folder; made when there is none")->required();
  pull->add_option("--piece", options.piece, "Bytes fetched at a time")->check(CLI::Range(65536, 64 << 20));

  named(add("rm", "Removes a version, or a model with all its versions", Action::kRemove))
      ->add_option("VERSION", options.version, "The version's number; else the model");
  named(add("load", "Makes the server fetch and serve a version; ends when it does", Action::kLoad))
      ->add_option("VERSION", options.version, "The version's number")
      ->required();
  named(add("unload", "Ends that", Action::kUnload))
      ->add_option("VERSION", options.version, "The version's number")
      ->required();

  CLI::App* drift =
      named(add("drift", "What versions' tensors are like, against what they were", Action::kDrift));
  drift->add_option("--version", options.version, "Only this version");
  drift->add_flag("--reset", options.reset, "The version's next calls are the reference (or --from's)");
  drift->add_option("--from", options.from, "With --reset: compare with the reference of this version")
      ->check(CLI::PositiveNumber);
  named(add("retire", "Takes a version that nothing needs out of service, and archives its files",
            Action::kRetire))
      ->add_option("VERSION", options.version, "The version's number")
      ->required();
  named(add("restore", "Undoes that, at any stage; archived files are verified first", Action::kRestore))
      ->add_option("VERSION", options.version, "The version's number")
      ->required();
  return command;
}

int RunModelCommand(const ModelOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("model", done.error());
}

}  // namespace mezzo::app::cli
