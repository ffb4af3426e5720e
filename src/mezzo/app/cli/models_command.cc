#include "mezzo/app/cli/models_command.h"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/bench_report.h"
#include "mezzo/app/cli/internal/actions.h"
#include "mezzo/app/cli/internal/text_table.h"
#include "mezzo/app/cli/top_view.h"
#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using Action = ModelsOptions::Action;

void Print(const std::string& text) { std::fputs(text.c_str(), stdout); }

/// Prints the answer as it is or as a table.
Result<void> PrintAnswer(const ModelsOptions& options, const std::string& body,
                         Result<std::string> (*table)(std::string_view)) {
  if (options.json) {
    Print(body + "\n");
    return {};
  }
  MEZZO_TRY(const std::string text, table(body));
  Print(text);
  return {};
}

Result<void> Load(const V2Client& client, const ModelsOptions& options) {
  nlohmann::json body = nlohmann::json::object();
  if (!options.config_file.empty()) {
    MEZZO_TRY(const std::string config, ReadFile(options.config_file));
    if (!nlohmann::json::accept(config)) {
      return InvalidArgument("bad_config", "'" + Printable(options.config_file) + "' is not JSON");
    }
    body["parameters"] = {{"config", config}};
  }
  const std::string path =
      "/v2/repository/models/" + ModelPath(options.model, "").substr(sizeof("/v2/models/") - 1);
  MEZZO_TRY_VOID(client.CallOk("POST", path + "/load", body.dump()));
  Print("loaded " + options.model + "\n");
  return {};
}

Result<void> Unload(const V2Client& client, const ModelsOptions& options) {
  const std::string path =
      "/v2/repository/models/" + ModelPath(options.model, "").substr(sizeof("/v2/models/") - 1);
  MEZZO_TRY_VOID(client.CallOk("POST", path + "/unload", "{}"));
  Print("unloaded " + options.model + "\n");
  return {};
}

Result<void> Show(const V2Client& client, const ModelsOptions& options) {
  const std::string path = ModelPath(options.model, "");
  MEZZO_TRY(const HttpReply metadata, client.CallOk("GET", path));
  MEZZO_TRY(const HttpReply config, client.CallOk("GET", path + "/config"));
  const auto declared = nlohmann::json::parse(metadata.body, nullptr, /*allow_exceptions=*/false);
  const auto configured = nlohmann::json::parse(config.body, nullptr, /*allow_exceptions=*/false);
  if (options.json) {
    Print(nlohmann::json{{"metadata", declared}, {"config", configured}}.dump(2) + "\n");
    return {};
  }
  MEZZO_TRY(const std::string text, SignatureTable(metadata.body));
  Print(text + "\nconfiguration\n" + configured.dump(2) + "\n");
  return {};
}

Result<void> Act(const ModelsOptions& options) {
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  switch (options.action) {
    case Action::kList: {
      MEZZO_TRY(const HttpReply reply, client.CallOk("POST", "/v2/repository/index", "{}"));
      return PrintAnswer(options, reply.body, IndexTable);
    }
    case Action::kStats: {
      const std::string path = options.model.empty() ? "/v2/models" : ModelPath(options.model, "");
      MEZZO_TRY(const HttpReply reply, client.CallOk("GET", path + "/stats"));
      return PrintAnswer(options, reply.body, StatisticsTable);
    }
    case Action::kShow:
      return Show(client, options);
    case Action::kLoad:
      return Load(client, options);
    case Action::kUnload:
      return Unload(client, options);
  }
  return {};
}

}  // namespace

Result<std::string> IndexTable(std::string_view json) {
  MEZZO_TRY(const auto lines, ParseIndex(json));
  if (lines.empty()) return std::string("no models\n");
  TextTable table({"MODEL", "VERSION", "STATE", "REASON"}, /*all_left=*/true);
  for (const IndexLine& line : lines) {
    table.Add({line.name, line.version.empty() ? "-" : line.version,
               line.state.empty() ? "ON_DISK" : line.state, line.reason});
  }
  return table.ToString();
}

Result<std::string> StatisticsTable(std::string_view json) {
  MEZZO_TRY(const auto all, ParseStatistics(json));
  if (all.empty()) return std::string("no loaded models\n");
  TextTable table({"MODEL", "VERSION", "OK", "FAILED", "ROWS", "BATCHES", "MEAN BATCH", "MEAN QUEUE",
                   "MEAN RUN", "MEMORY"});
  for (const ServerStatistics& one : all) {
    const auto mean = [](std::uint64_t sum, std::uint64_t count) {
      return count == 0 ? std::string("-") : ShortDuration(Duration(static_cast<std::int64_t>(sum / count)));
    };
    const std::string batch =
        one.batches == 0
            ? "-"
            : fmt::format("{:.2f}", static_cast<double>(one.rows) / static_cast<double>(one.batches));
    table.Add({one.model, one.version, std::to_string(one.successes), std::to_string(one.failures),
               std::to_string(one.rows), std::to_string(one.batches), batch,
               mean(one.queue_ns, one.successes), mean(one.compute_ns, one.successes),
               one.memory_bytes == 0 ? "-" : FormatBytes(one.memory_bytes)});
  }
  return table.ToString();
}

Result<std::string> SignatureTable(std::string_view json) {
  MEZZO_TRY(const ModelSignature model, ParseSignature(json));
  std::string versions;
  for (const std::string& version : model.versions) versions += (versions.empty() ? "" : ", ") + version;
  TextTable table({"", "NAME", "TYPE", "SHAPE"}, /*all_left=*/true);
  const auto add = [&table](const char* kind, const std::vector<TensorSignature>& tensors) {
    for (const TensorSignature& one : tensors) {
      table.Add({kind, one.name, std::string(tensor::DTypeName(one.dtype)), one.shape.ToString()});
    }
  };
  add("input", model.inputs);
  add("output", model.outputs);
  return model.name + ", versions " + (versions.empty() ? "none" : versions) + ", platform " +
         model.platform + "\n" + table.ToString();
}

CLI::App* AddModelsCommand(CLI::App& app, ModelsOptions& options) {
  CLI::App* command = app.add_subcommand("models", "Lists, shows, loads and unloads a server's models");
  AddServerOptions(*command, options.server);
  command->add_flag("--json", options.json, "Print the server's answer as it is");
  command->require_subcommand(0, 1);
  command->fallthrough();  // --url may stand after the action as well.
  const internal::Actions add(*command, options.action);
  add("list", "Every model and version with its state (what `mezzo models` alone does)", Action::kList);
  add("show", "Inputs, outputs and configuration", Action::kShow)
      ->add_option("MODEL", options.model, "Name of the model")
      ->required();
  CLI::App* load = add("load", "Loads a model, or loads it anew; ends when it serves", Action::kLoad);
  load->add_option("MODEL", options.model, "Name of the model")->required();
  load->add_option("--config", options.config_file, "JSON configuration instead of the repository's")
      ->type_name("FILE");
  add("unload", "Stops serving a model", Action::kUnload)
      ->add_option("MODEL", options.model, "Name of the model")
      ->required();
  add("stats", "Counts and mean times since loading", Action::kStats)
      ->add_option("MODEL", options.model, "Only this model");
  return command;
}

int RunModelsCommand(const ModelsOptions& options) {
  const auto done = Act(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("models", done.error());
}

}  // namespace mezzo::app::cli
