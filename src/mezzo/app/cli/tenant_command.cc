#include "mezzo/app/cli/tenant_command.h"

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

using Action = TenantOptions::Action;
using Json = nlohmann::ordered_json;

/// Ids go into a path.
Result<void> CheckPart(const std::string& id) {
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  });
  if (plain && id != "." && id != "..") return {};
  return InvalidArgument("bad_id", "'" + Printable(id) + "' is not an id");
}

Result<Json> Ask(const V2Client& client, const char* method, const std::string& path, const Json& body) {
  return AskJson(client, method, path, body.is_null() ? "" : body.dump());
}

Json List(const std::vector<std::string>& names) {
  Json list = Json::array();
  for (const std::string& name : names) list.push_back(name);
  return list;
}

std::string Joined(const Json& names) {
  std::string text;
  if (!names.is_array()) return text;
  for (const Json& name : names) {
    if (name.is_string()) text += (text.empty() ? "" : ",") + name.get<std::string>();
  }
  return text;
}

/// A member as text; "-" when it is null or absent.
std::string TextOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return "-";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

Json TenantBody(const TenantOptions& options) {
  Json body = Json::object();
  if (options.action == Action::kCreateTenant) body["id"] = options.tenant;
  if (!options.name.empty()) body["name"] = options.name;
  if (options.weight > 0) body["weight"] = options.weight;
  if (!options.classes.empty()) body["classes"] = List(options.classes);
  if (!options.tiers.empty()) body["tiers"] = List(options.tiers);
  if (options.platform) body["platform"] = true;
  if (options.action == Action::kSuspendTenant) body["suspended"] = true;
  if (options.action == Action::kResumeTenant) body["suspended"] = false;
  return body;
}

Json KeyBody(const TenantOptions& options) {
  Json body = Json::object();
  if (!options.name.empty()) body["name"] = options.name;
  if (!options.project.empty()) body["project"] = options.project;
  if (!options.scopes.empty()) body["scopes"] = List(options.scopes);
  if (!options.role.empty()) body["role"] = options.role;
  if (options.expires > Duration::zero()) body["expires_in_seconds"] = Seconds(options.expires);
  return body;
}

/// Everything of a list, page by page.
Result<Json> AskAll(const V2Client& client, const std::string& path) {
  Json all = {{"object", "list"}, {"data", Json::array()}};
  const std::string pages = path + "?limit=1000&after=";
  std::string after;
  while (true) {
    MEZZO_TRY(const Json page, Ask(client, "GET", pages + after, nullptr));
    if (!page.contains("data") || !page["data"].is_array()) return BadAnswer(page.dump());
    for (const Json& entry : page["data"]) all["data"].push_back(entry);
    if (!page.value("has_more", false)) return all;
    after = TextOf(page, "last_id");
  }
}

/// The new key on standard output, what it is on standard error.
void ShowKey(const Json& key) {
  std::printf("%s\n", TextOf(key, "key").c_str());
  std::fprintf(stderr, "key %s of tenant %s: %s; it is not shown again\n", TextOf(key, "id").c_str(),
               TextOf(key, "tenant").c_str(), Joined(key.value("scopes", Json())).c_str());
}

Result<Json> Send(const V2Client& client, const TenantOptions& options) {
  const std::string tenant = "/v1/tenants/" + options.tenant;
  switch (options.action) {
    case Action::kListTenants:
      return AskAll(client, "/v1/tenants");
    case Action::kCreateTenant:
      return Ask(client, "POST", "/v1/tenants", TenantBody(options));
    case Action::kShowTenant:
      return Ask(client, "GET", tenant, nullptr);
    case Action::kChangeTenant:
    case Action::kSuspendTenant:
    case Action::kResumeTenant:
      return Ask(client, "PATCH", tenant, TenantBody(options));
    case Action::kCreateProject:
      return Ask(client, "POST", tenant + "/projects", {{"id", options.id}, {"name", options.name}});
    case Action::kListProjects:
      return Ask(client, "GET", tenant + "/projects", nullptr);
    case Action::kListKeys:
      return AskAll(client, tenant + "/keys");
    case Action::kCreateKey:
      return Ask(client, "POST", tenant + "/keys", KeyBody(options));
    case Action::kRotateKey:
      return Ask(client, "POST", tenant + "/keys/" + options.id + "/rotate",
                 {{"overlap_seconds", Seconds(options.overlap)}});
    case Action::kRevokeKey:
      return Ask(client, "DELETE", tenant + "/keys/" + options.id, nullptr);
    case Action::kWho:
      return Ask(client, "GET", "/v1/whoami", nullptr);
  }
  return BadAnswer("");
}

Result<void> Act(TenantOptions options) {
  MEZZO_TRY_VOID(CheckPart(options.tenant));
  MEZZO_TRY_VOID(CheckPart(options.id));
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  const bool of_key = options.action >= Action::kListKeys && options.action <= Action::kRevokeKey;
  if (of_key && options.tenant.empty()) {
    MEZZO_TRY(const Json who, Ask(client, "GET", "/v1/whoami", nullptr));
    options.tenant = TextOf(who, "tenant");
  }
  MEZZO_TRY(const Json answer, Send(client, options));
  const bool fresh_key = options.action == Action::kCreateKey || options.action == Action::kRotateKey;
  if (fresh_key && !options.json) {
    ShowKey(answer);
    return {};
  }
  if (!options.json && (options.action == Action::kListTenants || options.action == Action::kListKeys)) {
    MEZZO_TRY(const std::string table,
              options.action == Action::kListKeys ? KeyTable(answer.dump()) : TenantTable(answer.dump()));
    std::fputs(table.c_str(), stdout);
    return {};
  }
  std::printf("%s\n", answer.dump(2).c_str());
  return {};
}

CLI::App* AddAction(CLI::App& command, TenantOptions& options, const char* name, const char* about,
                    Action action) {
  return internal::Actions(command, options.action)(name, about, action);
}

CLI::App* AddCommand(CLI::App& app, TenantOptions& options, const char* name, const char* about) {
  CLI::App* command = app.add_subcommand(name, about);
  AddServerOptions(*command, options.server);
  command->add_flag("--json", options.json, "Print the server's answer as it is");
  command->require_subcommand(0, 1);
  command->fallthrough();
  return command;
}

}  // namespace

Result<std::string> TenantTable(std::string_view text) {
  const Json page = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!page.is_object() || !page.contains("data") || !page["data"].is_array())
    return BadAnswer(std::string(text));
  if (page["data"].empty()) return std::string("no tenants\n");
  TextTable table({"TENANT", "NAME", "WEIGHT", "CLASSES", "PLATFORM", "STATE", "CREATED"}, /*all_left=*/true);
  for (const Json& tenant : page["data"]) {
    if (!tenant.is_object()) return BadAnswer(tenant.dump());
    table.Add({TextOf(tenant, "id"), TextOf(tenant, "name"), fmt::format("{:g}", tenant.value("weight", 0.0)),
               Joined(tenant.value("classes", Json())), tenant.value("platform", false) ? "yes" : "",
               tenant.value("suspended", false) ? "suspended" : "active", TextOf(tenant, "created_at")});
  }
  return table.ToString();
}

Result<std::string> KeyTable(std::string_view text) {
  const Json page = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!page.is_object() || !page.contains("data") || !page["data"].is_array())
    return BadAnswer(std::string(text));
  if (page["data"].empty()) return std::string("no keys\n");
  TextTable table({"KEY", "NAME", "PROJECT", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "REVOKED"},
                  /*all_left=*/true);
  for (const Json& key : page["data"]) {
    if (!key.is_object()) return BadAnswer(key.dump());
    table.Add({TextOf(key, "id"), TextOf(key, "name"), TextOf(key, "project"),
               Joined(key.value("scopes", Json())), TextOf(key, "created_at"), TextOf(key, "expires_at"),
               TextOf(key, "last_used_at"), TextOf(key, "revoked_at")});
  }
  return table.ToString();
}

CLI::App* AddTenantCommand(CLI::App& app, TenantOptions& options) {
  CLI::App* command =
      AddCommand(app, options, "tenant", "Makes, lists and changes tenants and their projects");
  AddAction(*command, options, "list", "All tenants (what `mezzo tenant` alone does)", Action::kListTenants);
  AddAction(*command, options, "whoami", "Who the server takes you for", Action::kWho);
  const auto settings = [&](CLI::App* sub) {
    sub->add_option("TENANT", options.tenant, "Id of the tenant")->required();
    sub->add_option("--name", options.name, "A name for people");
    sub->add_option("--weight", options.weight, "Share of the device relative to other tenants")
        ->check(CLI::Range(0.000001, 1000.0));
    sub->add_option("--classes", options.classes, "Allowed classes: interactive, standard, bulk")
        ->delimiter(',');
    sub->add_option("--tiers", options.tiers,
                    "Tiers of jobs it may ask for: paid, urgent, free; free if not said")
        ->delimiter(',');
  };
  CLI::App* create = AddAction(*command, options, "create", "Makes a tenant", Action::kCreateTenant);
  settings(create);
  create->add_flag("--platform", options.platform, "Its keys may observe, operate and administer everything");
  settings(AddAction(*command, options, "change", "Changes what is given", Action::kChangeTenant));
  for (const auto& [name, about, action] :
       {std::tuple{"show", "One tenant as JSON", Action::kShowTenant},
        {"suspend", "Lets none of its keys and users in", Action::kSuspendTenant},
        {"resume", "Lets them in again", Action::kResumeTenant},
        {"projects", "Its projects as JSON", Action::kListProjects}}) {
    AddAction(*command, options, name, about, action)
        ->add_option("TENANT", options.tenant, "Id of the tenant")
        ->required();
  }
  CLI::App* project = AddAction(*command, options, "add-project", "Makes a project", Action::kCreateProject);
  project->add_option("TENANT", options.tenant, "Id of the tenant")->required();
  project->add_option("PROJECT", options.id, "Id of the project")->required();
  project->add_option("--name", options.name, "A name for people");
  return command;
}

CLI::App* AddKeyCommand(CLI::App& app, TenantOptions& options) {
  CLI::App* command = AddCommand(app, options, "key", "Makes, lists, rotates and revokes API keys");
  options.action = Action::kListKeys;
  command->add_option("--tenant", options.tenant, "Whose keys; without it the caller's own tenant's");
  AddAction(*command, options, "list", "The keys (what `mezzo key` alone does)", Action::kListKeys);
  CLI::App* create =
      AddAction(*command, options, "create", "Makes a key and prints it, this once", Action::kCreateKey);
  create->add_option("--name", options.name, "What it is for");
  create->add_option("--project", options.project, "The project that its calls are charged to");
  create
      ->add_option("--scopes", options.scopes,
                   "read, infer, keys, manage, observe, operate, admin; infer if not said")
      ->delimiter(',');
  create->add_option("--role", options.role, "Instead of scopes: viewer, developer, operator, admin");
  AddDurationOption(*create, "--expires", options.expires, "When it ends, from now, such as 720h");
  CLI::App* rotate = AddAction(*command, options, "rotate", "Makes a key like another one, which ends soon",
                               Action::kRotateKey);
  rotate->add_option("KEY", options.id, "Id of the key")->required();
  AddDurationOption(*rotate, "--overlap", options.overlap, "How long the old one goes on");
  AddAction(*command, options, "revoke", "Ends a key at once", Action::kRevokeKey)
      ->add_option("KEY", options.id, "Id of the key")
      ->required();
  return command;
}

int RunTenantCommand(const TenantOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("tenant", done.error());
}

int RunKeyCommand(const TenantOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("key", done.error());
}

}  // namespace mezzo::app::cli
