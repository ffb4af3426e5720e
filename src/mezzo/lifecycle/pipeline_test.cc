#include "mezzo/lifecycle/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/config/schema.h"
#include "mezzo/lifecycle/internal/pipeline_text.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

PipelineRules Rules() {
  PipelineRules rules;
  rules.commands["trainer"] = {.max_arguments = 4, .environment = {"EPOCHS"}, .max_time = hours(2)};
  rules.commands["judge"] = {};
  return rules;
}

constexpr const char* kWhole = R"(
description: Nightly
model: churn
time_limit: 12h
debounce: 10m
triggers:
  - {kind: schedule, cron: "0 3 * * 1-5"}
  - {kind: every, period: 6h}
  - {kind: data, key: "s3://churn/*"}
  - {kind: drift}
stages:
  - name: train
    kind: train
    command: trainer
    arguments: [--model, churn]
    environment: {EPOCHS: 3}
    retries: 2
    backoff: 30s
    time_limit: 90m
  - name: evaluate
    kind: evaluate
    command: judge
    metrics: [auc, loss]
    gates: ["auc >= 0.9", "auc >= parent.auc - 0.01", "loss < 0.5"]
  - {name: push, kind: register, label: candidate, data: "s3://churn"}
  - {name: check, kind: test}
  - name: out
    kind: release
    approval: {role: admin, time_limit: 2h}
    strategy: canary
    steps: [10, 50, 100]
    settle: 0s
  - {name: away, kind: retire}
)";

TEST(Pipeline, ATextIsReadWhole) {
  const auto document = ParsePipeline(kWhole, Rules());
  ASSERT_TRUE(document.ok()) << document.error().ToString();
  EXPECT_EQ(document->kind, PipelineDocument::Kind::kPipeline);
  const PipelineSpec& spec = *document->spec;
  EXPECT_EQ(spec.model, "churn");
  EXPECT_EQ(spec.time_limit, hours(12));
  EXPECT_EQ(spec.debounce, minutes(10));
  ASSERT_EQ(spec.triggers.size(), 4U);
  EXPECT_EQ(spec.triggers[1].text, "6h");
  EXPECT_TRUE(spec.triggers[2].Takes("s3://churn/2026"));
  EXPECT_FALSE(spec.triggers[2].Takes("s3://other"));
  EXPECT_TRUE(spec.triggers[3].Takes("anything"));
  ASSERT_EQ(spec.stages.size(), 6U);
  EXPECT_EQ(spec.stages[0].environment.at("EPOCHS"), "3");
  EXPECT_EQ(spec.stages[0].retries, 2U);
  EXPECT_EQ(spec.stages[0].backoff, seconds(30));
  EXPECT_EQ(spec.stages[1].gates.size(), 3U);
  EXPECT_EQ(spec.stages[3].version, "run");
  EXPECT_EQ(spec.stages[4].approval, ApprovalRole::kAdmin);
  EXPECT_EQ(spec.stages[4].approval_limit, hours(2));
  EXPECT_EQ(spec.stages[4].settle, Duration::zero());
  EXPECT_EQ(spec.stages[5].version, "parent");
}

/// The reason and the message of what is wrong with `text`.
std::string Wrong(const std::string& text, PipelineRules rules = Rules()) {
  const auto document = ParsePipeline(text, rules);
  return document.ok() ? "ok" : std::string(document.error().reason()) + ": " + document.error().message();
}

std::string WithStages(const std::string& stages) { return "model: m\nstages:\n" + stages; }

TEST(Pipeline, WhatYamlCantBeIsNamedWithItsLine) {
  EXPECT_THAT(Wrong("model: m\nstagess: []\n"),
              HasSubstr("pipeline_yaml: pipeline:2:1: unknown key 'stagess'"));
  EXPECT_THAT(Wrong(WithStages("  - {name: a, kind: trian}")),
              HasSubstr("pipeline_yaml: pipeline:3:21: stages[0].kind must be one of"));
  EXPECT_THAT(Wrong(WithStages("  - {name: a, kind: test, version: latest, time_limit: -5s}")),
              HasSubstr("pipeline_yaml: pipeline:3:"));
  EXPECT_THAT(Wrong(WithStages("  - {name: a, kind: test, retries: 11}")),
              HasSubstr("stages[0].retries must be between 0 and 10, not 11"));
  EXPECT_THAT(Wrong(WithStages("  - {name: a, kind: test, retries: many}")), HasSubstr("pipeline_yaml"));
  EXPECT_THAT(Wrong(WithStages("  - {kind: test}")), HasSubstr("pipeline_yaml"));
  EXPECT_THAT(Wrong("model: m\nstages: {a: 1}\n"), HasSubstr("pipeline_yaml"));
  EXPECT_THAT(Wrong("model: &a m\nstages: *a\n"), HasSubstr("pipeline_yaml"));
  EXPECT_THAT(Wrong("\x01"), HasSubstr("pipeline_yaml"));
  EXPECT_THAT(Wrong(std::string(kMaxPipelineText + 1, ' ')), HasSubstr("the limit is 65536"));
}

TEST(Pipeline, WhatDoesNotFitTogetherIsNamed) {
  struct Case {
    const char* text;
    const char* wrong;
  };
  const Case cases[] = {
      {"stages: [{name: a, kind: test, version: latest}]", "pipeline_stage: pipeline: model is missing"},
      {"model: m", "pipeline_stage: pipeline: stages is missing"},
      {"model: ../m\nstages: [{name: a, kind: test, version: latest}]", "model is '../m'"},
      {"model: m\nstages: [{name: a, kind: train}]",
       "pipeline:2:17: stages[0] of kind 'train' needs 'command'"},
      {"model: m\nstages: [{name: a, kind: test, version: latest, command: judge}]",
       "stages[0].command does not belong to a stage of kind 'test'"},
      {"model: m\nstages: [{name: a, kind: test}]", "no stage 'register' comes before it"},
      {"model: m\nstages: [{name: a, kind: release}]", "no stage 'register' comes before it"},
      {"model: m\nstages: [{name: a, kind: retire, version: run}]", "no stage 'register' comes before it"},
      {"model: m\nstages: [{name: a, kind: release, version: parent}]", "can't be parent"},
      {"model: m\nstages: [{name: a, kind: register}]", "none comes before it"},
      {"model: m\nstages: [{name: a, kind: register}, {name: b, kind: train, command: trainer}]",
       "none comes before it"},
      {"model: m\nstages: [{name: a, kind: train, command: trainer}, {name: b, kind: register}, {name: c, "
       "kind: "
       "register}]",
       "as a stage before it has done"},
      {"model: m\nstages: [{name: a, kind: test, version: latest}, {name: a, kind: test, version: latest}]",
       "'a' is another stage's, too"},
      {"model: m\nstages: [{name: 'a/b', kind: test, version: latest}]", "stages[0].name is 'a/b'"},
      {"model: m\nstages: [{name: a, kind: release, version: latest, strategy: ab}]",
       "must be canary or blue_green"},
      {"model: m\nstages: [{name: a, kind: release, version: latest, steps: [50, 20, 100]}]", "must grow"},
      {"model: m\nstages: [{name: a, kind: release, version: latest, steps: [5, 50]}]",
       "must end with 100, not 50"},
      {"model: m\nstages: [{name: a, kind: train, command: trainer, metrics: [a-b]}]", "no metric's name"},
      {"model: m\ntriggers: [{kind: schedule}]\nstages: [{name: a, kind: test, version: latest}]",
       "needs 'cron'"},
      {"model: m\ntriggers: [{kind: data, period: 5m}]\nstages: [{name: a, kind: test, version: latest}]",
       "triggers[0].period does not belong to a trigger 'data'"},
      {"model: m\ntriggers: [{kind: every, period: 5m, key: x}]\nstages: [{name: a, kind: test, version: "
       "latest}]",
       "triggers[0].key does not belong"},
  };
  for (const Case& one : cases) EXPECT_THAT(Wrong(one.text), HasSubstr(one.wrong)) << one.text;
  EXPECT_THAT(Wrong("model: m\ntriggers: [{kind: schedule, cron: '61 * * * *'}]\nstages: [{name: a, kind: "
                    "test, version: "
                    "latest}]"),
              HasSubstr("pipeline_schedule: pipeline:2:35: triggers[0].cron is wrong"));
}

TEST(Pipeline, GatesAskForMetricsThatAStageHasGiven) {
  const std::string two =
      "  - {name: a, kind: train, command: trainer, metrics: [auc], gates: ['%']}\n"
      "  - {name: b, kind: evaluate, command: judge, metrics: [loss]}\n";
  const auto with = [&](const std::string& gate) {
    std::string text = WithStages(two);
    text.replace(text.find('%'), 1, gate);
    return Wrong(text);
  };
  EXPECT_EQ(with("auc >= 0.9"), "ok");
  EXPECT_EQ(with("auc > parent.auc * 1.05 + 1e-3"), "ok");
  EXPECT_EQ(with("auc > parent.other"), "ok");  // What the version before has, only the run can say.
  EXPECT_EQ(with("auc <= auc - 1"), "ok");
  EXPECT_THAT(with("loss < 1"), HasSubstr("pipeline_gate: pipeline:3:"));
  EXPECT_THAT(with("loss < 1"), HasSubstr("which only a later stage gives"));
  EXPECT_THAT(with("auc < loss"), HasSubstr("which only a later stage gives"));
  EXPECT_THAT(with("f1 > 0"), HasSubstr("which no stage gives"));
  for (const char* gate :
       {"", "auc", "auc >=", "auc = 1", "auc == 1", "auc >= high", "0.9 <= auc", "auc >= 1 2", "auc >= nan",
        "auc >= inf", "auc >= parent.", "auc >= parent.auc -", "auc >= parent.auc - x",
        "auc >= parent.auc - 1 * 2", "auc>=0.9", "auc >= parent.auc + -1"}) {
    EXPECT_THAT(with(gate), HasSubstr("pipeline_gate")) << gate;
  }
}

TEST(Pipeline, OnlyWhatTheOperatorAllowsIsTaken) {
  const auto train = [](const std::string& more) {
    return Wrong(WithStages("  - {name: a, kind: train, " + more + "}"));
  };
  EXPECT_EQ(train("command: trainer, arguments: [a, b, c, d], environment: {EPOCHS: 1}"), "ok");
  EXPECT_THAT(train("command: sh"), HasSubstr("pipeline_command: pipeline:3:"));
  EXPECT_THAT(train("command: sh"), HasSubstr("'sh' is not allowed here"));
  EXPECT_THAT(train("command: trainer, arguments: [a, b, c, d, e]"),
              HasSubstr("are 5; 'trainer' takes 4 at most"));
  EXPECT_THAT(train("command: judge, arguments: [a]"), HasSubstr("are 1; 'judge' takes 0 at most"));
  EXPECT_THAT(train("command: trainer, environment: {LD_PRELOAD: x}"),
              HasSubstr("stages[0].environment.LD_PRELOAD can't be set"));
  EXPECT_THAT(train("command: trainer, time_limit: 3h"), HasSubstr("is 3h; 'trainer' may take 2h at most"));
  EXPECT_THAT(Wrong(kWhole, {}), HasSubstr("pipeline_command"));
  EXPECT_TRUE(ParseKeptSpec(kWhole).ok());  // Kept before the operator thought otherwise.
}

constexpr const char* kTemplate = R"(
description: Of many
parameters:
  model: {kind: name, example: churn}
  floor: {kind: number, default: 0.9}
  every: {kind: duration, default: 6h}
  data: {kind: text, default: "s3://all"}
pipeline: |
  model: ${model}
  triggers: [{kind: every, period: "${every}"}]
  stages:
    - {name: train, kind: train, command: trainer, arguments: [--data, "${data}/${model}"], metrics: [auc], gates: [auc >= ${floor}]}
)";

PipelineDocument Template(const char* text = kTemplate) {
  auto document = ParsePipeline(text, Rules());
  EXPECT_TRUE(document.ok()) << document.error().ToString();
  return document.ok() ? *document : PipelineDocument();
}

TEST(Pipeline, ATemplateServesManyModels) {
  const PipelineDocument of = Template();
  EXPECT_EQ(of.kind, PipelineDocument::Kind::kTemplate);
  for (int i = 0; i < 300; ++i) {
    const std::string model = "model-" + std::to_string(i);
    const auto text = Expand(of, {{"model", model}, {"floor", "0." + std::to_string(100 + i)}}, "many");
    ASSERT_TRUE(text.ok()) << text.error().ToString();
    const auto spec = ParseSpec(*text, "many", Rules());
    ASSERT_TRUE(spec.ok()) << spec.error().ToString();
    EXPECT_EQ(spec->model, model);
    EXPECT_EQ(spec->stages[0].arguments[1], "s3://all/" + model);
    EXPECT_DOUBLE_EQ(spec->stages[0].gates[0].offset, (100 + i) / 1000.0);
    EXPECT_EQ(spec->triggers[0].period, hours(6));
  }
}

TEST(Pipeline, ParametersAreTypedAndNoneIsMissingOrUnknown) {
  const PipelineDocument of = Template();
  const auto wrong = [&](const std::map<std::string, std::string>& values) {
    const auto text = Expand(of, values, "many");
    return text.ok() ? "ok" : std::string(text.error().reason()) + ": " + text.error().message();
  };
  EXPECT_EQ(wrong({}), "pipeline_template: with.model is missing: the template 'many' needs it");
  EXPECT_EQ(wrong({{"model", "a"}, {"modell", "b"}}),
            "pipeline_template: with.modell: the template 'many' has no such parameter");
  EXPECT_THAT(wrong({{"model", "a b"}}), HasSubstr("the parameter 'model' is 'a b': it must be a name"));
  EXPECT_THAT(wrong({{"model", "a"}, {"floor", "high"}}), HasSubstr("it must be a number"));
  EXPECT_THAT(wrong({{"model", "a"}, {"every", "often"}}), HasSubstr("it must be a duration"));
}

TEST(Pipeline, NoValueChangesHowTheTextAroundItIsRead) {
  const PipelineDocument of = Template();
  for (const char* value : {"a\nstages: []", "a, b", "a: b", "a:", "x\"",  "x'",       "[a]",  "{a: b}",
                            "# c",           "- a",  "&a",   "*a", "!a",   "|",        ">",    "a #b",
                            "${model}",      " a",   "a ",   "",   "\x01", "\xc3\xa9", "a\\n", "`a`",
                            "$(a)",          "a;b"}) {
    EXPECT_FALSE(Expand(of, {{"model", "m"}, {"data", value}}, "many").ok()) << value;
  }
  for (const char* value : {"s3://bucket/x-1_2.parquet", "/data/a b", "a=b", "v1:2", "50%", "a@b"}) {
    const auto text = Expand(of, {{"model", "m"}, {"data", value}}, "many");
    ASSERT_TRUE(text.ok()) << value;
    const auto spec = ParseSpec(*text, "many", Rules());
    ASSERT_TRUE(spec.ok()) << value << spec.error().ToString();
    EXPECT_EQ(spec->stages[0].arguments[1], std::string(value) + "/m");
    EXPECT_EQ(spec->stages.size(), 1U);
  }
  EXPECT_FALSE(Expand(of, {{"model", "m"}, {"data", std::string(513, 'a')}}, "many").ok());
}

TEST(Pipeline, TemplatesAreCheckedWhenTheyArePut) {
  const std::string good = kTemplate;
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return Wrong(text);
  };
  EXPECT_EQ(Wrong(good), "ok");
  EXPECT_THAT(with("${every}", "6h"), HasSubstr("pipeline_template: the parameter 'every' is not used"));
  EXPECT_THAT(with("${every}", "${often}"),
              HasSubstr("uses '${often}', which 'parameters' does not declare"));
  EXPECT_THAT(with("default: 0.9", "default: high"), HasSubstr("it must be a number"));
  EXPECT_THAT(with("{kind: name, example: churn}", "{kind: name}"),
              HasSubstr("needs a 'default', or an 'example'"));
  EXPECT_THAT(with("kind: number", "kind: code"), HasSubstr("pipeline_yaml"));
  EXPECT_THAT(with("command: trainer", "command: sh"), HasSubstr("pipeline_command: template:4:41:"));
  EXPECT_THAT(with("${floor}", "${floor"), HasSubstr("pipeline_template"));
  EXPECT_THAT(with("  model: ${model}\n", "  model: ${model}\n  template: other\n"),
              HasSubstr("pipeline_template"));
  EXPECT_THAT(Wrong("template: a\nwith: {}\nstages: []"), HasSubstr("comes from the template"));
  EXPECT_THAT(Wrong("template: a\nparameters: {x: {kind: name, example: a}}\npipeline: a"),
              HasSubstr("a text has either"));
  EXPECT_THAT(Wrong("with: {a: b}"), HasSubstr("'with' needs 'template'"));
  EXPECT_THAT(Wrong("pipeline: a"), HasSubstr("declares 'parameters'"));
  std::string bomb = "parameters: {a: {kind: text, default: " + std::string(500, 'a') + "}}\npipeline: |\n  ";
  for (int i = 0; i < 1000; ++i) bomb += "${a}";
  EXPECT_THAT(Wrong(bomb), HasSubstr("would grow beyond 131072 bytes"));
}

TEST(Pipeline, GatesAreJudgedByNumbersThatAreThere) {
  using V = GateOutcome::Verdict;
  const auto judge = [](const char* gate, std::map<std::string, double> metrics,
                        std::optional<std::map<std::string, double>> parent) {
    return Judge(MetricGate::Parse(gate).value(), metrics, parent ? &*parent : nullptr).verdict;
  };
  EXPECT_EQ(judge("auc >= 0.9", {{"auc", 0.9}}, {}), V::kPassed);
  EXPECT_EQ(judge("auc > 0.9", {{"auc", 0.9}}, {}), V::kFailed);
  EXPECT_EQ(judge("auc < 0.9", {{"auc", 0.9}}, {}), V::kFailed);
  EXPECT_EQ(judge("auc <= 0.9", {{"auc", 0.9}}, {}), V::kPassed);
  EXPECT_EQ(judge("auc >= 0.9", {}, {}), V::kFailed);
  EXPECT_EQ(judge("auc >= parent.auc - 0.01", {{"auc", 0.895}}, {{{"auc", 0.9}}}), V::kPassed);
  EXPECT_EQ(judge("auc >= parent.auc - 0.01", {{"auc", 0.88}}, {{{"auc", 0.9}}}), V::kFailed);
  EXPECT_EQ(judge("auc >= parent.auc", {{"auc", 0.88}}, {{}}), V::kFailed);  // It has no such metric.
  EXPECT_EQ(judge("auc >= parent.auc", {{"auc", 0.88}}, {}), V::kSkipped);   // Nothing served.
  EXPECT_EQ(judge("time <= parent.time * 1.1", {{"time", 1.2}}, {{{"time", 1}}}), V::kFailed);
  EXPECT_EQ(judge("nan_like <= 1", {{"nan_like", 2}}, {}), V::kFailed);
}

TEST(Pipeline, APeriodStaysOnItsGridAndWhatWasMissedComesOnce) {
  TriggerSpec every{.kind = TriggerKind::kEvery, .period = hours(6)};
  const WallTime start{hours(100)};
  EXPECT_EQ(every.Next(start, start), start + hours(6));
  EXPECT_EQ(every.Next(start, start + hours(5)), start + hours(6));
  EXPECT_EQ(every.Next(start + hours(6), start + hours(31)), start + hours(36));
}

TEST(Pipeline, ItsSchemaIsSound) {
  const auto sound = config::CheckSchema<internal::PipelineText>();
  EXPECT_TRUE(sound.ok()) << sound.error().ToString();
}

}  // namespace
}  // namespace mezzo::lifecycle
