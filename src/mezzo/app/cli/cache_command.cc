#include "mezzo/app/cli/cache_command.h"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/internal/text_table.h"
#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using Json = nlohmann::ordered_json;

Error BadAnswer(std::string_view text) {
  return Internal("bad_answer", "the server's answer is not what was asked for: " + Printable(text, 200));
}

std::string Size(double bytes) {
  constexpr double kStep = 1024;
  if (bytes < kStep) return fmt::format("{:.0f} B", bytes);
  if (bytes < kStep * kStep) return fmt::format("{:.1f} KiB", bytes / kStep);
  return fmt::format("{:.1f} MiB", bytes / (kStep * kStep));
}

Result<void> Act(const CacheOptions& options) {
  if (options.purge && options.model.empty() != options.all) {
    return InvalidArgument("cache_purge", "say which model to purge, or --all");
  }
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
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

}  // namespace

Result<std::string> CacheTable(std::string_view text) {
  const Json answer = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("data") || !answer["data"].is_array()) return BadAnswer(text);
  const auto number = [](const Json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
  };
  std::string out =
      fmt::format("{} of {}\n", Size(number(answer, "bytes")), Size(number(answer, "max_bytes")));
  if (answer["data"].empty()) return out + "no model declares a cache\n";
  TextTable table(
      {"MODEL", "HITS", "RATIO", "MISSES", "JOINS", "STALE", "BYPASSED", "ENTRIES", "SIZE", "SAVED"});
  for (const Json& model : answer["data"]) {
    if (!model.is_object() || !model.contains("model") || !model["model"].is_string()) return BadAnswer(text);
    const double hits = number(model, "hits");
    const double asked = hits + number(model, "misses") + number(model, "joins");
    const auto count = [&](const char* name) { return fmt::format("{:.0f}", number(model, name)); };
    table.Add({Printable(model["model"].get<std::string>()), count("hits"),
               asked > 0 ? fmt::format("{:.1f} %", 100 * hits / asked) : "-", count("misses"), count("joins"),
               count("stale"), count("bypasses"), count("entries"), Size(number(model, "bytes")),
               fmt::format("{:.3f} s", number(model, "saved_device_ms") / 1000)});
  }
  return out + table.ToString();
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
  return command;
}

int RunCacheCommand(const CacheOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("cache", done.error());
}

}  // namespace mezzo::app::cli
