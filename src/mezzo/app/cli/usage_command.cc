#include "mezzo/app/cli/usage_command.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <vector>

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

constexpr std::array<std::string_view, 6> kGroups = {"tenant", "project", "key", "model", "version", "kind"};
constexpr std::size_t kPage = 10'000;

std::string Path(const UsageOptions& options) {
  std::string path = "/v1/usage?by=" + PercentEncode(options.by) + "&group=" + PercentEncode(options.group);
  const auto add = [&path](const char* name, const std::string& value) {
    if (!value.empty()) path += "&" + std::string(name) + "=" + PercentEncode(value);
  };
  add("from", options.from);
  add("to", options.to);
  add("tenant", options.tenant);
  add("project", options.project);
  add("key", options.key);
  add("model", options.model);
  add("version", options.version);
  add("kind", options.kind);
  if (options.csv) add("format", "csv");
  return path;
}

/// Every page's rows in the first page's answer.
Result<Json> AskAll(const V2Client& client, const std::string& path) {
  Json all;
  while (true) {
    const std::size_t offset = all.is_null() ? 0 : all["data"].size();
    MEZZO_TRY(const HttpReply reply,
              client.CallOk("GET", fmt::format("{}&limit={}&offset={}", path, kPage, offset)));
    Json page = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
    if (!page.is_object() || !page.contains("data") || !page["data"].is_array()) return BadAnswer(reply.body);
    const bool more = page.value("has_more", false) && !page["data"].empty();
    if (all.is_null()) {
      all = std::move(page);
    } else {
      for (const Json& row : page["data"]) all["data"].push_back(row);
    }
    if (!more) {
      all["has_more"] = false;
      return all;
    }
  }
}

std::int64_t Whole(const Json& row, const char* name) {
  const auto found = row.find(name);
  return found != row.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

double Number(const Json& row, const char* name) {
  const auto found = row.find(name);
  return found != row.end() && found->is_number() ? found->get<double>() : 0;
}

std::vector<std::string> Cells(const Json& row, const std::string& currency) {
  std::vector<std::string> cells = {std::to_string(Whole(row, "requests")),
                                    std::to_string(Whole(row, "failed")),
                                    fmt::format("{:.1f}", Number(row, "device_ms")),
                                    std::to_string(Whole(row, "images")),
                                    fmt::format("{:.1f}", Number(row, "video_seconds")),
                                    FormatBytes(static_cast<std::uint64_t>(Whole(row, "bytes_in"))),
                                    FormatBytes(static_cast<std::uint64_t>(Whole(row, "bytes_out"))),
                                    std::to_string(Whole(row, "cache_hits"))};
  if (!currency.empty())
    cells.push_back(fmt::format("{:.4f} {}", static_cast<double>(Whole(row, "cost_micros")) / 1e6, currency));
  return cells;
}

Result<void> Act(const UsageOptions& options) {
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  if (options.csv) {
    MEZZO_TRY(const HttpReply reply, client.CallOk("GET", Path(options)));
    std::fwrite(reply.body.data(), 1, reply.body.size(), stdout);
    return {};
  }
  MEZZO_TRY(const Json answer, AskAll(client, Path(options)));
  if (options.json) {
    std::printf("%s\n", answer.dump(2).c_str());
    return {};
  }
  MEZZO_TRY(const std::string table, UsageTable(answer.dump()));
  std::fputs(table.c_str(), stdout);
  return {};
}

}  // namespace

Result<std::string> UsageTable(std::string_view text) {
  const Json page = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!page.is_object() || !page.contains("data") || !page["data"].is_array() || !page.contains("total") ||
      !page["total"].is_object()) {
    return BadAnswer(text);
  }
  const auto said = page.find("warning");
  const std::string warning =
      said != page.end() && said->is_string() ? "warning: " + Printable(said->get<std::string>()) + "\n" : "";
  if (page["data"].empty()) return warning + "nothing was used\n";
  const auto found = page.find("currency");
  const std::string currency = found != page.end() && found->is_string() ? found->get<std::string>() : "";
  std::vector<std::string> header = {"START"};
  std::vector<std::string> groups;
  for (const std::string_view group : kGroups) {
    if (!page["data"].front().contains(std::string(group))) continue;
    groups.emplace_back(group);
    std::string& name = header.emplace_back(group);
    for (char& c : name) c = static_cast<char>(c - 'a' + 'A');
  }
  for (const char* name : {"REQUESTS", "FAILED", "DEVICE MS", "IMAGES", "VIDEO S", "IN", "OUT", "HITS"})
    header.emplace_back(name);
  if (!currency.empty()) header.emplace_back("COST");
  TextTable table(std::move(header));
  const auto add = [&](const Json& row, std::string first) {
    std::vector<std::string> cells = {std::move(first)};
    for (const std::string& group : groups) {
      const auto value = row.find(group);
      cells.push_back(value != row.end() && value->is_string() ? value->get<std::string>() : "");
    }
    for (std::string& cell : Cells(row, currency)) cells.push_back(std::move(cell));
    table.Add(std::move(cells));
  };
  for (const Json& row : page["data"]) {
    if (!row.is_object() || !row.contains("start") || !row["start"].is_string()) return BadAnswer(row.dump());
    add(row, row["start"].get<std::string>());
  }
  add(page["total"], "total");
  return warning + table.ToString();
}

CLI::App* AddUsageCommand(CLI::App& app, UsageOptions& options) {
  CLI::App* command = app.add_subcommand("usage", "What was used, by whom, and what it costs");
  AddServerOptions(*command, options.server);
  command->add_option("--from", options.from, "First day or hour: 2026-01-31 or 2026-01-31T18:00:00Z (UTC)");
  command->add_option("--to", options.to, "The first that is left out; without it, until now");
  command->add_option("--by", options.by, "hour or day")
      ->check(CLI::IsMember({"hour", "day"}))
      ->capture_default_str();
  command->add_option("--group", options.group, "tenant, project, key, model, version, kind")
      ->capture_default_str();
  command->add_option("--tenant", options.tenant, "Of this tenant alone");
  command->add_option("--project", options.project, "Of this project alone");
  command->add_option("--key", options.key, "Of the API key of this id alone");
  command->add_option("--model", options.model, "Of this model alone");
  command->add_option("--version", options.version, "Of this version alone");
  command->add_option("--kind", options.kind, "inference or job")->check(CLI::IsMember({"inference", "job"}));
  command->add_flag("--csv", options.csv, "Print CSV");
  command->add_flag("--json", options.json, "Print the server's answer as it is");
  return command;
}

int RunUsageCommand(const UsageOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("usage", done.error());
}

}  // namespace mezzo::app::cli
