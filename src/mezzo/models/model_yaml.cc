#include <algorithm>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/config/load.h"
#include "mezzo/config/schema.h"
#include "mezzo/models/declared_config.h"

namespace mezzo::models::yaml {

// The file as it is written; Translate() below makes a ModelConfig of it. docs/models.md explains every key.

enum class PolicyKind : std::uint8_t { kLatest, kAll, kSpecific };

struct Versions {
  PolicyKind policy = PolicyKind::kLatest;
  std::int64_t count = 1;
  std::vector<std::int64_t> list;
};
struct Batching {
  std::optional<std::int64_t> max_batch_size;
  bool dynamic = true;
  Duration max_queue_delay{};
  std::vector<std::int64_t> preferred_sizes;
  RaggedPolicy ragged = RaggedPolicy::kSeparate;
};
struct Queue {
  std::uint64_t max_requests = 0;
  std::optional<Duration> timeout;
  bool allow_timeout_override = true;
};
struct Priorities {
  std::uint64_t levels = 0;
  std::uint64_t default_level = 0;
};
struct Provider {
  std::string name;
  std::map<std::string, std::string> options;
};
struct TensorEntry {
  std::string name;
  std::string datatype;
  std::vector<std::int64_t> shape;
  bool optional = false;
};
struct OutputEntry {
  std::string name;
  std::string datatype;
  std::vector<std::int64_t> shape;
  std::string labels;
};
struct WarmupRun {
  std::string name;
  std::int64_t batch_size = 1;
  std::int64_t count = 1;
  std::map<std::string, std::vector<std::int64_t>> dims;
  std::vector<std::string> random;
};
struct Warmup {
  bool automatic = true;
  std::vector<WarmupRun> runs;
};
struct Upstream {
  engine::UpstreamProtocol protocol = engine::UpstreamProtocol::kV2;
  std::string url;
  std::string model;
  std::string version;
  std::map<std::string, std::string> headers;
  Duration timeout = engine::Upstream().timeout;
  std::int64_t retries = engine::Upstream().retries;
};
struct Worker {
  std::string python;
  config::ByteSize memory_limit;
  Duration start_timeout = engine::WorkerSettings().start_timeout;
  Duration run_timeout = engine::WorkerSettings().run_timeout;
  Duration hang_timeout = engine::WorkerSettings().hang_timeout;
  Duration cancel_grace = engine::WorkerSettings().cancel_grace;
};
struct Cache {
  CacheMode mode = CacheMode::kOff;
  std::optional<Duration> ttl;
  std::optional<Duration> stale_while_revalidate;
  std::optional<config::ByteSize> max_entry;
  CacheScope scope = CacheScope::kTenant;
  bool shared = false;
};
struct File {
  std::string name;
  std::string platform;
  std::string file;
  Versions versions;
  std::int64_t instances = 0;
  Batching batching;
  ServiceClass service_class = ServiceClass::kStandard;
  double weight = 1.0;
  std::optional<Duration> deadline;
  Queue queue;
  Priorities priorities;
  std::vector<Provider> providers;
  std::int64_t optimization_level = 2;
  std::map<std::string, std::int64_t> fixed_dims;
  Warmup warmup;
  Cache cache;
  bool pinned = false;
  bool evictable = true;
  config::ByteSize memory;
  std::vector<TensorEntry> inputs;
  std::vector<OutputEntry> outputs;
  std::map<std::string, std::string> parameters;
  std::optional<Worker> worker;
  std::optional<Upstream> upstream;
};

}  // namespace mezzo::models::yaml

namespace mezzo::config {

namespace yaml = models::yaml;
using std::chrono::hours;
using Limits = models::ConfigLimits;

template <>
struct EnumNames<yaml::PolicyKind> {
  static constexpr EnumName<yaml::PolicyKind> kNames[] = {{yaml::PolicyKind::kLatest, "latest"},
                                                          {yaml::PolicyKind::kAll, "all"},
                                                          {yaml::PolicyKind::kSpecific, "specific"}};
};
template <>
struct EnumNames<models::RaggedPolicy> {
  static constexpr EnumName<models::RaggedPolicy> kNames[] = {{models::RaggedPolicy::kSeparate, "separate"},
                                                              {models::RaggedPolicy::kPad, "pad"}};
};
template <>
struct EnumNames<models::ServiceClass> {
  static constexpr EnumName<models::ServiceClass> kNames[] = {
      {models::ServiceClass::kInteractive, "interactive"},
      {models::ServiceClass::kStandard, "standard"},
      {models::ServiceClass::kBulk, "bulk"}};
};

template <>
struct EnumNames<models::CacheMode> {
  static constexpr EnumName<models::CacheMode> kNames[] = {
      {models::CacheMode::kOff, "off"},
      {models::CacheMode::kExact, "exact"},
      {models::CacheMode::kSingleFlight, "single-flight"}};
};
template <>
struct EnumNames<models::CacheScope> {
  static constexpr EnumName<models::CacheScope> kNames[] = {{models::CacheScope::kTenant, "tenant"},
                                                            {models::CacheScope::kPublic, "public"}};
};
template <>
struct EnumNames<engine::UpstreamProtocol> {
  static constexpr EnumName<engine::UpstreamProtocol> kNames[] = {
      {engine::UpstreamProtocol::kV2, "v2"}, {engine::UpstreamProtocol::kOpenAiImages, "openai_images"}};
};

template <>
struct Schema<yaml::Versions> {
  static auto Fields() {
    using C = yaml::Versions;
    return std::tuple{
        Field("policy", &C::policy, "Which version folders are served: the newest, all, or those listed."),
        Field("count", &C::count, "How many of the newest, with 'latest'.", Range(1, 1024)),
        Field("list", &C::list, "The versions, with 'specific'.", Length(0, Limits::kMaxVersions))};
  }
  static std::optional<std::string> Validate(const yaml::Versions& c) {
    const bool specific = c.policy == yaml::PolicyKind::kSpecific;
    if (specific && c.list.empty()) return "needs a 'list' with the policy 'specific'";
    if (!specific && !c.list.empty()) return "has a 'list', which needs the policy 'specific'";
    return std::nullopt;
  }
};
template <>
struct Schema<yaml::Batching> {
  static auto Fields() {
    using C = yaml::Batching;
    return std::tuple{
        Field("max_batch_size", &C::max_batch_size,
              "Most rows of a batch; 0: no batch dimension. By default the model's shapes decide.",
              Range(0, Limits::kMaxBatchSize)),
        Field("dynamic", &C::dynamic, "Whether requests share batches."),
        Field("max_queue_delay", &C::max_queue_delay, "Longest voluntary wait for a fuller batch.",
              Range(std::chrono::nanoseconds(0), std::chrono::nanoseconds(std::chrono::seconds(60)))),
        Field("preferred_sizes", &C::preferred_sizes, "Batch sizes that the model runs best with.",
              Length(0, 64)),
        Field("ragged", &C::ragged,
              "Requests of different shapes: batched separately, or padded with zeros.")};
  }
};
template <>
struct Schema<yaml::Queue> {
  static auto Fields() {
    using C = yaml::Queue;
    return std::tuple{Field("max_requests", &C::max_requests,
                            "Most waiting requests; 0: the server's default.", Range(0, 10'000'000)),
                      Field("timeout", &C::timeout, "Longest wait of a request in the queue.",
                            Range(std::chrono::nanoseconds(1), std::chrono::nanoseconds(hours(24)))),
                      Field("allow_timeout_override", &C::allow_timeout_override,
                            "Whether a request may say its own timeout.")};
  }
};
template <>
struct Schema<yaml::Priorities> {
  static auto Fields() {
    using C = yaml::Priorities;
    return std::tuple{
        Field("levels", &C::levels, "Levels that requests may name, 1 being the most urgent; 0: none.",
              Range(0, 1024)),
        Field("default_level", &C::default_level, "Level of a request that names none.", Range(0, 1024))};
  }
};
template <>
struct Schema<yaml::Provider> {
  static auto Fields() {
    using C = yaml::Provider;
    return std::tuple{Field("name", &C::name, "cpu, openvino, cuda or tensorrt.", Required(), Length(1, 64)),
                      Field("options", &C::options, "The provider's own options.", Length(0, 64))};
  }
};
template <>
struct Schema<yaml::TensorEntry> {
  static auto Fields() {
    using C = yaml::TensorEntry;
    return std::tuple{Field("name", &C::name, "As the model calls it.", Required(), NotEmpty()),
                      Field("datatype", &C::datatype,
                            "FP32, INT64, BYTES and so on, checked against the model.", Required()),
                      Field("shape", &C::shape, "With the batch dimension first (-1) when the model batches.",
                            Required(), Length(0, tensor::Shape::kMaxRank)),
                      Field("optional", &C::optional, "Whether requests may leave it out.")};
  }
};
template <>
struct Schema<yaml::OutputEntry> {
  static auto Fields() {
    using C = yaml::OutputEntry;
    return std::tuple{Field("name", &C::name, "As the model calls it.", Required(), NotEmpty()),
                      Field("datatype", &C::datatype,
                            "FP32, INT64, BYTES and so on, checked against the model.", Required()),
                      Field("shape", &C::shape, "With the batch dimension first (-1) when the model batches.",
                            Required(), Length(0, tensor::Shape::kMaxRank)),
                      Field("labels", &C::labels, "File of one label a line, below the model's folder.")};
  }
};
template <>
struct Schema<yaml::WarmupRun> {
  static auto Fields() {
    using C = yaml::WarmupRun;
    return std::tuple{Field("name", &C::name, "For messages."),
                      Field("batch_size", &C::batch_size, "Rows.", Range(1, Limits::kMaxBatchSize)),
                      Field("count", &C::count, "How often it runs.", Range(1, Limits::kMaxWarmupCount)),
                      Field("dims", &C::dims, "Dimensions of inputs that vary, without the batch dimension.",
                            Length(0, 1024)),
                      Field("random", &C::random, "Inputs filled with random values; the others are zeros.",
                            Length(0, 1024))};
  }
};
template <>
struct Schema<yaml::Warmup> {
  static auto Fields() {
    using C = yaml::Warmup;
    return std::tuple{Field("automatic", &C::automatic,
                            "Without 'runs': zeros of one row and of a full batch, if shapes are fixed."),
                      Field("runs", &C::runs, "Requests to run before the model is ready.",
                            Length(0, Limits::kMaxWarmups))};
  }
};
template <>
struct Schema<yaml::Cache> {
  static auto Fields() {
    using C = yaml::Cache;
    const auto longest = std::chrono::nanoseconds(hours(30 * 24));
    return std::tuple{
        Field("mode", &C::mode,
              "off; exact: results answer equal calls; single-flight: equal calls at the same time share one "
              "run."),
        Field("ttl", &C::ttl, "How long a result answers; required with 'exact'.",
              Range(std::chrono::nanoseconds(std::chrono::milliseconds(1)), longest)),
        Field("stale_while_revalidate", &C::stale_while_revalidate,
              "How long after 'ttl' it still answers while one caller computes it anew.",
              Range(std::chrono::nanoseconds(0), longest)),
        Field("max_entry", &C::max_entry, "Larger results are not kept; 1MiB by default.",
              Range(config::ByteSize(1), config::ByteSize(ByteCount{1} << 30))),
        Field("scope", &C::scope, "Whose calls share results: those of one tenant, or everybody's (public)."),
        Field("shared", &C::shared, "Whether hosts share results, through Redis and the database.")};
  }
  static std::optional<std::string> Validate(const yaml::Cache& c) {
    const bool exact = c.mode == models::CacheMode::kExact;
    if (exact && !c.ttl.has_value()) return "needs a 'ttl' with the mode 'exact'";
    if (!exact && c.ttl.has_value()) return "has a 'ttl', which needs the mode 'exact'";
    if (!exact && c.stale_while_revalidate.has_value()) {
      return "has 'stale_while_revalidate', which needs the mode 'exact' and a 'ttl'";
    }
    if (!exact && c.max_entry.has_value()) return "has 'max_entry', which needs the mode 'exact'";
    if (!exact && c.shared) return "has 'shared', which needs the mode 'exact' and a 'ttl'";
    if (c.mode == models::CacheMode::kOff && c.scope != models::CacheScope::kTenant) {
      return "has the scope 'public', which needs another mode than 'off'";
    }
    return std::nullopt;
  }
};
template <>
struct Schema<yaml::Worker> {
  static auto Fields() {
    using C = yaml::Worker;
    const auto limit =
        Range(std::chrono::nanoseconds(std::chrono::milliseconds(100)), std::chrono::nanoseconds(hours(24)));
    return std::tuple{
        Field("python", &C::python, "The interpreter, such as a virtual environment's; empty: the server's."),
        Field("memory_limit", &C::memory_limit, "Of one process; 0: half of the host's memory."),
        Field("start_timeout", &C::start_timeout, "From a process's start until it is ready.", limit),
        Field("run_timeout", &C::run_timeout, "Of one run.", limit),
        Field("hang_timeout", &C::hang_timeout, "A running process without a sign of life is ended after it.",
              limit),
        Field("cancel_grace", &C::cancel_grace, "From a cancellation to the end of the process.", limit)};
  }
};
template <>
struct Schema<yaml::Upstream> {
  static auto Fields() {
    using C = yaml::Upstream;
    return std::tuple{
        Field("protocol", &C::protocol, "v2 (Open Inference Protocol) or openai_images."),
        Field("url", &C::url, "http:// or https://, host, port if need be, path prefix if any.", Required(),
              Length(1, 2048)),
        Field("model", &C::model, "The model's name there.", Required(), Length(1, 256)),
        Field("version", &C::version, "Its version there; empty: the upstream's choice."),
        Field("headers", &C::headers,
              "Sent with every request; each value ends in a reference env:UPSTREAM_NAME.", Length(0, 32)),
        Field("timeout", &C::timeout, "Of one attempt.",
              Range(std::chrono::nanoseconds(std::chrono::milliseconds(10)),
                    std::chrono::nanoseconds(hours(1)))),
        Field("retries", &C::retries, "Attempts after the first, for faults that may pass.", Range(0, 10))};
  }
};
template <>
struct Schema<yaml::File> {
  static auto Fields() {
    using C = yaml::File;
    return std::tuple{
        Field("name", &C::name, "The folder's name, if given at all."),
        Field("platform", &C::platform, "onnxruntime_onnx, python or remote; empty: what the files are."),
        Field("file", &C::file, "The model file in each version's folder; empty: model.onnx or model.py."),
        Field("versions", &C::versions, "Which versions are served."),
        Field("instances", &C::instances, "Batches that may run at once; 0: as many as the device has slots.",
              Range(0, Limits::kMaxInstances)),
        Field("batching", &C::batching, "How requests share runs."),
        Field("class", &C::service_class, "Service class of requests that ask for none."),
        Field("weight", &C::weight, "Share of device time against the tenant's other models.",
              Range(0.001, 1000.0)),
        Field("deadline", &C::deadline, "Deadline of requests that bring none.",
              Range(std::chrono::nanoseconds(1), std::chrono::nanoseconds(hours(24)))),
        Field("queue", &C::queue, "Bounds on waiting requests."),
        Field("priorities", &C::priorities, "Priority levels of Triton's schedule policy."),
        Field("providers", &C::providers, "Execution providers, tried in order; none: the server's default.",
              Length(0, 16)),
        Field("optimization_level", &C::optimization_level, "Graph optimisation: 0 basic, 1 extended, 2 all.",
              Range(0, 2)),
        Field("fixed_dims", &C::fixed_dims, "Symbolic dimensions of the model fixed at load.", Length(0, 64)),
        Field("warmup", &C::warmup, "What runs before the model is ready."),
        Field("cache", &C::cache, "Whether equal calls share results."),
        Field("pinned", &C::pinned, "Loaded at start, never evicted."),
        Field("evictable", &C::evictable, "Whether the loader may take it out of memory for others."),
        Field("memory", &C::memory, "Expected memory of a loaded version; 0: by the size of its files."),
        Field("inputs", &C::inputs, "Checked against the model.", Length(0, Limits::kMaxTensors)),
        Field("outputs", &C::outputs, "Checked against the model.", Length(0, Limits::kMaxTensors)),
        Field("parameters", &C::parameters, "Shown to clients, otherwise unused.", Length(0, 256)),
        Field("worker", &C::worker, "The processes of a Python model."),
        Field("upstream", &C::upstream, "The server that runs a remote model.")};
  }
};

}  // namespace mezzo::config

namespace mezzo::models {
namespace {

Error Bad(std::string_view source, const std::string& message) {
  return InvalidArgument("model_config_invalid", std::string(source) + ": " + message);
}

template <typename Entry>
Result<TensorConfig> TranslateTensor(const Entry& entry, const std::string& path, std::string_view source) {
  TensorConfig tensor;
  tensor.name = entry.name;
  const auto dtype = tensor::ParseDType(entry.datatype);
  if (!dtype.has_value()) {
    return Bad(source, path + ".datatype is '" + Printable(entry.datatype) + "', which is no element type");
  }
  tensor.dtype = *dtype;
  tensor.shape = tensor::Shape(entry.shape);
  return tensor;
}

Result<void> TranslateTensors(const yaml::File& file, std::string_view source, ModelConfig& out) {
  for (std::size_t i = 0; i < file.inputs.size(); ++i) {
    const std::string path = "inputs." + std::to_string(i);
    MEZZO_TRY(TensorConfig tensor, TranslateTensor(file.inputs[i], path, source));
    tensor.optional = file.inputs[i].optional;
    out.inputs.push_back(std::move(tensor));
  }
  for (std::size_t i = 0; i < file.outputs.size(); ++i) {
    const std::string path = "outputs." + std::to_string(i);
    MEZZO_TRY(TensorConfig tensor, TranslateTensor(file.outputs[i], path, source));
    tensor.label_file = file.outputs[i].labels;
    out.outputs.push_back(std::move(tensor));
  }
  return {};
}

void TranslateScheduling(const yaml::File& file, ModelConfig& out) {
  out.max_batch_size = file.batching.max_batch_size.value_or(0);
  out.dynamic_batching = file.batching.dynamic;
  out.max_queue_delay = file.batching.max_queue_delay;
  out.preferred_batch_sizes = file.batching.preferred_sizes;
  out.ragged = file.batching.ragged;
  out.instances = file.instances;
  out.service_class = file.service_class;
  out.weight = file.weight;
  out.priority_levels = file.priorities.levels;
  out.default_priority = file.priorities.default_level;
  out.default_deadline = file.deadline;
  out.default_queue_timeout = file.queue.timeout;
  out.allow_timeout_override = file.queue.allow_timeout_override;
  out.max_queued = file.queue.max_requests;
}

void TranslateLoading(const yaml::File& file, ModelConfig& out) {
  out.version_policy.kind = static_cast<VersionPolicy::Kind>(file.versions.policy);
  out.version_policy.latest_count = file.versions.count;
  out.version_policy.versions = file.versions.list;
  for (const auto& provider : file.providers) {
    out.providers.push_back(
        {.name = provider.name, .options = {provider.options.begin(), provider.options.end()}});
  }
  out.fixed_dims.assign(file.fixed_dims.begin(), file.fixed_dims.end());
  out.optimization_level = static_cast<int>(file.optimization_level);
  out.automatic_warmup = file.warmup.automatic;
  for (const auto& run : file.warmup.runs) {
    out.warmup.push_back({.name = run.name,
                          .batch_size = run.batch_size,
                          .count = run.count,
                          .input_dims = run.dims,
                          .random_inputs = {run.random.begin(), run.random.end()}});
  }
  out.pinned = file.pinned;
  out.evictable = file.evictable;
  out.memory_hint = file.memory;
  out.parameters = file.parameters;
}

Result<void> TranslateCache(const yaml::File& file, std::string_view source, ModelConfig& out) {
  const yaml::Cache& cache = file.cache;
  // Who asks for a picture again wants another one. (Sequences, state between calls and decoupled answers,
  // which can't be kept either, are nothing that a model can declare here.)
  if (cache.mode != CacheMode::kOff && file.upstream.has_value() &&
      file.upstream->protocol == engine::UpstreamProtocol::kOpenAiImages) {
    const char* mode = cache.mode == CacheMode::kExact ? "exact" : "single-flight";
    return Bad(source,
               std::string("cache.mode is '") + mode +
                   "', which the upstream protocol 'openai_images' can't have: its answers to equal calls "
                   "differ");
  }
  out.cache = {
      .mode = cache.mode,
      .ttl = cache.ttl.value_or(Duration()),
      .stale_while_revalidate = cache.stale_while_revalidate.value_or(Duration()),
      .max_entry = cache.max_entry.has_value() ? ByteCount{*cache.max_entry} : CacheConfig().max_entry,
      .scope = cache.scope,
      .shared = cache.shared};
  return {};
}

Result<void> TranslateHosting(const yaml::File& file, std::string_view source, ModelConfig& out) {
  out.platform = file.platform;
  if (!out.platform.empty() && out.platform != kOnnxPlatform && out.platform != kPythonPlatform &&
      out.platform != kRemotePlatform) {
    return Unimplemented("model_config_unsupported",
                         std::string(source) + ": platform '" + Printable(out.platform) +
                             "' is not supported; Mezzo runs 'onnxruntime_onnx', 'python' and 'remote'");
  }
  if (out.platform.empty() && file.upstream.has_value()) out.platform = kRemotePlatform;
  if (out.platform.empty() && file.worker.has_value()) out.platform = kPythonPlatform;
  if (file.upstream.has_value() != (out.platform == kRemotePlatform)) {
    return Bad(source, "'upstream' belongs to the platform 'remote', and that needs it");
  }
  if (file.worker.has_value() && out.platform != kPythonPlatform) {
    return Bad(source, "'worker' belongs to the platform 'python'");
  }
  if (file.worker.has_value()) {
    out.worker = {.python = file.worker->python,
                  .memory_limit = file.worker->memory_limit,
                  .start_timeout = file.worker->start_timeout,
                  .run_timeout = file.worker->run_timeout,
                  .hang_timeout = file.worker->hang_timeout,
                  .cancel_grace = file.worker->cancel_grace};
  }
  if (file.upstream.has_value()) {
    out.upstream = {.protocol = file.upstream->protocol,
                    .url = file.upstream->url,
                    .model = file.upstream->model,
                    .version = file.upstream->version,
                    .headers = {file.upstream->headers.begin(), file.upstream->headers.end()},
                    .timeout = file.upstream->timeout,
                    .retries = static_cast<int>(file.upstream->retries)};
  }
  return {};
}

}  // namespace

Result<DeclaredConfig> ParseModelYaml(std::string_view text, std::string_view source) {
  const config::DocumentLimits limits{.max_bytes = ConfigLimits::kMaxFileBytes,
                                      .max_depth = static_cast<std::size_t>(ConfigLimits::kMaxDepth)};
  MEZZO_TRY(const yaml::File file, config::ParseYaml<yaml::File>(text, source, limits));
  DeclaredConfig declared;
  declared.source = std::string(source);
  declared.has_max_batch_size = file.batching.max_batch_size.has_value();
  ModelConfig& out = declared.config;
  out.name = file.name;
  out.file = file.file;
  MEZZO_TRY_VOID(TranslateTensors(file, source, out));
  TranslateScheduling(file, out);
  TranslateLoading(file, out);
  MEZZO_TRY_VOID(TranslateHosting(file, source, out));
  MEZZO_TRY_VOID(TranslateCache(file, source, out));
  MEZZO_TRY_VOID(CheckConfig(out, source));
  return declared;
}

}  // namespace mezzo::models
