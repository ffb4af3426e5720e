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
    const Json body = options.all ? Json::object() : Json{{"model", options.model}};
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
  const auto recent = RecentTable(answer);
  if (answer["data"].empty()) return out + "no model declares a cache\n" + recent;
  TextTable table(
      {"MODEL", "HITS", "RATIO", "MISSES", "JOINS", "STALE", "BYPASSED", "ENTRIES", "SIZE", "SAVED"});
  for (const Json& model : answer["data"]) {
    if (!model.is_object() || !model.contains("model") || !model["model"].is_string()) return BadAnswer(text);
    const double hits = NumberOf(model, "hits");
    const double asked = hits + NumberOf(model, "misses") + NumberOf(model, "joins");
    const auto count = [&](const char* name) { return fmt::format("{:.0f}", NumberOf(model, name)); };
    table.Add({Printable(model["model"].get<std::string>()), count("hits"),
               asked > 0 ? fmt::format("{:.1f} %", 100 * hits / asked) : "-", count("misses"), count("joins"),
               count("stale"), count("bypasses"), count("entries"), Size(NumberOf(model, "bytes")),
               fmt::format("{:.3f} s", NumberOf(model, "saved_device_ms") / 1000)});
  }
  return out + table.ToString() + recent;
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
  return command;
}

int RunCacheCommand(const CacheOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("cache", done.error());
}

}  // namespace mezzo::app::cli
