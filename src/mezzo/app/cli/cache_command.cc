#include "mezzo/app/cli/cache_command.h"

#include <cstdio>
#include <fstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/internal/json_answers.h"
#include "mezzo/app/cli/internal/text_table.h"
#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string Size(double bytes) {
  constexpr double kStep = 1024;
  if (bytes < kStep) return fmt::format("{:.0f} B", bytes);
  if (bytes < kStep * kStep) return fmt::format("{:.1f} KiB", bytes / kStep);
  return fmt::format("{:.1f} MiB", bytes / (kStep * kStep));
}

Result<Json> ReadJson(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return NotFound("file_missing", "'" + file + "' can't be opened");
  Json json = Json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InvalidArgument("cache_correct", "'" + file + "' is not a JSON object");
  return json;
}

Result<void> Correct(const CacheOptions& options, const V2Client& client) {
  if (!options.remove.empty()) {
    MEZZO_TRY_VOID(client.CallOk("DELETE", "/v1/cache/corrections/" + PercentEncode(options.remove), ""));
    std::printf("removed %s\n", Printable(options.remove).c_str());
    return {};
  }
  if (options.model.empty() || options.request.empty() || options.response.empty()) {
    return InvalidArgument("cache_correct",
                           "say the model and the files with --request and --response, or --remove ID");
  }
  Json body = {{"model", options.model}};
  if (!options.version.empty()) body["version"] = options.version;
  if (!options.tenant.empty()) body["tenant"] = options.tenant;
  MEZZO_TRY(body["request"], ReadJson(options.request));
  MEZZO_TRY(body["response"], ReadJson(options.response));
  MEZZO_TRY(const HttpReply reply, client.CallOk("POST", "/v1/cache/corrections", body.dump()));
  const Json made = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  if (!made.is_object() || !made.contains("id") || !made["id"].is_string()) return BadAnswer(reply.body);
  std::printf("%s\n", options.json ? reply.body.c_str() : made["id"].get<std::string>().c_str());
  return {};
}

Result<void> ShowCorrections(const CacheOptions& options, const V2Client& client) {
  std::string path = "/v1/cache/corrections?limit=1000";
  if (!options.model.empty()) path += "&model=" + PercentEncode(options.model);
  if (!options.tenant.empty()) path += "&tenant=" + PercentEncode(options.tenant);
  MEZZO_TRY(const HttpReply reply, client.CallOk("GET", path, ""));
  if (options.json) {
    std::printf("%s\n", reply.body.c_str());
    return {};
  }
  MEZZO_TRY(const std::string table, CorrectionsTable(reply.body));
  std::fputs(table.c_str(), stdout);
  return {};
}

Result<void> Act(const CacheOptions& options) {
  if (options.purge && options.model.empty() != options.all) {
    return InvalidArgument("cache_purge", "say which model to purge, or --all");
  }
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  if (options.correct) return Correct(options, client);
  if (options.corrections) return ShowCorrections(options, client);
  if (options.purge) {
    Json body = options.all ? Json{{"all", true}} : Json{{"model", options.model}};
    if (!options.tenant.empty()) body["tenant"] = options.tenant;
    MEZZO_TRY_VOID(client.CallOk("POST", "/v1/cache/purge", body.dump()));
    std::printf("purged %s\n", options.all ? "all models" : Printable(options.model).c_str());
    return {};
  }
  MEZZO_TRY(const HttpReply reply, client.CallOk("GET", "/v1/cache", ""));
  if (options.json) {
    std::printf("%s\n", reply.body.c_str());
    return {};
  }
  MEZZO_TRY(const std::string table, CacheTable(reply.body));
  std::fputs(table.c_str(), stdout);
  return {};
}

double NumberOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
}

/// Ended jobs and signed URLs; nothing of servers that keep none.
std::string RecentTable(const Json& answer) {
  const auto recent = answer.find("recent");
  if (recent == answer.end() || !recent->is_object() || !recent->contains("data")) return "";
  const Json& kinds = (*recent)["data"];
  if (!kinds.is_array() || kinds.empty()) return "";
  TextTable table({"RECENT", "HITS", "RATIO", "MISSES", "ENTRIES", "SIZE"});
  for (const Json& kind : kinds) {
    if (!kind.is_object() || !kind.contains("kind") || !kind["kind"].is_string()) continue;
    const double hits = NumberOf(kind, "hits");
    const double asked = hits + NumberOf(kind, "misses");
    table.Add({Printable(kind["kind"].get<std::string>()), fmt::format("{:.0f}", hits),
               asked > 0 ? fmt::format("{:.1f} %", 100 * hits / asked) : "-",
               fmt::format("{:.0f}", NumberOf(kind, "misses")),
               fmt::format("{:.0f}", NumberOf(kind, "entries")), Size(NumberOf(kind, "bytes"))});
  }
  return fmt::format("\n{} of {}\n", Size(NumberOf(*recent, "bytes")), Size(NumberOf(*recent, "max_bytes"))) +
         table.ToString();
}

}  // namespace

Result<std::string> CacheTable(std::string_view text) {
  const Json answer = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("data") || !answer["data"].is_array()) return BadAnswer(text);
  std::string out =
      fmt::format("{} of {}\n", Size(NumberOf(answer, "bytes")), Size(NumberOf(answer, "max_bytes")));
  if (answer.contains("shared") && answer["shared"].is_object()) {
    const Json& shared = answer["shared"];
    out += fmt::format(
        "shared with other hosts{}: {:.0f} hits, {:.0f} joins, {:.0f} computed for all, {:.0f} alone, {:.0f} "
        "corrupt\n",
        shared.value("healthy", Json(true)) == Json(false) ? " (failing)" : "", NumberOf(shared, "hits"),
        NumberOf(shared, "joins"), NumberOf(shared, "leads"), NumberOf(shared, "alone"),
        NumberOf(shared, "corrupt"));
  }
  const auto recent = RecentTable(answer);
  if (answer["data"].empty()) return out + "no model declares a cache\n" + recent;
  TextTable table({"MODEL", "HITS", "RATIO", "MISSES", "SHARED", "JOINS", "STALE", "BYPASSED", "ENTRIES",
                   "SIZE", "SAVED"});
  for (const Json& model : answer["data"]) {
    if (!model.is_object() || !model.contains("model") || !model["model"].is_string()) return BadAnswer(text);
    const double hits = NumberOf(model, "hits");
    const double asked = hits + NumberOf(model, "misses") + NumberOf(model, "joins");
    const auto count = [&](const char* name) { return fmt::format("{:.0f}", NumberOf(model, name)); };
    table.Add({Printable(model["model"].get<std::string>()), count("hits"),
               asked > 0 ? fmt::format("{:.1f} %", 100 * hits / asked) : "-", count("misses"),
               count("shared"), count("joins"), count("stale"), count("bypasses"), count("entries"),
               Size(NumberOf(model, "bytes")),
               fmt::format("{:.3f} s", NumberOf(model, "saved_device_ms") / 1000)});
  }
  return out + table.ToString() + recent;
}

Result<std::string> CorrectionsTable(std::string_view text) {
  const Json answer = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("data") || !answer["data"].is_array()) return BadAnswer(text);
  if (answer["data"].empty()) return std::string("no answer is corrected\n");
  TextTable table({"ID", "MODEL", "VERSION", "TENANT", "SIZE", "CREATED", "BY"});
  for (const Json& one : answer["data"]) {
    if (!one.is_object()) return BadAnswer(text);
    const auto word = [&](const char* name) {
      const auto found = one.find(name);
      return found != one.end() && found->is_string() ? Printable(found->get<std::string>())
                                                      : std::string("-");
    };
    const auto bytes = one.find("bytes");
    table.Add({word("id"), word("model"), word("version"), word("tenant"),
               Size(bytes != one.end() && bytes->is_number() ? bytes->get<double>() : 0), word("created_at"),
               word("created_by")});
  }
  return table.ToString();
}

CLI::App* AddCacheCommand(CLI::App& app, CacheOptions& options) {
  CLI::App* command = app.add_subcommand("cache", "Shows and empties the cache of answers");
  AddServerOptions(*command, options.server);
  command->add_flag("--json", options.json, "Print the server's answer as it is");
  command->require_subcommand(0, 1);
  command->fallthrough();
  command->add_subcommand("stats", "Hits, misses and sizes by model (what `mezzo cache` alone does)");
  CLI::App* purge = command->add_subcommand("purge", "Serves no answer any more that was computed until now");
  purge->callback([&options] { options.purge = true; });
  purge->add_option("MODEL", options.model, "The model; or --all");
  purge->add_flag("--all", options.all, "All models");
  purge->add_option("--tenant", options.tenant, "Only what this tenant's calls were answered");
  CLI::App* correct =
      command->add_subcommand("correct", "Answers one question with what you say instead of the model");
  correct->callback([&options] { options.correct = true; });
  correct->add_option("MODEL", options.model, "The model");
  correct->add_option("--version", options.version, "Its version; else the one that calls get");
  correct->add_option("--request", options.request, "A file: the question, as a v2 inference request");
  correct->add_option("--response", options.response, "A file: the answer, as a v2 inference response");
  correct->add_option("--tenant", options.tenant, "Whose calls it answers; else the caller's own tenant's");
  correct->add_option("--remove", options.remove, "The id of a correction that is to go");
  CLI::App* corrections = command->add_subcommand("corrections", "Lists the corrections");
  corrections->callback([&options] { options.corrections = true; });
  corrections->add_option("MODEL", options.model, "Only of this model");
  corrections->add_option("--tenant", options.tenant, "Only of this tenant");
  return command;
}

int RunCacheCommand(const CacheOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("cache", done.error());
}

}  // namespace mezzo::app::cli
