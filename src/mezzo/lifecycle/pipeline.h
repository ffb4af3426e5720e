#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/cron.h"

namespace mezzo::lifecycle {

enum class StageKind : std::uint8_t { kTrain, kEvaluate, kRegister, kTest, kRelease, kRetire };
std::string_view StageKindName(StageKind kind);  ///< "train", "evaluate", ...
/// Whether a stage of the kind is a command of the operator's.
constexpr bool IsCommand(StageKind kind) { return kind == StageKind::kTrain || kind == StageKind::kEvaluate; }

enum class TriggerKind : std::uint8_t { kSchedule, kEvery, kData, kDrift, kObjective };
std::string_view TriggerKindName(TriggerKind kind);  ///< "schedule", "every", "data", "drift", "objective".

/// Who may approve. A key or person is an operator with the scope `operate`, an admin with `admin`.
enum class ApprovalRole : std::uint8_t { kNone, kOperator, kAdmin };
std::string_view ApprovalRoleName(ApprovalRole role);  ///< "none", "operator", "admin".

/// "auc >= 0.9", "auc >= parent.auc - 0.01".
struct MetricGate {
  enum class Compare : std::uint8_t { kLess, kAtMost, kAtLeast, kMore };
  std::string text;
  std::string left;  ///< A metric.
  Compare compare = Compare::kAtLeast;
  std::string right;    ///< A metric, or empty: `offset` alone.
  bool parent = false;  ///< `right` is of the version that served when the run began.
  double factor = 1;    ///< Of the metric on the right.
  double offset = 0;    ///< Added to it.

  /// Fails with kInvalidArgument "pipeline_gate".
  static Result<MetricGate> Parse(std::string_view text);
};

struct GateOutcome {
  enum class Verdict : std::uint8_t { kPassed, kFailed, kSkipped };
  std::string gate;
  Verdict verdict = Verdict::kFailed;
  std::optional<double> left;
  std::optional<double> right;
  std::string reason;
};
/// `parent` is null when nothing served before: what is compared with it is skipped then. Neither is passed
/// by a metric that is missing.
GateOutcome Judge(const MetricGate& gate, const std::map<std::string, double>& metrics,
                  const std::map<std::string, double>* parent);

struct StageSpec {
  std::string name;
  StageKind kind = StageKind::kTrain;
  // Of train and evaluate:
  std::string command;  ///< A name of the operator's list.
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::vector<std::string> metrics;  ///< That it promises.
  // Of register:
  std::string description, label, data, code;
  // Of test, release, retire: "run" (the version that this run registered), "parent", a number, an alias.
  std::string version;
  // Of release:
  std::string strategy;
  std::vector<double> steps;  ///< Percent.
  std::optional<Duration> step_time, settle;
  std::optional<std::uint64_t> min_calls;
  // Of all:
  std::vector<MetricGate> gates;                ///< Judged when the stage has done its work.
  ApprovalRole approval = ApprovalRole::kNone;  ///< Asked before it begins.
  Duration approval_limit = std::chrono::hours(24);
  std::uint32_t retries = 0;
  Duration backoff = std::chrono::seconds(10);  ///< Doubles with each retry, up to an hour.
  Duration time_limit = std::chrono::hours(1);  ///< Of an attempt.
};

struct TriggerSpec {
  TriggerKind kind = TriggerKind::kSchedule;
  std::optional<Cron> cron;
  Duration period{};
  /// Of data: a folder that is watched, instead of events. Empty: none.
  std::string dataset;
  std::string prefix;                          ///< Below the dataset's folder; empty: all of it.
  Duration settle = std::chrono::seconds(30);  ///< What has changed must stay as it is for so long.
  /// What an event's key must be; with a '*' at its end, how it must begin; empty: any.
  std::string key;
  std::string text;  ///< As it is shown: the schedule, the period or the key.

  [[nodiscard]] bool Takes(std::string_view event_key) const;
  /// Of schedules and periods. `last` is when it was due last, or when the pipeline was put.
  [[nodiscard]] std::optional<WallTime> Next(WallTime last, WallTime now) const;
};

/// A pipeline, checked: what its text says, all templates expanded.
struct PipelineSpec {
  std::string description;
  std::string model;
  std::vector<TriggerSpec> triggers;
  std::vector<StageSpec> stages;
  Duration debounce{};  ///< A run that an event makes waits so long for others to join it.
  Duration time_limit = std::chrono::hours(24);
  std::string webhook;  ///< Told of what happens; empty: nobody.
};

/// What the operator allows pipelines to do.
struct PipelineRules {
  struct Command {
    std::size_t max_arguments = 0;         ///< That a pipeline may add.
    std::vector<std::string> environment;  ///< Variables that a pipeline may set.
    Duration max_time = std::chrono::hours(24);
  };
  std::map<std::string, Command, std::less<>> commands;
  std::set<std::string, std::less<>> datasets;  ///< That triggers may watch.
};

inline constexpr std::size_t kMaxPipelineText = std::size_t{64} << 10;
inline constexpr std::size_t kMaxExpandedText = std::size_t{128} << 10;
inline constexpr std::size_t kMaxStages = 32;
inline constexpr std::size_t kMaxTriggers = 16;
inline constexpr std::size_t kMaxGates = 32;
inline constexpr std::size_t kMaxParameters = 64;
inline constexpr std::size_t kMaxParameterText = 512;

enum class ParameterKind : std::uint8_t { kName, kNumber, kDuration, kText };

struct Parameter {
  ParameterKind kind = ParameterKind::kText;
  std::optional<std::string> fallback;
  std::string example;  ///< As checked: what the template is tried with.
};

/// A text as somebody put it: a pipeline, a template of many, or a pipeline that is made of one.
struct PipelineDocument {
  enum class Kind : std::uint8_t { kPipeline, kTemplate, kInstance };
  Kind kind = Kind::kPipeline;
  std::string description;
  std::optional<PipelineSpec> spec;             ///< Of a pipeline. Of a template: of its examples.
  std::map<std::string, Parameter> parameters;  ///< Of a template.
  std::string body;                             ///< Of a template: the text with its ${parameters}.
  std::string template_name;                    ///< Of an instance.
  std::map<std::string, std::string> values;    ///< Likewise.
};

/// Reads a text. All errors are kInvalidArgument and name the line or the member: "pipeline_yaml" (syntax,
/// unknown keys, wrong types, what is out of bounds), "pipeline_schedule", "pipeline_gate", "pipeline_stage"
/// (what does not fit together), "pipeline_template" (parameters), "pipeline_command" and "pipeline_dataset"
/// (not allowed here, or not like this).
Result<PipelineDocument> ParsePipeline(std::string_view text, const PipelineRules& rules);

/// A pipeline's own text: no template in it. `source` names it in messages.
Result<PipelineSpec> ParseSpec(std::string_view text, std::string_view source, const PipelineRules& rules);
/// As ParseSpec(), of a text that had been checked when it was kept: what the operator allows may have
/// changed since and is asked when a stage begins.
Result<PipelineSpec> ParseKeptSpec(std::string_view text);

/// The template's text with the values in the places of their parameters. Each place is filled once, by a
/// text that can't change how YAML reads what stands around it. Fails with kInvalidArgument
/// "pipeline_template": a value that is missing, unknown, or not of its kind; a text that grows too long.
Result<std::string> Expand(const PipelineDocument& of, const std::map<std::string, std::string>& values,
                           std::string_view template_name);

}  // namespace mezzo::lifecycle
