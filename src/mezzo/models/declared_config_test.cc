#include "mezzo/models/declared_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/models/config_json.h"

namespace mezzo::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

DeclaredConfig Pbtxt(std::string_view text) {
  auto declared = ParseConfigPbtxt(text, "config.pbtxt");
  EXPECT_TRUE(declared.ok()) << (declared.ok() ? "" : declared.error().ToString());
  return declared.ok() ? *declared : DeclaredConfig();
}
std::string PbtxtError(std::string_view text) {
  const auto declared = ParseConfigPbtxt(text, "config.pbtxt");
  return declared.ok() ? "accepted" : declared.error().message();
}
DeclaredConfig Yaml(std::string_view text) {
  auto declared = ParseModelYaml(text, "model.yaml");
  EXPECT_TRUE(declared.ok()) << (declared.ok() ? "" : declared.error().ToString());
  return declared.ok() ? *declared : DeclaredConfig();
}
std::string YamlError(std::string_view text) {
  const auto declared = ParseModelYaml(text, "model.yaml");
  return declared.ok() ? "accepted" : declared.error().message();
}

constexpr std::string_view kFull = R"(
name: "resnet"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, 224, -1 ] } ]
output [
  { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { shape: [ ] } label_filename: "labels.txt" }
]
version_policy { specific { versions: [ 1, 3 ] } }
instance_group [ { count: 2 kind: KIND_CPU }, { kind: KIND_CPU } ]
dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 100
  priority_levels: 5
  default_priority_level: 2
  default_queue_policy { default_timeout_microseconds: 2000 allow_timeout_override: true max_queue_size: 64 }
}
default_model_filename: "resnet.onnx"
parameters { key: "team" value: { string_value: "vision" } }
model_warmup [ {
  name: "w" batch_size: 4 count: 3
  inputs { key: "x" value: { data_type: TYPE_FP32 dims: [ 3, 224, 224 ] random_data: true } }
} ]
metric_tags { key: "a" value: "b" }
optimization { graph { level: 1 } input_pinned_memory { enable: true } eager_batching: true }
)";

TEST(ConfigPbtxt, ReadsWhatMezzoHas) {
  const DeclaredConfig declared = Pbtxt(kFull);
  const ModelConfig& c = declared.config;

  EXPECT_TRUE(declared.has_max_batch_size);
  EXPECT_EQ(c.max_batch_size, 8);
  ASSERT_THAT(c.inputs, SizeIs(1));
  EXPECT_EQ(c.inputs[0].shape, (tensor::Shape{-1, 3, 224, -1}));
  ASSERT_THAT(c.outputs, SizeIs(1));
  EXPECT_EQ(c.outputs[0].dtype, tensor::DType::kBytes);
  EXPECT_EQ(c.outputs[0].shape, (tensor::Shape{-1, 1}));
  EXPECT_EQ(c.outputs[0].engine_shape, (tensor::Shape{-1}));
  EXPECT_EQ(c.outputs[0].label_file, "labels.txt");
  EXPECT_EQ(c.version_policy.kind, VersionPolicy::Kind::kSpecific);
  EXPECT_THAT(c.version_policy.versions, ElementsAre(1, 3));
  EXPECT_EQ(c.instances, 3);
  EXPECT_TRUE(c.dynamic_batching);
  EXPECT_THAT(c.preferred_batch_sizes, ElementsAre(4, 8));
  EXPECT_EQ(c.max_queue_delay, std::chrono::microseconds(100));
  EXPECT_EQ(c.priority_levels, 5U);
  EXPECT_EQ(c.default_priority, 2U);
  EXPECT_EQ(c.default_queue_timeout, std::chrono::milliseconds(2));
  EXPECT_TRUE(c.allow_timeout_override);
  EXPECT_EQ(c.max_queued, 64U);
  EXPECT_EQ(c.file, "resnet.onnx");
  EXPECT_EQ(c.parameters.at("team"), "vision");
  ASSERT_THAT(c.warmup, SizeIs(1));
  EXPECT_EQ(c.warmup[0].count, 3);
  EXPECT_THAT(c.warmup[0].input_dims.at("x"), ElementsAre(3, 224, 224));
  EXPECT_TRUE(c.warmup[0].random_inputs.contains("x"));
  EXPECT_EQ(c.optimization_level, 1);
}

TEST(ConfigPbtxt, WithoutDynamicBatchingRequestsAreNotMerged) {
  EXPECT_FALSE(Pbtxt("max_batch_size: 8").config.dynamic_batching);
  EXPECT_TRUE(Pbtxt("max_batch_size: 8 dynamic_batching { }").config.dynamic_batching);
}

TEST(ConfigPbtxt, AZeroThatIsWrittenDiffersFromOneThatIsNot) {
  EXPECT_TRUE(Pbtxt("max_batch_size: 0").has_max_batch_size);
  EXPECT_FALSE(Pbtxt("").has_max_batch_size);
}

TEST(ConfigPbtxt, ChoosesProvidersByDeviceAndAccelerator) {
  const auto gpu = Pbtxt("instance_group { kind: KIND_GPU gpus: 1 }").config.providers;
  ASSERT_THAT(gpu, SizeIs(1));
  EXPECT_EQ(gpu[0].name, "cuda");
  EXPECT_THAT(gpu[0].options, ElementsAre(std::pair<std::string, std::string>("device_id", "1")));

  const auto openvino = Pbtxt(R"(instance_group { kind: KIND_CPU }
    optimization { execution_accelerators { cpu_execution_accelerator { name: "openvino" } } })")
                            .config.providers;
  ASSERT_THAT(openvino, SizeIs(2));
  EXPECT_EQ(openvino[0].name, "openvino");
  EXPECT_EQ(openvino[1].name, "cpu");
}

struct Refused {
  const char* text;
  const char* message;
};

TEST(ConfigPbtxt, NamesFieldAndLineOfWhatItLacks) {
  const Refused cases[] = {
      {"name: 'm'\n\nsequence_batching { }", "config.pbtxt:3: sequence_batching is not supported"},
      {"\nensemble_scheduling { }", "config.pbtxt:2: ensemble_scheduling is not supported"},
      {"model_transaction_policy {\n decoupled: true }",
       "config.pbtxt:1: model_transaction_policy: decoupled is not supported"},
      {"response_cache { enable: true }", "config.pbtxt:1: response_cache is not supported"},
      {"backend: 'python'", "config.pbtxt:1: backend 'python' is not supported; Mezzo runs 'onnxruntime'"},
      {"platform: 'tensorrt_plan'",
       "config.pbtxt:1: platform 'tensorrt_plan' is not supported; Mezzo runs 'onnxruntime_onnx'"},
      {"instance_group {\n kind: KIND_MODEL }",
       "config.pbtxt:2: instance_group: kind KIND_MODEL is not supported"},
      {"instance_group { kind: KIND_CPU }\ninstance_group { kind: KIND_GPU }",
       "config.pbtxt:2: instance_group: groups on different devices is not supported"},
      {"batch_input { kind: BATCH_ELEMENT_COUNT }", "config.pbtxt:1: batch_input is not supported"},
      {"optimization { cuda { graphs: true } }",
       "config.pbtxt:1: optimization: cuda graphs is not supported"},
      {"optimization { graph { level: 2 } }",
       "config.pbtxt:1: optimization: graph level 2 is not supported (-1: basic, 1: extended, 0: all)"},
      {"dynamic_batching {\n preserve_ordering: true }",
       "config.pbtxt:2: preserve_ordering is not supported"},
      {"dynamic_batching { default_queue_policy {\n timeout_action: DELAY } }",
       "config.pbtxt:2: default_queue_policy: timeout_action DELAY is not supported"},
      {"input { name: 'x' data_type: TYPE_FP32 dims: 1\n is_shape_tensor: true }",
       "config.pbtxt:2: input 'x': is_shape_tensor is not supported"},
      {"input { name: 'x' data_type: TYPE_FP32 dims: 1 allow_ragged_batch: true }",
       "config.pbtxt:1: input 'x': allow_ragged_batch is not supported; model.yaml's 'batching.ragged: pad' "
       "may "
       "serve"},
      {"model_warmup {\n name: 'w'\n inputs { key: 'x' value { input_data_file: '../../etc/passwd' } } }",
       "config.pbtxt:1: model_warmup 'w': input_data_file is not supported; use zero_data or random_data"},
      {"cc_model_filenames { key: '7.5' value: 'a' }",
       "config.pbtxt: cc_model_filenames is not supported; use default_model_filename"},
  };
  for (const Refused& c : cases) EXPECT_EQ(PbtxtError(c.text), c.message);
  EXPECT_EQ(ParseConfigPbtxt(cases[0].text, "config.pbtxt").error().code(), Code::kUnimplemented);
}

TEST(ConfigPbtxt, NamesWhatIsWrong) {
  const Refused cases[] = {
      {"max_batch_size: -1", "config.pbtxt:1: max_batch_size is -1; it must not be negative"},
      {"max_batch_size: 70000", "config.pbtxt: max_batch_size is 70000; it must be between 0 and 65536"},
      {"input { name: 'x' data_type: TYPE_FP32\n dims: 0 }",
       "config.pbtxt:2: input 'x': dims has the dimension 0; it must be at least 1, or -1 where it varies"},
      {"input { name: 'x' dims: 1 }", "config.pbtxt:1: input 'x' must have a data_type"},
      {"input { name: 'x' data_type: TYPE_FP32 dims: 1 }\ninput { name: 'x' data_type: TYPE_FP32 dims: 1 }",
       "config.pbtxt: input 'x' is there twice"},
      {"output { name: 'y' data_type: TYPE_FP32 dims: 4 reshape { shape: [ 3 ] } }",
       "config.pbtxt:1: output 'y': reshape [3] does not have as many elements as dims [4]"},
      {"output { name: 'y' data_type: TYPE_FP32 dims: 4 label_filename: '../secret' }",
       "config.pbtxt: output 'y': the label file '../secret' must be a path of plain names below the model's "
       "folder"},
      {"default_model_filename: '../other/model.onnx'",
       "config.pbtxt: the model file '../other/model.onnx' must be a plain file name"},
      {"version_policy { latest { num_versions: 0 } }",
       "config.pbtxt:1: version_policy: latest must have num_versions of at least 1"},
      {"version_policy { specific { } }", "config.pbtxt: the version policy 'specific' names no version"},
      {"max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 }",
       "config.pbtxt: the preferred batch size 8 is above max_batch_size 4"},
      {"dynamic_batching { priority_levels: 2 default_priority_level: 3 }",
       "config.pbtxt: the default priority level 3 is not one of the 2 priority levels"},
  };
  for (const Refused& c : cases) EXPECT_EQ(PbtxtError(c.text), c.message);
}

TEST(ConfigPbtxt, SyntaxErrorsHaveLineAndColumn) {
  EXPECT_THAT(PbtxtError("name: \"m\"\nmax_batch: 3"), HasSubstr("config.pbtxt:2:10: "));
  EXPECT_THAT(PbtxtError("name: \"m\"\nmax_batch: 3"), HasSubstr("max_batch"));
  EXPECT_THAT(PbtxtError("max_batch_size: 'four'"), HasSubstr("config.pbtxt:1:17: "));
}

TEST(ConfigPbtxt, BoundsSizeAndDepth) {
  EXPECT_THAT(PbtxtError(std::string(ConfigLimits::kMaxFileBytes + 1, ' ')), HasSubstr("the limit is 1 MiB"));
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "optimization {";
  EXPECT_NE(PbtxtError(deep), "accepted");
}

TEST(ConfigJson, ReadsTritonsAndProtobufsNames) {
  const auto a = ParseConfigJson(R"({"max_batch_size": 4, "input": [{"name": "x", "data_type": "TYPE_INT64",
      "dims": [-1, "7"]}]})",
                                 "config");
  const auto b = ParseConfigJson(R"({"maxBatchSize": 4})", "config");

  ASSERT_TRUE(a.ok()) << a.error().ToString();
  EXPECT_EQ(a->config.inputs[0].shape, (tensor::Shape{-1, -1, 7}));
  ASSERT_TRUE(b.ok());
  EXPECT_EQ(b->config.max_batch_size, 4);
  EXPECT_TRUE(ParseConfigJson(R"({"max_batch_size": 0})", "config")->has_max_batch_size);
  EXPECT_FALSE(ParseConfigJson(R"({"backend": "onnxruntime"})", "config")->has_max_batch_size);
}

TEST(ConfigJson, RefusesWhatItCannotUse) {
  const auto error = [](std::string_view text) { return ParseConfigJson(text, "config").error().message(); };
  EXPECT_THAT(error("{"), HasSubstr("config: "));
  EXPECT_THAT(error("[]"), HasSubstr("config: the configuration must be a JSON object"));
  EXPECT_THAT(error(R"({"max_batch": 1})"), HasSubstr("max_batch"));
  EXPECT_THAT(error(R"({"sequence_batching": {}})"), HasSubstr("config: sequence_batching is not supported"));
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_THAT(error(deep), HasSubstr("nests deeper than 32 levels"));
}

TEST(ConfigToJson, SaysWhatTritonsClientsRead) {
  ModelConfig c = Pbtxt(kFull).config;
  c.platform = "onnxruntime_onnx";
  const auto json = nlohmann::json::parse(ConfigToJson(c));

  EXPECT_EQ(json["name"], "resnet");
  EXPECT_EQ(json["platform"], "onnxruntime_onnx");
  EXPECT_EQ(json["backend"], "onnxruntime");
  EXPECT_EQ(json["max_batch_size"], 8);
  EXPECT_EQ(json["version_policy"]["specific"]["versions"], nlohmann::json({1, 3}));
  EXPECT_EQ(json["input"][0]["data_type"], "TYPE_FP32");
  EXPECT_EQ(json["input"][0]["dims"], nlohmann::json({3, 224, -1}));
  EXPECT_EQ(json["input"][0]["format"], "FORMAT_NONE");
  EXPECT_EQ(json["input"][0]["optional"], false);
  EXPECT_EQ(json["output"][0]["label_filename"], "labels.txt");
  EXPECT_THAT(json["batch_input"], IsEmpty());
  EXPECT_EQ(json["instance_group"][0]["kind"], "KIND_CPU");
  EXPECT_EQ(json["instance_group"][0]["count"], 3);
  EXPECT_EQ(json["dynamic_batching"]["max_queue_delay_microseconds"], 100);
  EXPECT_EQ(json["default_model_filename"], "resnet.onnx");
  EXPECT_EQ(json["parameters"]["team"]["string_value"], "vision");
  EXPECT_FALSE(json.contains("sequence_batching"));
}

TEST(ConfigToJson, ComesBackTheSame) {
  const ModelConfig c = Pbtxt(kFull).config;
  const auto again = ParseConfigJson(ConfigToJson(c), "config");

  ASSERT_TRUE(again.ok()) << again.error().ToString();
  EXPECT_EQ(ConfigToJson(again->config), ConfigToJson(c));
  EXPECT_EQ(again->config.warmup[0].random_inputs, c.warmup[0].random_inputs);
  EXPECT_EQ(again->config.outputs[0].engine_shape, c.outputs[0].engine_shape);
}

TEST(ModelYaml, ReadsEveryField) {
  const DeclaredConfig declared = Yaml(R"(
name: m
file: net.onnx
versions: {policy: latest, count: 2}
instances: 2
batching:
  max_batch_size: 16
  dynamic: false
  max_queue_delay: 2ms
  preferred_sizes: [4, 8]
  ragged: pad
class: interactive
weight: 2.5
deadline: 250ms
queue: {max_requests: 100, timeout: 1s, allow_timeout_override: false}
priorities: {levels: 3, default_level: 2}
providers:
  - name: openvino
    options: {device_type: CPU}
  - name: cpu
optimization_level: 1
fixed_dims: {seq: 128}
warmup:
  runs:
    - {batch_size: 4, count: 2, dims: {x: [128]}, random: [x]}
pinned: true
evictable: false
memory: 90MB
inputs:
  - {name: x, datatype: INT64, shape: [-1, -1], optional: true}
outputs:
  - {name: y, datatype: FP16, shape: [-1, 10], labels: labels/en.txt}
parameters: {team: vision}
)");
  const ModelConfig& c = declared.config;

  EXPECT_TRUE(declared.has_max_batch_size);
  EXPECT_FALSE(declared.dims_may_exclude_batch);
  EXPECT_EQ(c.file, "net.onnx");
  EXPECT_EQ(c.version_policy.latest_count, 2);
  EXPECT_EQ(c.instances, 2);
  EXPECT_EQ(c.max_batch_size, 16);
  EXPECT_FALSE(c.dynamic_batching);
  EXPECT_EQ(c.max_queue_delay, std::chrono::milliseconds(2));
  EXPECT_EQ(c.ragged, RaggedPolicy::kPad);
  EXPECT_EQ(c.service_class, ServiceClass::kInteractive);
  EXPECT_EQ(c.weight, 2.5);
  EXPECT_EQ(c.default_deadline, std::chrono::milliseconds(250));
  EXPECT_EQ(c.max_queued, 100U);
  EXPECT_EQ(c.default_queue_timeout, std::chrono::seconds(1));
  EXPECT_FALSE(c.allow_timeout_override);
  EXPECT_EQ(c.priority_levels, 3U);
  ASSERT_THAT(c.providers, SizeIs(2));
  EXPECT_EQ(c.providers[0].name, "openvino");
  EXPECT_EQ(c.optimization_level, 1);
  EXPECT_EQ(c.fixed_dims.at(0), (std::pair<std::string, std::int64_t>("seq", 128)));
  EXPECT_THAT(c.warmup[0].input_dims.at("x"), ElementsAre(128));
  EXPECT_TRUE(c.warmup[0].random_inputs.contains("x"));
  EXPECT_TRUE(c.pinned);
  EXPECT_FALSE(c.evictable);
  EXPECT_EQ(c.memory_hint, 90'000'000U);
  EXPECT_EQ(c.inputs[0].dtype, tensor::DType::kInt64);
  EXPECT_TRUE(c.inputs[0].optional);
  EXPECT_EQ(c.outputs[0].label_file, "labels/en.txt");
  EXPECT_EQ(c.parameters.at("team"), "vision");
}

TEST(ModelYaml, LeavesBatchingToTheModelUnlessSaid) {
  EXPECT_FALSE(Yaml("weight: 2").has_max_batch_size);
  EXPECT_TRUE(Yaml("batching: {max_batch_size: 0}").has_max_batch_size);
  EXPECT_TRUE(Yaml("weight: 2").config.dynamic_batching);
}

TEST(ModelYaml, SaysHowAPythonModelsProcessesAreKept) {
  const ModelConfig c =
      Yaml("worker: {python: /venv/bin/python, memory_limit: 2GiB, run_timeout: 1h}").config;

  EXPECT_EQ(c.platform, kPythonPlatform);
  EXPECT_EQ(c.worker.python, "/venv/bin/python");
  EXPECT_EQ(c.worker.memory_limit, ByteCount{2} << 30U);
  EXPECT_EQ(c.worker.run_timeout, std::chrono::hours(1));
  EXPECT_EQ(c.worker.hang_timeout, engine::WorkerSettings().hang_timeout);
}

TEST(ModelYaml, NamesAnUpstream) {
  const ModelConfig c = Yaml(R"(
upstream:
  protocol: openai_images
  url: https://pictures.example:8443/api
  model: painter
  headers: {Authorization: 'Bearer env:UPSTREAM_KEY'}
  timeout: 3m
  retries: 0
)")
                            .config;

  EXPECT_EQ(c.platform, kRemotePlatform);
  EXPECT_EQ(c.upstream.protocol, engine::UpstreamProtocol::kOpenAiImages);
  EXPECT_EQ(c.upstream.url, "https://pictures.example:8443/api");
  EXPECT_EQ(c.upstream.model, "painter");
  EXPECT_EQ(c.upstream.headers.at(0).second, "Bearer env:UPSTREAM_KEY");
  EXPECT_EQ(c.upstream.timeout, std::chrono::minutes(3));
  EXPECT_EQ(c.upstream.retries, 0);
}

TEST(ModelYaml, HostingBelongsToItsPlatform) {
  EXPECT_THAT(YamlError("platform: remote"), HasSubstr("'upstream' belongs to the platform 'remote'"));
  EXPECT_THAT(YamlError("{platform: python, upstream: {url: 'http://h', model: m}}"),
              HasSubstr("'upstream' belongs to the platform 'remote'"));
  EXPECT_THAT(YamlError("{platform: onnxruntime_onnx, worker: {}}"),
              HasSubstr("'worker' belongs to the platform 'python'"));
  EXPECT_THAT(YamlError("upstream: {url: 'http://h'}"), HasSubstr("model"));
  EXPECT_THAT(YamlError("worker: {hang_timeout: 1ms}"), HasSubstr("hang_timeout"));
}

TEST(ModelYaml, SaysWhetherEqualCallsShareResults) {
  const CacheConfig none = Yaml("weight: 2").config.cache;
  EXPECT_EQ(none.mode, CacheMode::kOff);
  EXPECT_EQ(none.scope, CacheScope::kTenant);
  EXPECT_EQ(Yaml("cache: {mode: off}").config.cache.mode, CacheMode::kOff);
  EXPECT_EQ(Yaml("cache: {mode: single-flight}").config.cache.mode, CacheMode::kSingleFlight);

  const CacheConfig c = Yaml(R"(
cache:
  mode: exact
  ttl: 10m
  stale_while_revalidate: 30s
  max_entry: 4MiB
  scope: public
)")
                            .config.cache;
  EXPECT_EQ(c.mode, CacheMode::kExact);
  EXPECT_EQ(c.ttl, std::chrono::minutes(10));
  EXPECT_EQ(c.stale_while_revalidate, std::chrono::seconds(30));
  EXPECT_EQ(c.max_entry, ByteCount{4} << 20);
  EXPECT_EQ(c.scope, CacheScope::kPublic);
  EXPECT_FALSE(c.shared);
  EXPECT_TRUE(Yaml("cache: {mode: exact, ttl: 1s, shared: true}").config.cache.shared);
  EXPECT_EQ(Yaml("cache: {mode: exact, ttl: 1s}").config.cache.max_entry, ByteCount{1} << 20);
}

TEST(ModelYaml, RefusesACacheThatMakesNoSense) {
  EXPECT_THAT(YamlError("cache: {mode: exact}"), HasSubstr("cache needs a 'ttl' with the mode 'exact'"));
  EXPECT_THAT(YamlError("cache: {mode: exact, ttl: 0s}"), HasSubstr("cache.ttl"));
  EXPECT_THAT(YamlError("cache: {mode: exact, ttl: 721h}"), HasSubstr("cache.ttl"));
  EXPECT_THAT(YamlError("cache: {mode: sometimes}"), HasSubstr("single-flight"));
  EXPECT_THAT(YamlError("cache: {ttl: 1s}"), HasSubstr("has a 'ttl', which needs the mode 'exact'"));
  EXPECT_THAT(YamlError("cache: {mode: single-flight, stale_while_revalidate: 1s}"),
              HasSubstr("has 'stale_while_revalidate'"));
  EXPECT_THAT(YamlError("cache: {mode: single-flight, max_entry: 1KiB}"), HasSubstr("has 'max_entry'"));
  EXPECT_THAT(YamlError("cache: {mode: single-flight, shared: true}"), HasSubstr("has 'shared'"));
  EXPECT_THAT(YamlError("cache: {scope: public}"), HasSubstr("has the scope 'public'"));
  EXPECT_THAT(
      YamlError("{cache: {mode: single-flight}, upstream: {protocol: openai_images, url: 'http://h', "
                "model: m}}"),
      HasSubstr("cache.mode is 'single-flight', which the upstream protocol 'openai_images' can't have"));
}

TEST(ModelYaml, NamesWhatIsWrong) {
  EXPECT_THAT(YamlError("batching:\n  max_batchsize: 3"), HasSubstr("model.yaml:2:3"));
  EXPECT_THAT(YamlError("batching:\n  max_batchsize: 3"), HasSubstr("max_batch_size"));
  EXPECT_THAT(YamlError("instances: -1"), HasSubstr("instances"));
  EXPECT_THAT(YamlError("class: fast"), HasSubstr("interactive"));
  EXPECT_THAT(YamlError("file: ../x.onnx"),
              HasSubstr("the model file '../x.onnx' must be a plain file name"));
  EXPECT_THAT(YamlError("inputs: [{name: x, datatype: FLOAT, shape: [1]}]"),
              HasSubstr("inputs.0.datatype is 'FLOAT', which is no element type"));
  EXPECT_THAT(YamlError("platform: tensorrt_plan"), HasSubstr("platform 'tensorrt_plan' is not supported"));
  EXPECT_THAT(YamlError("versions: {policy: specific}"),
              HasSubstr("needs a 'list' with the policy 'specific'"));
  EXPECT_THAT(YamlError("fixed_dims: {seq: 0}"), HasSubstr("the fixed dimension 'seq' is 0"));
}

}  // namespace
}  // namespace mezzo::models
