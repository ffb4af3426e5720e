#include "mezzo/lifecycle/pipeline.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/config/load.h"
#include "mezzo/lifecycle/datasets.h"
#include "mezzo/lifecycle/internal/pipeline_text.h"

namespace mezzo::lifecycle {
namespace {

using config::Provenance;
using internal::PipelineText;
using internal::StageText;
using internal::TriggerText;

constexpr std::array<std::string_view, 6> kStageKinds = {"train", "evaluate", "register",
                                                         "test",  "release",  "retire"};
constexpr std::array<std::string_view, 5> kTriggerKinds = {"schedule", "every", "data", "drift", "objective"};
constexpr std::array<std::string_view, 3> kRoles = {"none", "operator", "admin"};
constexpr std::string_view kOfThisRun = "run";
constexpr std::string_view kParent = "parent";
constexpr std::string_view kParentPrefix = "parent.";

bool IsMetricName(std::string_view name) {
  constexpr std::size_t kLongest = 64;
  const auto starts = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && name.size() <= kLongest && starts(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return starts(c) || (c >= '0' && c <= '9'); });
}

std::optional<double> ParseNumber(std::string_view text) {
  double value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// A text's members with the places where they stand.
class Reader {
 public:
  Reader(std::string_view source, const Provenance& places, const PipelineRules* rules)
      : source_(source), places_(places), rules_(rules) {}

  Result<PipelineSpec> Spec(const PipelineText& text) const;

  /// An error of `reason` that names where `path` stands.
  [[nodiscard]] std::string At(const std::string& path, const std::string& message) const {
    auto found = places_.find(path);
    if (found == places_.end()) {  // Of an item as a whole: where its name stands.
      found = places_.find(path + ".name");
      if (found == places_.end()) found = places_.find(path + ".kind");
    }
    return (found == places_.end() ? std::string(source_) : found->second) + ": " + path + " " + message;
  }
  [[nodiscard]] Error BadStage(const std::string& path, const std::string& message) const {
    return InvalidArgument("pipeline_stage", At(path, message));
  }

 private:
  Result<TriggerSpec> Trigger(const TriggerText& text, const std::string& path) const;
  Result<void> CheckDataset(const TriggerText& text, const std::string& path) const;
  Result<StageSpec> Stage(const StageText& text, const std::string& path) const;
  Result<void> CheckMembers(const StageText& text, const std::string& path) const;
  Result<void> CheckCommand(const StageText& text, const std::string& path) const;
  Result<void> CheckRelease(const StageText& text, const std::string& path) const;
  Result<void> CheckOrder(const PipelineSpec& spec) const;

  const std::string source_;
  const Provenance& places_;
  const PipelineRules* rules_;
};

Result<TriggerSpec> Reader::Trigger(const TriggerText& text, const std::string& path) const {
  TriggerSpec trigger{.kind = text.kind, .key = text.key};
  const std::string kind(TriggerKindName(text.kind));
  const auto only = [&](const char* member, bool given, bool belongs) -> Result<void> {
    if (given && !belongs)
      return BadStage(path + "." + member, "does not belong to a trigger '" + kind + "'");
    if (!given && belongs) return BadStage(path, "of kind '" + kind + "' needs '" + member + "'");
    return {};
  };
  MEZZO_TRY_VOID(only("cron", !text.cron.empty(), text.kind == TriggerKind::kSchedule));
  MEZZO_TRY_VOID(only("period", text.period.has_value(), text.kind == TriggerKind::kEvery));
  const bool event = text.kind != TriggerKind::kSchedule && text.kind != TriggerKind::kEvery;
  if (!event && !text.key.empty())
    return BadStage(path + ".key", "does not belong to a trigger '" + kind + "'");
  trigger.text = text.key;
  MEZZO_TRY_VOID(CheckDataset(text, path));
  if (!text.dataset.empty()) {
    trigger.dataset = text.dataset;
    trigger.prefix = text.prefix.ends_with('/') ? text.prefix.substr(0, text.prefix.size() - 1) : text.prefix;
    trigger.settle = text.settle.value_or(trigger.settle);
    trigger.text = trigger.dataset + "/" + trigger.prefix;
  }
  if (text.kind == TriggerKind::kSchedule) {
    auto cron = Cron::Parse(text.cron);
    if (!cron.ok())
      return InvalidArgument("pipeline_schedule", At(path + ".cron", "is wrong: " + cron.error().message()));
    trigger.cron = *std::move(cron);
    trigger.text = text.cron;
  }
  if (text.period) {
    trigger.period = *text.period;
    trigger.text = config::FormatDuration(*text.period);
  }
  return trigger;
}

Result<void> Reader::CheckDataset(const TriggerText& text, const std::string& path) const {
  if (text.dataset.empty()) {
    if (!text.prefix.empty()) return BadStage(path + ".prefix", "needs 'dataset', which it is a part of");
    if (text.settle) return BadStage(path + ".settle", "needs 'dataset', which is watched");
    return {};
  }
  if (text.kind != TriggerKind::kData)
    return BadStage(path + ".dataset",
                    "does not belong to a trigger '" + std::string(TriggerKindName(text.kind)) + "'");
  if (!text.key.empty())
    return BadStage(path + ".key", "does not go with 'dataset': what is watched has no events");
  const auto bad = [&](const char* member, const std::string& what) {
    return InvalidArgument("pipeline_dataset", At(path + member, what));
  };
  if (!IsDatasetPrefix(text.prefix))
    return bad(".prefix", "is '" + Printable(text.prefix, 200) +
                              "': it must be up to 8 names of letters, digits and '._=+-' with '/' between "
                              "them, none beginning with '.', 200 bytes together");
  // Of a kept text nobody asks: what the operator allows may have changed, and is asked at each look.
  if (rules_ != nullptr && !rules_->datasets.contains(text.dataset))
    return bad(".dataset", "is '" + Printable(text.dataset, 64) +
                               "', which the operator's pipelines.datasets does not name");
  return {};
}

Result<void> Reader::CheckMembers(const StageText& text, const std::string& path) const {
  const bool command = IsCommand(text.kind);
  const bool registers = text.kind == StageKind::kRegister;
  const bool named =
      text.kind == StageKind::kTest || text.kind == StageKind::kRelease || text.kind == StageKind::kRetire;
  const bool release = text.kind == StageKind::kRelease;
  struct Member {
    const char* name;
    bool given;
    bool belongs;
  };
  const std::array<Member, 14> members = {{{"command", !text.command.empty(), command},
                                           {"arguments", !text.arguments.empty(), command},
                                           {"environment", !text.environment.empty(), command},
                                           {"metrics", !text.metrics.empty(), command},
                                           {"description", !text.description.empty(), registers},
                                           {"label", !text.label.empty(), registers},
                                           {"data", !text.data.empty(), registers},
                                           {"code", !text.code.empty(), registers},
                                           {"version", !text.version.empty(), named},
                                           {"strategy", !text.strategy.empty(), release},
                                           {"steps", !text.steps.empty(), release},
                                           {"step_time", text.step_time.has_value(), release},
                                           {"settle", text.settle.has_value(), release},
                                           {"min_calls", text.min_calls.has_value(), release}}};
  for (const Member& member : members) {
    if (member.given && !member.belongs) {
      return BadStage(path + "." + member.name,
                      "does not belong to a stage of kind '" + std::string(StageKindName(text.kind)) + "'");
    }
  }
  return {};
}

Result<void> Reader::CheckCommand(const StageText& text, const std::string& path) const {
  if (text.command.empty())
    return BadStage(path, "of kind '" + std::string(StageKindName(text.kind)) + "' needs 'command'");
  std::set<std::string_view> seen;
  for (const std::string& metric : text.metrics) {
    if (!IsMetricName(metric))
      return BadStage(path + ".metrics", "has '" + Printable(metric, 64) +
                                             "', which is no metric's name: a letter or '_', then letters, "
                                             "digits or '_', 64 at most");
    if (!seen.insert(metric).second) return BadStage(path + ".metrics", "names '" + metric + "' twice");
  }
  constexpr std::size_t kMaxArgument = 4096;
  for (const std::string& argument : text.arguments) {
    if (argument.size() > kMaxArgument || argument.find('\0') != std::string::npos)
      return BadStage(path + ".arguments", fmt::format("has one of {} bytes; the limit is {}, without NUL",
                                                       argument.size(), kMaxArgument));
  }
  for (const auto& [name, value] : text.environment) {
    if (value.size() > kMaxArgument || value.find('\0') != std::string::npos)
      return BadStage(path + ".environment." + name,
                      fmt::format("has {} bytes; the limit is {}, without NUL", value.size(), kMaxArgument));
  }
  if (rules_ == nullptr) return {};
  const auto wrong = [&](const std::string& where, const std::string& message) {
    return InvalidArgument("pipeline_command", At(where, message));
  };
  const auto found = rules_->commands.find(text.command);
  if (found == rules_->commands.end())
    return wrong(path + ".command", "'" + Printable(text.command, 64) +
                                        "' is not allowed here: the server's configuration names no such "
                                        "command in pipelines.commands");
  const PipelineRules::Command& rule = found->second;
  if (text.arguments.size() > rule.max_arguments)
    return wrong(path + ".arguments", fmt::format("are {}; '{}' takes {} at most", text.arguments.size(),
                                                  text.command, rule.max_arguments));
  for (const auto& [name, value] : text.environment) {
    if (std::find(rule.environment.begin(), rule.environment.end(), name) == rule.environment.end())
      return wrong(path + ".environment." + name,
                   "can't be set: it is not in pipelines.commands." + text.command + ".environment");
  }
  if (text.time_limit > rule.max_time)
    return wrong(path + ".time_limit", "is " + config::FormatDuration(text.time_limit) + "; '" +
                                           text.command + "' may take " +
                                           config::FormatDuration(rule.max_time) + " at most");
  return {};
}

Result<void> Reader::CheckRelease(const StageText& text, const std::string& path) const {
  if (!text.strategy.empty() && text.strategy != "canary" && text.strategy != "blue_green")
    return BadStage(path + ".strategy",
                    "must be canary or blue_green, not '" + Printable(text.strategy, 32) + "'");
  if (text.strategy == "blue_green" && !text.steps.empty())
    return BadStage(path + ".steps", "do not belong to the strategy blue_green");
  double before = 0;
  for (const double step : text.steps) {
    if (!(step > before)) return BadStage(path + ".steps", "must grow from step to step");
    before = step;
  }
  if (!text.steps.empty() && before != 100)
    return BadStage(path + ".steps", fmt::format("must end with 100, not {:g}", before));
  return {};
}

Result<StageSpec> Reader::Stage(const StageText& text, const std::string& path) const {
  if (!IsSafeName(text.name))
    return BadStage(path + ".name", "is '" + Printable(text.name, 64) +
                                        "': it must be of letters, digits and '._-', not beginning with '.'");
  MEZZO_TRY_VOID(CheckMembers(text, path));
  if (IsCommand(text.kind)) MEZZO_TRY_VOID(CheckCommand(text, path));
  if (text.kind == StageKind::kRelease) MEZZO_TRY_VOID(CheckRelease(text, path));
  StageSpec stage{.name = text.name,
                  .kind = text.kind,
                  .command = text.command,
                  .arguments = text.arguments,
                  .environment = text.environment,
                  .metrics = text.metrics,
                  .description = text.description,
                  .label = text.label,
                  .data = text.data,
                  .code = text.code,
                  .version = text.version,
                  .strategy = text.strategy,
                  .steps = text.steps,
                  .step_time = text.step_time,
                  .settle = text.settle,
                  .min_calls = text.min_calls,
                  .retries = text.retries,
                  .backoff = text.backoff,
                  .time_limit = text.time_limit};
  if (stage.version.empty()) {
    if (text.kind == StageKind::kTest || text.kind == StageKind::kRelease) stage.version = kOfThisRun;
    if (text.kind == StageKind::kRetire) stage.version = kParent;
  } else if (!IsSafeName(stage.version)) {
    return BadStage(path + ".version", "is '" + Printable(stage.version, 64) +
                                           "': it must be run, parent, a number or an alias");
  }
  if (text.kind == StageKind::kRelease && stage.version == kParent)
    return BadStage(path + ".version", "can't be parent: that serves already");
  if (text.approval) {
    stage.approval = text.approval->role;
    stage.approval_limit = text.approval->time_limit;
  }
  for (std::size_t i = 0; i < text.gates.size(); ++i) {
    auto gate = MetricGate::Parse(text.gates[i]);
    const std::string at = path + ".gates[" + std::to_string(i) + "]";
    if (!gate.ok()) return InvalidArgument("pipeline_gate", At(at, "is wrong: " + gate.error().message()));
    stage.gates.push_back(*std::move(gate));
  }
  return stage;
}

/// What a stage needs comes from one before it: nothing looks ahead, so there are no circles.
Result<void> Reader::CheckOrder(const PipelineSpec& spec) const {
  std::set<std::string_view> names;
  std::set<std::string_view> metrics;
  bool trained = false;
  bool registered = false;
  for (std::size_t i = 0; i < spec.stages.size(); ++i) {
    const StageSpec& stage = spec.stages[i];
    const std::string path = "stages[" + std::to_string(i) + "]";
    if (!names.insert(stage.name).second)
      return BadStage(path + ".name", "'" + stage.name + "' is another stage's, too");
    metrics.insert(stage.metrics.begin(), stage.metrics.end());
    for (std::size_t g = 0; g < stage.gates.size(); ++g) {
      const MetricGate& gate = stage.gates[g];
      const auto known = [&](const std::string& name) -> Result<void> {
        if (metrics.contains(name)) return {};
        const bool later = std::any_of(spec.stages.begin(), spec.stages.end(), [&](const StageSpec& other) {
          return std::find(other.metrics.begin(), other.metrics.end(), name) != other.metrics.end();
        });
        return InvalidArgument("pipeline_gate", At(path + ".gates[" + std::to_string(g) + "]",
                                                   "asks for the metric '" + name + "', which " +
                                                       (later ? "only a later stage gives"
                                                              : "no stage gives: name it in its 'metrics'")));
      };
      MEZZO_TRY_VOID(known(gate.left));
      if (!gate.right.empty() && !gate.parent) MEZZO_TRY_VOID(known(gate.right));
    }
    if (stage.kind == StageKind::kTrain) trained = true;
    if (stage.kind == StageKind::kRegister) {
      if (!trained) return BadStage(path, "registers what a stage 'train' makes, and none comes before it");
      if (registered) return BadStage(path, "registers a version, as a stage before it has done");
      registered = true;
    }
    if (stage.version == kOfThisRun && !registered)
      return BadStage(
          path + (stage.kind == StageKind::kTest || stage.kind == StageKind::kRelease ? "" : ".version"),
          "is about the version that this run registers, and no stage 'register' comes before it");
  }
  return {};
}

Result<PipelineSpec> Reader::Spec(const PipelineText& text) const {
  PipelineSpec spec{.description = text.description,
                    .model = text.model,
                    .debounce = text.debounce,
                    .time_limit = text.time_limit,
                    .webhook = text.webhook};
  if (text.model.empty()) return BadStage("model", "is missing: which model the pipeline is about");
  if (!IsSafeName(text.model))
    return BadStage("model", "is '" + Printable(text.model, 64) +
                                 "': it must be of letters, digits and '._-', not beginning with '.'");
  if (text.stages.empty()) return BadStage("stages", "is missing: a pipeline has at least one");
  for (std::size_t i = 0; i < text.triggers.size(); ++i) {
    MEZZO_TRY(TriggerSpec trigger, Trigger(text.triggers[i], "triggers[" + std::to_string(i) + "]"));
    const auto same = [&](const TriggerSpec& one) {
      return !one.dataset.empty() && one.dataset == trigger.dataset && one.prefix == trigger.prefix;
    };
    if (std::any_of(spec.triggers.begin(), spec.triggers.end(), same))
      return BadStage("triggers[" + std::to_string(i) + "].dataset",
                      "watches '" + trigger.text + "' like another trigger");
    spec.triggers.push_back(std::move(trigger));
  }
  for (std::size_t i = 0; i < text.stages.size(); ++i) {
    MEZZO_TRY(StageSpec stage, Stage(text.stages[i], "stages[" + std::to_string(i) + "]"));
    spec.stages.push_back(std::move(stage));
  }
  MEZZO_TRY_VOID(CheckOrder(spec));
  return spec;
}

struct Parsed {
  PipelineText text;
  Provenance places;
};

Result<Parsed> Parse(std::string_view text, std::string_view source, std::size_t max_bytes) {
  if (text.size() > max_bytes)
    return InvalidArgument("pipeline_yaml",
                           fmt::format("{} has {} bytes; the limit is {}", source, text.size(), max_bytes));
  Parsed parsed;
  auto read = config::ParseYaml<PipelineText>(text, source, {}, &parsed.places);
  if (!read.ok()) return InvalidArgument("pipeline_yaml", std::string(read.error().message()));
  parsed.text = *std::move(read);
  return parsed;
}

Error BadTemplate(std::string message) { return InvalidArgument("pipeline_template", std::move(message)); }

/// Whether a text can stand anywhere in YAML as (a part of) a plain word and stay one.
bool IsPlainText(std::string_view text) {
  const auto word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (text.empty() || text.size() > kMaxParameterText) return false;
  if (!word(text.front()) && text.front() != '/' && text.front() != '.' && text.front() != '_') return false;
  if (text.back() == ' ' || text.back() == ':') return false;
  constexpr std::string_view kInside = " ._/:@=+~%?-";
  if (!std::all_of(text.begin(), text.end(),
                   [&](char c) { return word(c) || kInside.find(c) != std::string_view::npos; }))
    return false;
  return text.find(": ") == std::string_view::npos;
}

Result<void> CheckValue(const std::string& name, ParameterKind kind, std::string_view value) {
  const auto wrong = [&](const std::string& what) {
    return BadTemplate("the parameter '" + Printable(name, 64) + "' is '" + Printable(value, 64) +
                       "': it must be " + what);
  };
  switch (kind) {
    case ParameterKind::kName:
      if (!IsSafeName(value)) return wrong("a name of letters, digits and '._-', 128 at most");
      return {};
    case ParameterKind::kNumber:
      if (value.size() > 32 || !ParseNumber(value)) return wrong("a number");
      return {};
    case ParameterKind::kDuration: {
      const auto parsed = config::ParseDuration(value);
      if (!parsed.ok()) return wrong("a duration: " + std::string(parsed.error().message()));
      return {};
    }
    case ParameterKind::kText:
      if (!IsPlainText(value))
        return wrong(
            "of letters, digits, spaces and any of ._/:@=+~%?-, 1 to 512, beginning with a letter, digit, "
            "'/', '.' or '_', not ending in ':' or a space, without ': '");
      return {};
  }
  return {};
}

/// Calls `place` for each ${name}, and `copy` for what is between.
template <typename Copy, typename Place>
Result<void> EachPlace(std::string_view text, const Copy& copy, const Place& place) {
  while (true) {
    const auto dollar = text.find("${");
    copy(text.substr(0, dollar));
    if (dollar == std::string_view::npos) return {};
    text.remove_prefix(dollar + 2);
    const auto end = text.find('}');
    if (end == std::string_view::npos || end > 64)
      return BadTemplate("'${" + Printable(text, 32) + "' does not end: a parameter is ${name}");
    MEZZO_TRY_VOID(place(std::string(text.substr(0, end))));
    text.remove_prefix(end + 1);
  }
}

Result<PipelineDocument> ReadTemplate(const Parsed& parsed, const PipelineRules& rules) {
  const PipelineText& text = parsed.text;
  PipelineDocument document{.kind = PipelineDocument::Kind::kTemplate, .description = text.description};
  if (text.pipeline.empty())
    return BadTemplate("a template has its text as 'pipeline: |', indented: it is missing");
  document.body = text.pipeline;
  std::map<std::string, std::string> examples;
  for (const auto& [name, one] : text.parameters) {
    if (!IsMetricName(name))
      return BadTemplate("'" + Printable(name, 64) +
                         "' is no parameter's name: a letter or '_', then letters, "
                         "digits or '_'");
    if (one.fallback) MEZZO_TRY_VOID(CheckValue(name, one.kind, *one.fallback));
    if (one.example) MEZZO_TRY_VOID(CheckValue(name, one.kind, *one.example));
    if (!one.fallback && !one.example)
      return BadTemplate("the parameter '" + name +
                         "' needs a 'default', or an 'example' to try the template with");
    examples[name] = one.example ? *one.example : *one.fallback;
    document.parameters[name] = {.kind = one.kind, .fallback = one.fallback, .example = examples[name]};
  }
  std::set<std::string> used;
  MEZZO_TRY_VOID(EachPlace(
      document.body, [](std::string_view) {},
      [&](const std::string& name) -> Result<void> {
        used.insert(name);
        if (document.parameters.contains(name)) return {};
        return BadTemplate("the text uses '${" + Printable(name, 64) +
                           "}', which 'parameters' does not declare");
      }));
  for (const auto& [name, one] : document.parameters) {
    if (!used.contains(name)) return BadTemplate("the parameter '" + name + "' is not used in the text");
  }
  MEZZO_TRY(const std::string tried, Expand(document, examples, "this"));
  MEZZO_TRY(document.spec, ParseSpec(tried, "template", rules));
  return document;
}

}  // namespace

std::string_view StageKindName(StageKind kind) { return kStageKinds.at(static_cast<std::size_t>(kind)); }
std::string_view TriggerKindName(TriggerKind kind) {
  return kTriggerKinds.at(static_cast<std::size_t>(kind));
}
std::string_view ApprovalRoleName(ApprovalRole role) { return kRoles.at(static_cast<std::size_t>(role)); }

Result<MetricGate> MetricGate::Parse(std::string_view text) {
  const auto bad = [&](const std::string& why) {
    return InvalidArgument("pipeline_gate", "'" + Printable(text, 100) + "' " + why);
  };
  constexpr std::size_t kMaxText = 200;
  if (text.size() > kMaxText) return bad("has more than 200 bytes");
  std::vector<std::string_view> words;
  for (const std::string_view word : Split(text, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  constexpr const char* kForm =
      "must be METRIC, one of < <= >= >, and a number or [parent.]METRIC [* NUMBER] [+ NUMBER | - NUMBER], "
      "with "
      "spaces between";
  if (words.size() < 3) return bad(kForm);
  MetricGate gate{.text = std::string(text), .left = std::string(words[0])};
  if (!IsMetricName(gate.left)) return bad(kForm);
  if (words[1] == "<") {
    gate.compare = Compare::kLess;
  } else if (words[1] == "<=") {
    gate.compare = Compare::kAtMost;
  } else if (words[1] == ">=") {
    gate.compare = Compare::kAtLeast;
  } else if (words[1] == ">") {
    gate.compare = Compare::kMore;
  } else {
    return bad(kForm);
  }
  if (const auto number = ParseNumber(words[2])) {
    if (words.size() > 3) return bad(kForm);
    gate.offset = *number;
    return gate;
  }
  std::string_view right = words[2];
  if (right.starts_with(kParentPrefix)) {
    gate.parent = true;
    right.remove_prefix(kParentPrefix.size());
  }
  if (!IsMetricName(right)) return bad(kForm);
  gate.right = right;
  std::size_t at = 3;
  if (at + 1 < words.size() && words[at] == "*") {
    const auto number = ParseNumber(words[at + 1]);
    if (!number) return bad(kForm);
    gate.factor = *number;
    at += 2;
  }
  if (at + 1 < words.size() && (words[at] == "+" || words[at] == "-")) {
    const auto number = ParseNumber(words[at + 1]);
    if (!number || *number < 0) return bad(kForm);
    gate.offset = words[at] == "-" ? -*number : *number;
    at += 2;
  }
  if (at != words.size()) return bad(kForm);
  return gate;
}

GateOutcome Judge(const MetricGate& gate, const std::map<std::string, double>& metrics,
                  const std::map<std::string, double>* parent) {
  GateOutcome outcome{.gate = gate.text};
  const auto left = metrics.find(gate.left);
  if (left == metrics.end()) {
    outcome.reason = "the metric '" + gate.left + "' is missing";
    return outcome;
  }
  outcome.left = left->second;
  double right = gate.offset;
  if (!gate.right.empty()) {
    if (gate.parent && parent == nullptr) {
      outcome.verdict = GateOutcome::Verdict::kSkipped;
      outcome.reason = "no version served before: there is nothing to compare with";
      return outcome;
    }
    const auto& of = gate.parent ? *parent : metrics;
    const auto found = of.find(gate.right);
    if (found == of.end()) {
      outcome.reason = (gate.parent ? "the version that served before has no metric '" : "the metric '") +
                       gate.right + (gate.parent ? "'" : "' is missing");
      return outcome;
    }
    right = found->second * gate.factor + gate.offset;
  }
  outcome.right = right;
  bool passed = false;
  switch (gate.compare) {
    case MetricGate::Compare::kLess:
      passed = *outcome.left < right;
      break;
    case MetricGate::Compare::kAtMost:
      passed = *outcome.left <= right;
      break;
    case MetricGate::Compare::kAtLeast:
      passed = *outcome.left >= right;
      break;
    case MetricGate::Compare::kMore:
      passed = *outcome.left > right;
      break;
  }
  outcome.verdict = passed ? GateOutcome::Verdict::kPassed : GateOutcome::Verdict::kFailed;
  outcome.reason = fmt::format("{:g} against {:g}", *outcome.left, right);
  return outcome;
}

bool TriggerSpec::Takes(std::string_view event_key) const {
  if (key.empty()) return true;
  if (key.back() == '*') return event_key.starts_with(std::string_view(key).substr(0, key.size() - 1));
  return event_key == key;
}

std::optional<WallTime> TriggerSpec::Next(WallTime last, WallTime now) const {
  if (cron) return cron->Next(now);
  if (kind != TriggerKind::kEvery) return std::nullopt;
  // On the grid of the first time, whatever was missed.
  if (last > now) return last;
  const auto missed = (now - last) / period;
  return last + (missed + 1) * period;
}

Result<PipelineSpec> ParseSpec(std::string_view text, std::string_view source, const PipelineRules& rules) {
  MEZZO_TRY(const Parsed parsed, Parse(text, source, kMaxExpandedText));
  if (!parsed.text.parameters.empty() || !parsed.text.pipeline.empty() || !parsed.text.from.empty() ||
      !parsed.text.with.empty()) {
    return BadTemplate(std::string(source) + ": a template's text can't be or use a template");
  }
  return Reader(source, parsed.places, &rules).Spec(parsed.text);
}

Result<PipelineSpec> ParseKeptSpec(std::string_view text) {
  MEZZO_TRY(const Parsed parsed, Parse(text, "kept pipeline", kMaxExpandedText));
  return Reader("kept pipeline", parsed.places, nullptr).Spec(parsed.text);
}

Result<std::string> Expand(const PipelineDocument& of, const std::map<std::string, std::string>& values,
                           std::string_view template_name) {
  for (const auto& [name, value] : values) {
    const auto found = of.parameters.find(name);
    if (found == of.parameters.end())
      return BadTemplate("with." + Printable(name, 64) + ": the template '" + Printable(template_name, 64) +
                         "' has no such parameter");
    MEZZO_TRY_VOID(CheckValue(name, found->second.kind, value));
  }
  std::map<std::string, std::string> all = values;
  for (const auto& [name, one] : of.parameters) {
    if (all.contains(name)) continue;
    if (!one.fallback)
      return BadTemplate("with." + name + " is missing: the template '" + Printable(template_name, 64) +
                         "' needs it");
    all[name] = *one.fallback;
  }
  std::string out;
  bool too_long = false;
  const auto add = [&](std::string_view piece) {
    if (out.size() + piece.size() > kMaxExpandedText) {
      too_long = true;
    } else {
      out += piece;
    }
  };
  MEZZO_TRY_VOID(EachPlace(of.body, add, [&](const std::string& name) -> Result<void> {
    const auto found = all.find(name);
    if (found == all.end())
      return BadTemplate("the text uses '${" + Printable(name, 64) +
                         "}', which 'parameters' does not declare");
    add(found->second);
    return {};
  }));
  if (too_long) return BadTemplate(fmt::format("the text would grow beyond {} bytes", kMaxExpandedText));
  return out;
}

Result<PipelineDocument> ParsePipeline(std::string_view text, const PipelineRules& rules) {
  MEZZO_TRY(const Parsed parsed, Parse(text, "pipeline", kMaxPipelineText));
  const PipelineText& read = parsed.text;
  const bool is_template = !read.parameters.empty() || !read.pipeline.empty();
  const bool is_instance = !read.from.empty() || !read.with.empty();
  if (!is_template && !is_instance) {
    PipelineDocument document{.description = read.description};
    MEZZO_TRY(document.spec, Reader("pipeline", parsed.places, &rules).Spec(read));
    return document;
  }
  // Else the members of a pipeline stand in the template.
  for (const char* member : {"model", "triggers", "stages", "debounce", "time_limit", "webhook"}) {
    for (const auto& [path, place] : parsed.places) {
      if (path == member || path.starts_with(std::string(member) + "["))
        return BadTemplate(place + ": " + member +
                           (is_template ? " belongs into the template's text, below 'pipeline'"
                                        : " comes from the template: it can't stand beside 'template'"));
    }
  }
  if (is_template && is_instance)
    return BadTemplate("a text has either 'parameters' and 'pipeline' (a template) or 'template' and 'with'");
  if (is_template) {
    if (read.parameters.empty()) return BadTemplate("a template declares 'parameters': there are none");
    return ReadTemplate(parsed, rules);
  }
  if (!IsSafeName(read.from))
    return BadTemplate("'with' needs 'template', the name of one: it is '" + Printable(read.from, 64) + "'");
  return PipelineDocument{.kind = PipelineDocument::Kind::kInstance,
                          .description = read.description,
                          .template_name = read.from,
                          .values = read.with};
}

}  // namespace mezzo::lifecycle
