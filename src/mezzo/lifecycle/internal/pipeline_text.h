#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "mezzo/config/schema.h"
#include "mezzo/lifecycle/pipeline.h"

namespace mezzo::lifecycle::internal {

// What a pipeline's text looks like, before it is checked for sense.

struct ApprovalText {
  ApprovalRole role = ApprovalRole::kOperator;
  Duration time_limit = std::chrono::hours(24);
};

struct StageText {
  std::string name;
  StageKind kind = StageKind::kTrain;
  std::string command;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::vector<std::string> metrics;
  std::string description, label, data, code;
  std::string version;
  std::string strategy;
  std::vector<double> steps;
  std::optional<Duration> step_time, settle;
  std::optional<std::uint64_t> min_calls;
  std::vector<std::string> gates;
  std::optional<ApprovalText> approval;
  std::uint32_t retries = 0;
  Duration backoff = std::chrono::seconds(10);
  Duration time_limit = std::chrono::hours(1);
};

struct TriggerText {
  TriggerKind kind = TriggerKind::kSchedule;
  std::string cron;
  std::optional<Duration> period;
  std::string key;
  std::string dataset;
  std::string prefix;
  std::optional<Duration> settle;
};

struct ParameterText {
  ParameterKind kind = ParameterKind::kText;
  std::optional<std::string> fallback;
  std::optional<std::string> example;
};

struct PipelineText {
  std::string description;
  // A template:
  std::map<std::string, ParameterText> parameters;
  std::string pipeline;
  // One of many:
  std::string from;
  std::map<std::string, std::string> with;
  // A pipeline:
  std::string model;
  std::vector<TriggerText> triggers;
  std::vector<StageText> stages;
  Duration debounce{};
  Duration time_limit = std::chrono::hours(24);
  std::string webhook;
};

}  // namespace mezzo::lifecycle::internal

namespace mezzo::config {

template <>
struct EnumNames<lifecycle::StageKind> {
  using K = lifecycle::StageKind;
  static constexpr EnumName<K> kNames[] = {{K::kTrain, "train"},       {K::kEvaluate, "evaluate"},
                                           {K::kRegister, "register"}, {K::kTest, "test"},
                                           {K::kRelease, "release"},   {K::kRetire, "retire"}};
};
template <>
struct EnumNames<lifecycle::TriggerKind> {
  using K = lifecycle::TriggerKind;
  static constexpr EnumName<K> kNames[] = {{K::kSchedule, "schedule"},
                                           {K::kEvery, "every"},
                                           {K::kData, "data"},
                                           {K::kDrift, "drift"},
                                           {K::kObjective, "objective"}};
};
template <>
struct EnumNames<lifecycle::ApprovalRole> {
  using K = lifecycle::ApprovalRole;
  static constexpr EnumName<K> kNames[] = {{K::kOperator, "operator"}, {K::kAdmin, "admin"}};
};
template <>
struct EnumNames<lifecycle::ParameterKind> {
  using K = lifecycle::ParameterKind;
  static constexpr EnumName<K> kNames[] = {
      {K::kName, "name"}, {K::kNumber, "number"}, {K::kDuration, "duration"}, {K::kText, "text"}};
};

template <>
struct Schema<lifecycle::internal::ApprovalText> {
  static auto Fields() {
    using C = lifecycle::internal::ApprovalText;
    using std::chrono::hours;
    using std::chrono::seconds;
    return std::tuple{Field("role", &C::role, "Who may approve.", Required{}),
                      Field("time_limit", &C::time_limit, "Without an answer the run fails then.",
                            Range(seconds(1), hours(24 * 90)))};
  }
};

template <>
struct Schema<lifecycle::internal::StageText> {
  static auto Fields() {
    using C = lifecycle::internal::StageText;
    using std::chrono::hours;
    using std::chrono::milliseconds;
    using std::chrono::seconds;
    return std::tuple{
        Field("name", &C::name, "Of the stage, once in a pipeline.", Required{}, Length(1, 64)),
        Field("kind", &C::kind, "What it does.", Required{}),
        Field("command", &C::command, "A command of the operator's list."),
        Field("arguments", &C::arguments, "Behind those that the operator gives.", Length(0, 64)),
        Field("environment", &C::environment, "Variables that the operator lets be set.", Length(0, 64)),
        Field("metrics", &C::metrics, "That its metrics.json has.", Length(0, 64)),
        Field("description", &C::description, "Of the version.", Length(0, 1024)),
        Field("label", &C::label, "The version's stage in the registry.", Length(0, 64)),
        Field("data", &C::data, "Lineage: what it was trained on.", Length(0, 1024)),
        Field("code", &C::code, "Lineage: by which code.", Length(0, 1024)),
        Field("version", &C::version, "run, parent, a number or an alias.", Length(0, 128)),
        Field("strategy", &C::strategy, "canary or blue_green.", Length(0, 32)),
        Field("steps", &C::steps, "Percent of the calls.", Length(0, 20), Range(0.01, 100.0)),
        Field("step_time", &C::step_time, "A step lasts at least so long.",
              Range(seconds(0), hours(24 * 30))),
        Field("settle", &C::settle, "The old version stays warm so long.", Range(seconds(0), hours(24 * 30))),
        Field("min_calls", &C::min_calls, "That a step needs at least."),
        Field("gates", &C::gates, "What its metrics must be.", Length(0, lifecycle::kMaxGates)),
        Field("approval", &C::approval, "Asked before it begins."),
        Field("retries", &C::retries, "Of an attempt that failed.", Range(0, 10)),
        Field("backoff", &C::backoff, "Before the first retry.", Range(milliseconds(0), hours(1))),
        Field("time_limit", &C::time_limit, "Of an attempt.", Range(milliseconds(100), hours(24 * 30)))};
  }
};

template <>
struct Schema<lifecycle::internal::TriggerText> {
  static auto Fields() {
    using C = lifecycle::internal::TriggerText;
    return std::tuple{
        Field("kind", &C::kind, "What begins a run.", Required{}),
        Field("cron", &C::cron, "Of a schedule: five fields, UTC.", Length(0, 200)),
        Field("period", &C::period, "Of every.",
              Range(std::chrono::minutes(1), std::chrono::hours(24 * 366))),
        Field("key", &C::key, "Of events: what their key must be, or begin with.", Length(0, 256)),
        Field("dataset", &C::dataset, "Of data: which of the operator's datasets is watched.", Length(0, 64)),
        Field("prefix", &C::prefix, "The folder of the dataset that is watched; empty: all of it.",
              Length(0, 200)),
        Field("settle", &C::settle, "What has changed must stay as it is for so long.",
              Range(std::chrono::seconds(0), std::chrono::hours(24)))};
  }
};

template <>
struct Schema<lifecycle::internal::ParameterText> {
  static auto Fields() {
    using C = lifecycle::internal::ParameterText;
    return std::tuple{
        Field("kind", &C::kind, "What values it takes.", Required{}),
        Field("default", &C::fallback, "Without a value.", Length(0, lifecycle::kMaxParameterText)),
        Field("example", &C::example, "What the template is tried with.",
              Length(0, lifecycle::kMaxParameterText))};
  }
};

template <>
struct Schema<lifecycle::internal::PipelineText> {
  static auto Fields() {
    using C = lifecycle::internal::PipelineText;
    using std::chrono::hours;
    using std::chrono::seconds;
    return std::tuple{
        Field("description", &C::description, "For people.", Length(0, 1024)),
        Field("parameters", &C::parameters, "Makes it a template.", Length(0, lifecycle::kMaxParameters)),
        Field("pipeline", &C::pipeline, "Of a template: the text, with ${parameters}.",
              Length(0, lifecycle::kMaxPipelineText)),
        Field("template", &C::from, "Of which template it is made.", Length(0, 128)),
        Field("with", &C::with, "The template's parameters.", Length(0, lifecycle::kMaxParameters)),
        Field("model", &C::model, "What it is about.", Length(0, 128)),
        Field("triggers", &C::triggers, "What begins a run, beside a hand.",
              Length(0, lifecycle::kMaxTriggers)),
        Field("stages", &C::stages, "One after the other.", Length(0, lifecycle::kMaxStages)),
        Field("debounce", &C::debounce, "A run waits so long for further events.",
              Range(seconds(0), hours(24 * 7))),
        Field("time_limit", &C::time_limit, "Of a run.", Range(seconds(1), hours(24 * 90))),
        Field("webhook", &C::webhook, "Told of what happens.", Length(0, 2048))};
  }
};

}  // namespace mezzo::config
