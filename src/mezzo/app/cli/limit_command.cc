#include "mezzo/app/cli/limit_command.h"

#include <algorithm>
#include <cstdio>

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

using Action = LimitOptions::Action;
using Json = nlohmann::ordered_json;

/// Names go into a path.
Result<void> CheckName(const std::string& name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-';
  });
  if (plain) return {};
  return InvalidArgument("bad_id", "'" + Printable(name) + "' is not a limit's name: a-z, 0-9 and '-'");
}

std::string BodyOf(const LimitOptions& options) {
  Json body = {{"kind", options.kind}};
  const auto text = [&](const char* member, const std::string& value) {
    if (!value.empty()) body[member] = value;
  };
  text("tenant", options.tenant);
  text("project", options.project);
  text("key", options.key);
  text("model", options.model);
  if (!options.per.empty()) {
    body["per"] = Json::array();
    for (const std::string& word : options.per) body["per"].push_back(word);
  }
  if (options.rate > 0) body["rate"] = options.rate;
  if (options.burst > 0) body["burst"] = options.burst;
  if (options.amount >= 0) body["amount"] = options.amount;
  return body.dump();
}

/// All of them, page by page.
Result<Json> AskAll(const V2Client& client) {
  Json all = {{"object", "list"}, {"data", Json::array()}};
  std::string after;
  while (true) {
    MEZZO_TRY(const Json page, AskJson(client, "GET", "/v1/limits?limit=1000&after=" + after));
    if (!page.contains("data") || !page["data"].is_array()) return BadAnswer(page.dump());
    for (const Json& entry : page["data"]) all["data"].push_back(entry);
    if (!page.value("has_more", false)) return all;
    after = page["last_id"].is_string() ? page["last_id"].get<std::string>() : "";
  }
}

Result<Json> Send(const V2Client& client, const LimitOptions& options) {
  const std::string path = "/v1/limits/" + options.name;
  switch (options.action) {
    case Action::kList:
      return AskAll(client);
    case Action::kShow:
      return AskJson(client, "GET", path);
    case Action::kSet:
      return AskJson(client, "PUT", path, BodyOf(options));
    case Action::kRemove:
      return AskJson(client, "DELETE", path);
  }
  return BadAnswer("");
}

Result<void> Act(const LimitOptions& options) {
  MEZZO_TRY_VOID(CheckName(options.name));
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  MEZZO_TRY(const Json answer, Send(client, options));
  if (options.action == Action::kList && !options.json) {
    MEZZO_TRY(const std::string table, LimitTable(answer.dump()));
    std::fputs(table.c_str(), stdout);
    return {};
  }
  std::printf("%s\n", answer.dump(2).c_str());
  return {};
}

std::string TextOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

double NumberOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

/// "tenant=acme model=m per key"; "everything" when nothing is said.
std::string MatchOf(const Json& limit) {
  std::string match;
  for (const char* member : {"tenant", "project", "key", "model"}) {
    const std::string value = TextOf(limit, member);
    if (!value.empty()) match += (match.empty() ? "" : " ") + std::string(member) + "=" + value;
  }
  if (match.empty()) match = "everything";
  std::string per;
  const auto words = limit.find("per");
  if (words != limit.end() && words->is_array()) {
    for (const Json& word : *words) {
      if (word.is_string()) per += (per.empty() ? "" : ",") + word.get<std::string>();
    }
  }
  return per.empty() ? match : match + " per " + per;
}

}  // namespace

Result<std::string> LimitTable(std::string_view text) {
  const Json page = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!page.is_object() || !page.contains("data") || !page["data"].is_array())
    return BadAnswer(std::string(text));
  if (page["data"].empty()) return std::string("no limits\n");
  TextTable table({"LIMIT", "KIND", "HOW MUCH", "OF", "SOURCE"}, /*all_left=*/true);
  for (const Json& limit : page["data"]) {
    if (!limit.is_object()) return BadAnswer(limit.dump());
    const std::string much =
        limit.contains("rate")
            ? fmt::format("{:g}/s, {:g} at once", NumberOf(limit, "rate"), NumberOf(limit, "burst"))
            : fmt::format("{:g}", NumberOf(limit, "amount"));
    table.Add({TextOf(limit, "name"), TextOf(limit, "kind"), much, MatchOf(limit), TextOf(limit, "source")});
  }
  return table.ToString();
}

CLI::App* AddLimitCommand(CLI::App& app, LimitOptions& options) {
  CLI::App* command = app.add_subcommand("limit", "Lists, sets and removes limits on calls and jobs");
  AddServerOptions(*command, options.server);
  command->add_flag("--json", options.json, "Print the server's answer as it is");
  command->require_subcommand(0, 1);
  command->fallthrough();
  const internal::Actions action(*command, options.action);
  action("list", "All limits (what `mezzo limit` alone does)", Action::kList);
  for (CLI::App* sub : {action("show", "One limit as JSON", Action::kShow),
                        action("remove", "Removes a limit", Action::kRemove)}) {
    sub->add_option("NAME", options.name, "Name of the limit")->required();
  }
  CLI::App* set = action("set", "Makes a limit, or replaces the one of that name", Action::kSet);
  set->add_option("NAME", options.name, "Name of the limit")->required();
  set->add_option("--kind", options.kind,
                  "requests, cost (device milliseconds), concurrency, queued, queue_share (of a model's "
                  "queue, 0 to 1), "
                  "daily_ or monthly_ and requests, cost or money")
      ->required();
  set->add_option("--tenant", options.tenant, "Whose calls; everybody's if not said");
  set->add_option("--project", options.project, "Those of one of the tenant's projects");
  set->add_option("--key", options.key, "Those with one key, by its id");
  set->add_option("--model", options.model, "Those to one model");
  set->add_option("--per", options.per,
                  "Count apart for each tenant, project, key, model; all together if not said")
      ->delimiter(',');
  set->add_option("--rate", options.rate, "Of requests and cost: units a second");
  set->add_option("--burst", options.burst,
                  "Of requests and cost: units at once; a second's worth if not said");
  set->add_option("--amount", options.amount, "Of the other kinds: how much there is");
  return command;
}

int RunLimitCommand(const LimitOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("limit", done.error());
}

}  // namespace mezzo::app::cli
