#include "mezzo/models/config_json.h"

#include <algorithm>
#include <chrono>

#include <google/protobuf/message.h>
#include <nlohmann/json.hpp>

#include "mezzo/models/internal/proto_config.h"

namespace mezzo::models {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::ordered_json;

std::uint64_t Microseconds(Duration duration) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
}

/// Without the batch dimension, as Triton's dims are when the model batches.
template <typename Out>
void WriteDims(const tensor::Shape& shape, bool batches, Out* out) {
  for (std::size_t i = batches ? 1 : 0; i < shape.rank(); ++i) out->Add(shape[i]);
}

template <typename Tensor>
void WriteTensor(const TensorConfig& from, bool batches, Tensor& to) {
  to.set_name(from.name);
  to.set_data_type(internal::ToProtoType(from.dtype));
  WriteDims(from.shape, batches, to.mutable_dims());
  if (from.engine_shape.has_value())
    WriteDims(*from.engine_shape, batches, to.mutable_reshape()->mutable_shape());
}

void WriteVersionPolicy(const VersionPolicy& from, inference::ModelVersionPolicy& to) {
  switch (from.kind) {
    case VersionPolicy::Kind::kLatest:
      to.mutable_latest()->set_num_versions(static_cast<std::uint32_t>(from.latest_count));
      break;
    case VersionPolicy::Kind::kAll:
      to.mutable_all();
      break;
    case VersionPolicy::Kind::kSpecific:
      to.mutable_specific()->mutable_versions()->Add(from.versions.begin(), from.versions.end());
      break;
  }
}

bool IsGpu(std::string_view provider) { return provider == "cuda" || provider == "tensorrt"; }

void WriteInstances(const ModelConfig& from, inference::ModelConfig& to) {
  const bool gpu = !from.providers.empty() && IsGpu(from.providers.front().name);
  if (from.instances == 0 && !gpu) return;  // Not said, and not loaded yet.
  auto& group = *to.add_instance_group();
  group.set_name(from.name);
  group.set_kind(gpu ? inference::ModelInstanceGroup::KIND_GPU : inference::ModelInstanceGroup::KIND_CPU);
  group.set_count(static_cast<std::int32_t>(std::max<std::int64_t>(1, from.instances)));
}

void WriteOptimization(const ModelConfig& from, inference::ModelOptimizationPolicy& to) {
  // The reverse of what FromProto() reads.
  if (from.optimization_level != 2) to.mutable_graph()->set_level(from.optimization_level == 0 ? -1 : 1);
  for (const auto& provider : from.providers) {
    const bool plain = provider.name == "cpu" || (provider.name == "cuda" && provider.options.empty());
    if (plain) continue;
    auto& accelerators = *to.mutable_execution_accelerators();
    auto& accelerator = IsGpu(provider.name) ? *accelerators.add_gpu_execution_accelerator()
                                             : *accelerators.add_cpu_execution_accelerator();
    accelerator.set_name(provider.name);
    for (const auto& [key, value] : provider.options) (*accelerator.mutable_parameters())[key] = value;
  }
}

void WriteDynamicBatching(const ModelConfig& from, inference::ModelDynamicBatching& to) {
  for (const std::int64_t size : from.preferred_batch_sizes) {
    to.add_preferred_batch_size(static_cast<std::int32_t>(size));
  }
  to.set_max_queue_delay_microseconds(Microseconds(from.max_queue_delay));
  to.set_priority_levels(from.priority_levels);
  to.set_default_priority_level(from.default_priority);
  if (from.default_queue_timeout.has_value() || from.max_queued > 0) {
    auto& policy = *to.mutable_default_queue_policy();
    policy.set_default_timeout_microseconds(
        Microseconds(from.default_queue_timeout.value_or(Duration::zero())));
    policy.set_allow_timeout_override(from.allow_timeout_override);
    policy.set_max_queue_size(
        static_cast<std::uint32_t>(std::min<std::uint64_t>(from.max_queued, UINT32_MAX)));
  }
}

void WriteWarmup(const ModelConfig& from, const WarmupConfig& warmup, inference::ModelWarmup& to) {
  to.set_name(warmup.name);
  to.set_batch_size(static_cast<std::uint32_t>(warmup.batch_size));
  to.set_count(static_cast<std::uint32_t>(warmup.count));
  for (const TensorConfig& input : from.inputs) {
    auto& tensor = (*to.mutable_inputs())[input.name];
    tensor.set_data_type(internal::ToProtoType(input.dtype));
    if (const auto dims = warmup.input_dims.find(input.name); dims != warmup.input_dims.end()) {
      tensor.mutable_dims()->Add(dims->second.begin(), dims->second.end());
    } else {
      WriteDims(input.shape, from.max_batch_size > 0, tensor.mutable_dims());
    }
    if (warmup.random_inputs.contains(input.name)) {
      tensor.set_random_data(true);
    } else {
      tensor.set_zero_data(true);
    }
  }
}

Json ToJson(const Message& message);

/// One value: of a singular field, or item `i` of a repeated one.
Json ValueOf(const Message& message, const FieldDescriptor& field, int i) {
  const Reflection& r = *message.GetReflection();
  const bool many = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return many ? r.GetRepeatedInt32(message, &field, i) : r.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return many ? r.GetRepeatedInt64(message, &field, i) : r.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return many ? r.GetRepeatedUInt32(message, &field, i) : r.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return many ? r.GetRepeatedUInt64(message, &field, i) : r.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return many ? r.GetRepeatedFloat(message, &field, i) : r.GetFloat(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return many ? r.GetRepeatedDouble(message, &field, i) : r.GetDouble(message, &field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return many ? r.GetRepeatedBool(message, &field, i) : r.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_STRING:
      return many ? r.GetRepeatedString(message, &field, i) : r.GetString(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return (many ? r.GetRepeatedEnum(message, &field, i) : r.GetEnum(message, &field))->name();
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(many ? r.GetRepeatedMessage(message, &field, i) : r.GetMessage(message, &field));
  }
  return nullptr;
}

/// A map's key as a JSON name; its entries are messages of key and value, in no order.
Json MapOf(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  std::vector<std::pair<std::string, Json>> entries;
  for (int i = 0; i < r.FieldSize(message, &field); ++i) {
    const Message& entry = r.GetRepeatedMessage(message, &field, i);
    const Json key = ValueOf(entry, *entry.GetDescriptor()->map_key(), -1);
    entries.emplace_back(key.is_string() ? key.get<std::string>() : key.dump(),
                         ValueOf(entry, *entry.GetDescriptor()->map_value(), -1));
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Json map = Json::object();
  for (auto& [key, value] : entries) map[key] = std::move(value);
  return map;
}

/// As Triton writes it: proto names, defaults included, absent messages and alternatives left out, 64-bit
/// integers as numbers (protobuf's own writer makes strings of them).
Json ToJson(const Message& message) {
  const auto& type = *message.GetDescriptor();
  const Reflection& r = *message.GetReflection();
  Json object = Json::object();
  for (int f = 0; f < type.field_count(); ++f) {
    const FieldDescriptor& field = *type.field(f);
    if (field.is_map()) {
      object[field.name()] = MapOf(message, field);
    } else if (field.is_repeated()) {
      Json list = Json::array();
      for (int i = 0; i < r.FieldSize(message, &field); ++i) list.push_back(ValueOf(message, field, i));
      object[field.name()] = std::move(list);
    } else if (!field.has_presence() || r.HasField(message, &field)) {
      object[field.name()] = ValueOf(message, field, -1);
    }
  }
  return object;
}

}  // namespace

void ConfigToProto(const ModelConfig& config, inference::ModelConfig& out) {
  out.Clear();
  const bool batches = config.max_batch_size > 0;
  out.set_name(config.name);
  out.set_platform(config.platform);
  out.set_backend("onnxruntime");
  WriteVersionPolicy(config.version_policy, *out.mutable_version_policy());
  out.set_max_batch_size(static_cast<std::int32_t>(config.max_batch_size));
  for (const TensorConfig& input : config.inputs) {
    auto& to = *out.add_input();
    WriteTensor(input, batches, to);
    to.set_optional(input.optional);
  }
  for (const TensorConfig& output : config.outputs) {
    auto& to = *out.add_output();
    WriteTensor(output, batches, to);
    to.set_label_filename(output.label_file);
  }
  WriteOptimization(config, *out.mutable_optimization());
  if (batches && config.dynamic_batching) WriteDynamicBatching(config, *out.mutable_dynamic_batching());
  WriteInstances(config, out);
  out.set_default_model_filename(config.file);
  for (const auto& [key, value] : config.parameters) (*out.mutable_parameters())[key].set_string_value(value);
  for (const WarmupConfig& warmup : config.warmup) WriteWarmup(config, warmup, *out.add_model_warmup());
}

std::string ConfigToJson(const ModelConfig& config) {
  inference::ModelConfig proto;
  ConfigToProto(config, proto);
  return ToJson(proto).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mezzo::models
