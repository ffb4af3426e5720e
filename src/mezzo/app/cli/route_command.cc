#include "mezzo/app/cli/route_command.h"

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

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

using Action = RouteOptions::Action;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kWhole = 10'000;

std::string PathOf(const RouteOptions& options) { return "/v1/routes/" + PercentEncode(options.model); }

std::string WhyOf(const RouteOptions& options) {
  return options.why.empty() ? "" : "?why=" + PercentEncode(options.why);
}

V2Client::Headers IfMatch(std::int64_t revision) {
  V2Client::Headers headers = {{"Content-Type", "application/json"}};
  if (revision >= 0) headers.emplace_back("If-Match", "\"" + std::to_string(revision) + "\"");
  return headers;
}

/// All of them, page by page. `query` begins with '?'.
Result<Json> AskAll(const V2Client& client, const std::string& path, const char* after) {
  Json all = {{"object", "list"}, {"data", Json::array()}};
  std::string query = "?limit=1000";
  while (true) {
    MEZZO_TRY(const Json page, AskJson(client, "GET", path + query));
    if (!page.contains("data") || !page["data"].is_array()) return BadAnswer(page.dump());
    for (const Json& entry : page["data"]) all["data"].push_back(entry);
    if (!page.value("has_more", false) || !page.contains("last_id")) return all;
    const Json& last = page["last_id"];
    query = std::string("?limit=1000&") + after + "=" +
            PercentEncode(last.is_string() ? last.get<std::string>() : last.dump());
  }
}

Result<std::string> ReadRoute(const RouteOptions& options) {
  if (!options.stable.empty()) return Json({{"stable", options.stable}}).dump();
  if (options.file.empty()) {
    return InvalidArgument("bad_route", "say a file with the route as JSON, or '-', or --stable VERSION");
  }
  if (options.file == "-") {
    return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  std::ifstream in(options.file, std::ios::binary);
  if (!in) return NotFound("file_missing", "'" + options.file + "' can't be opened");
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

Result<Json> SetWeights(const V2Client& client, const RouteOptions& options) {
  MEZZO_TRY(const Json now, AskJson(client, "GET", PathOf(options)));
  if (!now.contains("route") || !now.contains("revision") || !now["revision"].is_number_integer()) {
    return BadAnswer(now.dump());
  }
  MEZZO_TRY(const std::string route, WithWeights(now["route"].dump(), options.weights));
  // For the revision that was read: somebody else's change in between is not undone.
  const auto revision = options.revision >= 0 ? options.revision : now["revision"].get<std::int64_t>();
  return AskJson(client, "PUT", PathOf(options) + WhyOf(options), route, IfMatch(revision));
}

Result<Json> Send(const V2Client& client, const RouteOptions& options) {
  switch (options.action) {
    case Action::kList:
      return AskAll(client, "/v1/routes", "after");
    case Action::kShow:
      return AskJson(client, "GET", PathOf(options));
    case Action::kSet: {
      MEZZO_TRY(const std::string route, ReadRoute(options));
      return AskJson(client, "PUT", PathOf(options) + WhyOf(options), route, IfMatch(options.revision));
    }
    case Action::kWeights:
      return SetWeights(client, options);
    case Action::kRollback: {
      Json body = Json::object();
      if (options.revision >= 0) body["revision"] = options.revision;
      if (!options.why.empty()) body["why"] = options.why;
      return AskJson(client, "POST", PathOf(options) + "/rollback", body.dump(), IfMatch(-1));
    }
    case Action::kHistory:
      return AskAll(client, PathOf(options) + "/history", "before");
  }
  return BadAnswer("");
}

Result<void> Act(const RouteOptions& options) {
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  MEZZO_TRY(const Json answer, Send(client, options));
  const bool history = options.action == Action::kHistory;
  if ((options.action == Action::kList || history) && !options.json) {
    MEZZO_TRY(const std::string table, RouteTable(answer.dump(), history));
    std::fputs(table.c_str(), stdout);
    return {};
  }
  std::printf("%s\n", answer.dump(2).c_str());
  return {};
}

std::string TextOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

/// "canary=4 5%, stable=3 95%; 2 rules; shadow=5 10%".
std::string Summary(const Json& route) {
  std::string text;
  const auto add = [&](const std::string& part, const char* separator) {
    text += (text.empty() ? "" : separator) + part;
  };
  const auto percent = [](const Json& weight) {
    return fmt::format("{:g}%", weight.is_number() ? weight.get<double>() / 100 : 0.0);
  };
  const auto split = route.find("split");
  if (split != route.end() && split->is_object() && split->contains("arms") && (*split)["arms"].is_array()) {
    for (const Json& arm : (*split)["arms"]) {
      if (!arm.is_object()) continue;
      add(TextOf(arm, "name") + "=" + TextOf(arm, "version") + " " + percent(arm.value("weight", Json())),
          ", ");
    }
  }
  if (text.empty()) text = "stable=" + TextOf(route, "stable");
  const auto rules = route.find("rules");
  if (rules != route.end() && rules->is_array() && !rules->empty()) {
    add(std::to_string(rules->size()) + (rules->size() == 1 ? " rule" : " rules"), "; ");
  }
  const auto shadows = route.find("shadows");
  if (shadows != route.end() && shadows->is_array()) {
    for (const Json& shadow : *shadows) {
      if (!shadow.is_object()) continue;
      add("shadow=" + TextOf(shadow, "version") + " " + percent(shadow.value("share", Json())), "; ");
    }
  }
  return Printable(text, 400);
}

}  // namespace

Result<std::string> RouteTable(std::string_view text, bool history) {
  const Json page = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!page.is_object() || !page.contains("data") || !page["data"].is_array()) return BadAnswer(text);
  if (page["data"].empty()) return std::string("no routes\n");
  TextTable table({history ? "REVISION" : "MODEL", history ? "ROUTE" : "REVISION", history ? "BY" : "ROUTE",
                   history ? "WHEN" : "BY", history ? "WHY" : "WHEN"},
                  /*all_left=*/true);
  for (const Json& one : page["data"]) {
    if (!one.is_object() || !one.contains("route") || !one["route"].is_object()) return BadAnswer(one.dump());
    const std::string revision = TextOf(one, "revision");
    const std::string route = Summary(one["route"]);
    const std::string by = Printable(TextOf(one, "changed_by"), 64);
    const std::string when = TextOf(one, "changed_at");
    if (history) {
      table.Add({revision, route, by, when, Printable(TextOf(one, "why"), 120)});
    } else {
      table.Add({TextOf(one, "model"), revision, route, by, when});
    }
  }
  return table.ToString();
}

Result<std::string> WithWeights(std::string_view route_json, const std::vector<std::string>& weights) {
  const auto bad = [](const std::string& message) { return InvalidArgument("bad_weights", message); };
  Json route = Json::parse(route_json, nullptr, /*allow_exceptions=*/false);
  if (!route.is_object()) return BadAnswer(route_json);
  if (!route.contains("split") || !route["split"].contains("arms") || !route["split"]["arms"].is_array()) {
    return bad("the route has no arms: set one with 'mezzo route set'");
  }
  Json& arms = route["split"]["arms"];
  for (const std::string& one : weights) {
    const std::size_t sign = one.find('=');
    const auto weight = sign == std::string::npos ? std::nullopt : ParseUint(one.substr(sign + 1));
    if (!weight || *weight > kWhole) {
      return bad("'" + Printable(one, 64) + "' is no ARM=WEIGHT with a weight from 0 to 10000");
    }
    const std::string name = one.substr(0, sign);
    bool found = false;
    for (Json& arm : arms) {
      if (!arm.is_object() || TextOf(arm, "name") != name) continue;
      arm["weight"] = *weight;
      found = true;
    }
    if (!found) return bad("the route has no arm '" + Printable(name, 64) + "'");
  }
  return route.dump();
}

CLI::App* AddRouteCommand(CLI::App& app, RouteOptions& options) {
  CLI::App* command = app.add_subcommand("route", "Shows and changes which versions of models answer calls");
  AddServerOptions(*command, options.server);
  command->add_flag("--json", options.json, "Print the server's answer as it is");
  command->require_subcommand(0, 1);
  command->fallthrough();
  const internal::Actions action(*command, options.action);
  action("list", "All routes (what `mezzo route` alone does)", Action::kList);
  CLI::App* show = action("show", "One route as JSON, and what this host does with it", Action::kShow);
  CLI::App* set = action("set", "Makes a route, or replaces it", Action::kSet);
  CLI::App* weights = action("weights", "Moves weights between a route's arms", Action::kWeights);
  CLI::App* rollback = action("rollback", "Goes back to the revision before", Action::kRollback);
  CLI::App* history = action("history", "All revisions of a route, newest first", Action::kHistory);
  for (CLI::App* sub : {show, set, weights, rollback, history}) {
    sub->add_option("MODEL", options.model, "Name of the model")->required();
  }
  set->add_option("FILE", options.file, "The route as JSON; '-': from standard input");
  set->add_option("--stable", options.stable,
                  "Instead of a file: all calls to this version, a number, 'latest' or '@alias'");
  weights
      ->add_option("WEIGHTS", options.weights,
                   "ARM=WEIGHT, in 1/10,000; arms that are not named stay as they are")
      ->required();
  for (CLI::App* sub : {set, weights}) {
    sub->add_option("--if-revision", options.revision, "Only if the route still is at this revision");
  }
  rollback->add_option("--to", options.revision, "This revision instead of the one before");
  for (CLI::App* sub : {set, weights, rollback}) {
    sub->add_option("--why", options.why, "For the history");
  }
  return command;
}

int RunRouteCommand(const RouteOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("route", done.error());
}

}  // namespace mezzo::app::cli
