#include "mezzo/models/internal/proto_config.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mezzo/base/strings.h"

namespace mezzo::models::internal {
namespace {

using inference::ModelInstanceGroup;
using Proto = inference::ModelConfig;

constexpr std::array<std::pair<inference::DataType, tensor::DType>, 14> kTypes = {{
    {inference::TYPE_BOOL, tensor::DType::kBool},
    {inference::TYPE_UINT8, tensor::DType::kUint8},
    {inference::TYPE_UINT16, tensor::DType::kUint16},
    {inference::TYPE_UINT32, tensor::DType::kUint32},
    {inference::TYPE_UINT64, tensor::DType::kUint64},
    {inference::TYPE_INT8, tensor::DType::kInt8},
    {inference::TYPE_INT16, tensor::DType::kInt16},
    {inference::TYPE_INT32, tensor::DType::kInt32},
    {inference::TYPE_INT64, tensor::DType::kInt64},
    {inference::TYPE_FP16, tensor::DType::kFp16},
    {inference::TYPE_BF16, tensor::DType::kBf16},
    {inference::TYPE_FP32, tensor::DType::kFp32},
    {inference::TYPE_FP64, tensor::DType::kFp64},
    {inference::TYPE_STRING, tensor::DType::kBytes},
}};

/// Triton's microseconds as a duration; nothing when they don't fit.
std::optional<Duration> FromMicroseconds(std::uint64_t us) {
  constexpr std::uint64_t kMost = static_cast<std::uint64_t>(INT64_MAX) / 2000;
  if (us > kMost) return std::nullopt;
  return std::chrono::microseconds(us);
}

/// `dims` as a shape, with the batch dimension before it when the model batches.
template <typename Dims>
Result<tensor::Shape> ReadDims(const Dims& dims, bool batches, const std::string& at,
                               const std::string& what) {
  tensor::Shape shape;
  if (batches) (void)shape.Append(-1);
  for (const std::int64_t dim : dims) {
    if (dim < 1 && dim != -1) {
      return Invalid(at + what + " has the dimension " + std::to_string(dim) +
                     "; it must be at least 1, or -1 where it varies");
    }
    if (!shape.Append(dim)) {
      return Invalid(at + what + " has more than " + std::to_string(tensor::Shape::kMaxRank) + " dimensions");
    }
  }
  return shape;
}

/// Fixed dimensions must multiply to the same; variable ones must be as many on both sides.
bool SameElements(const tensor::Shape& a, const tensor::Shape& b) {
  const auto fixed = [](const tensor::Shape& shape) -> std::optional<std::pair<std::uint64_t, int>> {
    tensor::Shape product;
    int variable = 0;
    for (const std::int64_t dim : shape.dims()) {
      if (dim < 0) {
        ++variable;
      } else {
        (void)product.Append(dim);
      }
    }
    const auto count = tensor::ElementCount(product);
    if (!count.ok()) return std::nullopt;
    return std::pair(*count, variable);
  };
  const auto x = fixed(a);
  return x.has_value() && x == fixed(b);
}

/// What inputs and outputs share.
template <typename Tensor>
Result<TensorConfig> ReadTensor(const Tensor& proto, bool batches, const Place& place,
                                const std::string& what) {
  if (proto.is_shape_tensor()) {
    return Unsupported(place.At(proto, Tensor::kIsShapeTensorFieldNumber), what + ": is_shape_tensor");
  }
  if (proto.is_non_linear_format_io()) {
    return Unsupported(place.At(proto, Tensor::kIsNonLinearFormatIoFieldNumber),
                       what + ": is_non_linear_format_io");
  }
  TensorConfig tensor;
  tensor.name = proto.name();
  if (tensor.name.empty()) return Invalid(place.prefix() + what + " must have a name");
  const auto dtype = FromProtoType(proto.data_type());
  if (!dtype.has_value()) return Invalid(place.prefix() + what + " must have a data_type");
  tensor.dtype = *dtype;
  if (proto.dims().empty()) {
    return Invalid(place.prefix() + what +
                   " must have dims (a scalar: dims [ 1 ] and reshape { shape [ ] })");
  }
  const std::string at = place.At(proto, Tensor::kDimsFieldNumber, 0);
  MEZZO_TRY(tensor.shape, ReadDims(proto.dims(), batches, at, what + ": dims"));
  if (proto.has_reshape()) {
    const std::string reshape_at = place.At(proto, Tensor::kReshapeFieldNumber);
    MEZZO_TRY(const tensor::Shape engine_shape,
              ReadDims(proto.reshape().shape(), batches, reshape_at, what + ": reshape"));
    if (!SameElements(tensor.shape, engine_shape)) {
      return Invalid(reshape_at + what + ": reshape " + engine_shape.ToString() +
                     " does not have as many elements as dims " + tensor.shape.ToString());
    }
    if (!(engine_shape == tensor.shape)) tensor.engine_shape = engine_shape;
  }
  return tensor;
}

Result<void> ReadTensors(const Proto& proto, const Place& place, mezzo::models::ModelConfig& out) {
  const bool batches = out.max_batch_size > 0;
  for (int i = 0; i < proto.input_size(); ++i) {
    const auto& input = proto.input(i);
    const Place at = place.Into(proto, Proto::kInputFieldNumber, i);
    const std::string what = "input '" + Printable(input.name()) + "'";
    MEZZO_TRY(TensorConfig tensor, ReadTensor(input, batches, at, what));
    if (input.allow_ragged_batch()) {
      return Unsupported(at.At(input, inference::ModelInput::kAllowRaggedBatchFieldNumber),
                         what + ": allow_ragged_batch", "; model.yaml's 'batching.ragged: pad' may serve");
    }
    tensor.optional = input.optional();
    out.inputs.push_back(std::move(tensor));
  }
  for (int i = 0; i < proto.output_size(); ++i) {
    const auto& output = proto.output(i);
    const Place at = place.Into(proto, Proto::kOutputFieldNumber, i);
    MEZZO_TRY(TensorConfig tensor,
              ReadTensor(output, batches, at, "output '" + Printable(output.name()) + "'"));
    tensor.label_file = output.label_filename();
    out.outputs.push_back(std::move(tensor));
  }
  return {};
}

Result<VersionPolicy> ReadVersionPolicy(const inference::ModelVersionPolicy& proto, const Place& place) {
  VersionPolicy policy;
  switch (proto.policy_choice_case()) {
    case inference::ModelVersionPolicy::kAll:
      policy.kind = VersionPolicy::Kind::kAll;
      break;
    case inference::ModelVersionPolicy::kSpecific:
      policy.kind = VersionPolicy::Kind::kSpecific;
      policy.versions.assign(proto.specific().versions().begin(), proto.specific().versions().end());
      break;
    case inference::ModelVersionPolicy::kLatest:
      policy.latest_count = proto.latest().num_versions();
      if (policy.latest_count == 0) {
        return Invalid(place.At(proto, inference::ModelVersionPolicy::kLatestFieldNumber) +
                       "version_policy: latest must have num_versions of at least 1");
      }
      break;
    case inference::ModelVersionPolicy::POLICY_CHOICE_NOT_SET:
      break;
  }
  return policy;
}

Result<void> ReadQueuePolicy(const inference::ModelQueuePolicy& proto, const Place& place,
                             mezzo::models::ModelConfig& out) {
  using Policy = inference::ModelQueuePolicy;
  if (proto.timeout_action() != Policy::REJECT) {
    return Unsupported(place.At(proto, Policy::kTimeoutActionFieldNumber),
                       "default_queue_policy: timeout_action DELAY");
  }
  if (proto.default_timeout_microseconds() > 0) {
    out.default_queue_timeout = FromMicroseconds(proto.default_timeout_microseconds());
    if (!out.default_queue_timeout.has_value()) {
      return Invalid(place.At(proto, Policy::kDefaultTimeoutMicrosecondsFieldNumber) +
                     "default_timeout_microseconds is too large");
    }
  }
  out.allow_timeout_override = proto.allow_timeout_override();
  out.max_queued = proto.max_queue_size();
  return {};
}

Result<void> ReadScheduling(const Proto& proto, const Place& place, mezzo::models::ModelConfig& out) {
  if (proto.has_sequence_batching()) {
    return Unsupported(place.At(proto, Proto::kSequenceBatchingFieldNumber), "sequence_batching");
  }
  if (proto.has_ensemble_scheduling()) {
    return Unsupported(place.At(proto, Proto::kEnsembleSchedulingFieldNumber), "ensemble_scheduling");
  }
  out.dynamic_batching = proto.has_dynamic_batching();
  if (!out.dynamic_batching) return {};
  using Dynamic = inference::ModelDynamicBatching;
  const Dynamic& dynamic = proto.dynamic_batching();
  const Place at = place.Into(proto, Proto::kDynamicBatchingFieldNumber);
  out.preferred_batch_sizes.assign(dynamic.preferred_batch_size().begin(),
                                   dynamic.preferred_batch_size().end());
  const auto delay = FromMicroseconds(dynamic.max_queue_delay_microseconds());
  if (!delay.has_value()) {
    return Invalid(at.At(dynamic, Dynamic::kMaxQueueDelayMicrosecondsFieldNumber) +
                   "max_queue_delay_microseconds is too large");
  }
  out.max_queue_delay = *delay;
  if (dynamic.preserve_ordering()) {
    return Unsupported(at.At(dynamic, Dynamic::kPreserveOrderingFieldNumber), "preserve_ordering");
  }
  if (!dynamic.priority_queue_policy().empty()) {
    return Unsupported(at.prefix(), "priority_queue_policy", "; default_queue_policy is");
  }
  out.priority_levels = dynamic.priority_levels();
  out.default_priority = dynamic.default_priority_level();
  if (dynamic.has_default_queue_policy()) {
    return ReadQueuePolicy(dynamic.default_queue_policy(),
                           at.Into(dynamic, Dynamic::kDefaultQueuePolicyFieldNumber), out);
  }
  return {};
}

Result<void> CheckGroup(const ModelInstanceGroup& group, const Place& at) {
  if (group.kind() == ModelInstanceGroup::KIND_MODEL) {
    return Unsupported(at.At(group, ModelInstanceGroup::kKindFieldNumber), "instance_group: kind KIND_MODEL");
  }
  if (group.passive()) {
    return Unsupported(at.At(group, ModelInstanceGroup::kPassiveFieldNumber), "instance_group: passive");
  }
  if (!group.secondary_devices().empty()) {
    return Unsupported(at.At(group, ModelInstanceGroup::kSecondaryDevicesFieldNumber, 0),
                       "instance_group: secondary_devices");
  }
  if (!group.profile().empty()) {
    return Unsupported(at.At(group, ModelInstanceGroup::kProfileFieldNumber, 0), "instance_group: profile");
  }
  if (group.gpus_size() > 1) {
    return Unsupported(at.At(group, ModelInstanceGroup::kGpusFieldNumber, 1),
                       "instance_group: more than one of gpus");
  }
  if (group.gpus_size() > 0 && group.kind() == ModelInstanceGroup::KIND_CPU) {
    return Invalid(at.At(group, ModelInstanceGroup::kGpusFieldNumber, 0) +
                   "instance_group: KIND_CPU has no gpus");
  }
  if (group.count() < 0) {
    return Invalid(at.At(group, ModelInstanceGroup::kCountFieldNumber) + "instance_group: count is " +
                   std::to_string(group.count()) + "; it must be at least 1");
  }
  return {};
}

/// All groups must be on one kind of device; their counts add up.
Result<void> ReadInstances(const Proto& proto, const Place& place, mezzo::models::ModelConfig& out) {
  if (proto.instance_group().empty()) return {};
  const ModelInstanceGroup& first = proto.instance_group(0);
  std::int64_t count = 0;
  for (int i = 0; i < proto.instance_group_size(); ++i) {
    const ModelInstanceGroup& group = proto.instance_group(i);
    const Place at = place.Into(proto, Proto::kInstanceGroupFieldNumber, i);
    MEZZO_TRY_VOID(CheckGroup(group, at));
    const bool same_device =
        group.gpus_size() == first.gpus_size() && (group.gpus().empty() || group.gpus(0) == first.gpus(0));
    if (group.kind() != first.kind() || !same_device) {
      return Unsupported(at.prefix(), "instance_group: groups on different devices");
    }
    count += group.count() == 0 ? 1 : group.count();
  }
  out.instances = count;
  const bool gpu = first.kind() == ModelInstanceGroup::KIND_GPU || first.gpus_size() > 0;
  if (gpu) {
    engine::ProviderChoice cuda{.name = "cuda", .options = {}};
    if (first.gpus_size() > 0) cuda.options.emplace_back("device_id", std::to_string(first.gpus(0)));
    out.providers.push_back(std::move(cuda));
  } else if (first.kind() == ModelInstanceGroup::KIND_CPU) {
    out.providers.push_back({.name = "cpu", .options = {}});
  }
  return {};
}

template <typename Accelerators>
Result<void> ReadAccelerators(const Accelerators& list, std::initializer_list<std::string_view> known,
                              const std::string& at, std::vector<engine::ProviderChoice>& out) {
  for (const auto& accelerator : list) {
    bool found = false;
    for (const auto name : known) found = found || name == accelerator.name();
    if (!found) {
      return Unsupported(at, "optimization: execution accelerator '" + Printable(accelerator.name()) + "'");
    }
    engine::ProviderChoice choice{.name = accelerator.name(), .options = {}};
    choice.options.assign(accelerator.parameters().begin(), accelerator.parameters().end());
    std::sort(choice.options.begin(), choice.options.end());  // A protobuf map has no order of its own.
    out.push_back(std::move(choice));
  }
  return {};
}

Result<void> ReadOptimization(const Proto& proto, const Place& place, mezzo::models::ModelConfig& out) {
  if (!proto.has_optimization()) return {};
  using Policy = inference::ModelOptimizationPolicy;
  const Policy& policy = proto.optimization();
  const Place at = place.Into(proto, Proto::kOptimizationFieldNumber);
  if (policy.has_graph()) {
    const std::string graph_at = at.At(policy, Policy::kGraphFieldNumber);
    // As Triton's ONNX Runtime backend reads it: -1 basic, 1 extended, 2 none at all, else everything.
    switch (policy.graph().level()) {
      case -1:
        out.optimization_level = 0;
        break;
      case 0:
        out.optimization_level = 2;
        break;
      case 1:
        out.optimization_level = 1;
        break;
      default:
        return Unsupported(graph_at, "optimization: graph level " + std::to_string(policy.graph().level()),
                           " (-1: basic, 1: extended, 0: all)");
    }
  }
  if (policy.cuda().graphs() || !policy.cuda().graph_spec().empty()) {
    return Unsupported(at.At(policy, Policy::kCudaFieldNumber), "optimization: cuda graphs");
  }
  if (policy.has_execution_accelerators()) {
    const auto& accelerators = policy.execution_accelerators();
    const std::string where = at.At(policy, Policy::kExecutionAcceleratorsFieldNumber);
    std::vector<engine::ProviderChoice> chosen;
    MEZZO_TRY_VOID(
        ReadAccelerators(accelerators.gpu_execution_accelerator(), {"tensorrt", "cuda"}, where, chosen));
    MEZZO_TRY_VOID(ReadAccelerators(accelerators.cpu_execution_accelerator(), {"openvino"}, where, chosen));
    // An accelerator goes before the plain device that the instance groups chose.
    out.providers.insert(out.providers.begin(), chosen.begin(), chosen.end());
  }
  return {};
}

Result<void> ReadWarmups(const Proto& proto, const Place& place, mezzo::models::ModelConfig& out) {
  for (int i = 0; i < proto.model_warmup_size(); ++i) {
    const auto& from = proto.model_warmup(i);
    const Place at = place.Into(proto, Proto::kModelWarmupFieldNumber, i);
    const std::string what = "model_warmup '" + Printable(from.name()) + "'";
    WarmupConfig warmup;
    warmup.name = from.name();
    warmup.batch_size = from.batch_size() == 0 ? 1 : from.batch_size();
    warmup.count = from.count() == 0 ? 1 : from.count();
    for (const auto& [name, input] : from.inputs()) {
      if (input.input_data_type_case() == inference::ModelWarmup::Input::kInputDataFile) {
        return Unsupported(at.prefix(), what + ": input_data_file", "; use zero_data or random_data");
      }
      for (const std::int64_t dim : input.dims()) {
        if (dim < 1) {
          return Invalid(at.prefix() + what + ": input '" + Printable(name) + "' has the dimension " +
                         std::to_string(dim) + "; a warm-up needs dimensions of at least 1");
        }
      }
      warmup.input_dims[name].assign(input.dims().begin(), input.dims().end());
      if (input.random_data()) warmup.random_inputs.insert(name);
    }
    out.warmup.push_back(std::move(warmup));
  }
  return {};
}

/// Fields of the top level that Mezzo has nothing for.
Result<void> CheckUnsupported(const Proto& proto, const Place& place) {
  if (!proto.platform().empty() && proto.platform() != "onnxruntime_onnx") {
    return Unsupported(place.At(proto, Proto::kPlatformFieldNumber),
                       "platform '" + Printable(proto.platform()) + "'", "; Mezzo runs 'onnxruntime_onnx'");
  }
  if (!proto.backend().empty() && proto.backend() != "onnxruntime") {
    return Unsupported(place.At(proto, Proto::kBackendFieldNumber),
                       "backend '" + Printable(proto.backend()) + "'", "; Mezzo runs 'onnxruntime'");
  }
  if (!proto.batch_input().empty()) {
    return Unsupported(place.At(proto, Proto::kBatchInputFieldNumber, 0), "batch_input");
  }
  if (!proto.batch_output().empty()) {
    return Unsupported(place.At(proto, Proto::kBatchOutputFieldNumber, 0), "batch_output");
  }
  if (!proto.cc_model_filenames().empty()) {
    return Unsupported(place.prefix(), "cc_model_filenames", "; use default_model_filename");
  }
  if (!proto.model_operations().op_library_filename().empty()) {
    return Unsupported(place.At(proto, Proto::kModelOperationsFieldNumber), "model_operations");
  }
  if (proto.model_transaction_policy().decoupled()) {
    return Unsupported(place.At(proto, Proto::kModelTransactionPolicyFieldNumber),
                       "model_transaction_policy: decoupled");
  }
  if (!proto.model_repository_agents().agents().empty()) {
    return Unsupported(place.At(proto, Proto::kModelRepositoryAgentsFieldNumber), "model_repository_agents");
  }
  if (proto.response_cache().enable()) {
    return Unsupported(place.At(proto, Proto::kResponseCacheFieldNumber), "response_cache");
  }
  return {};
}

}  // namespace

inference::DataType ToProtoType(tensor::DType dtype) {
  for (const auto& [proto, ours] : kTypes) {
    if (ours == dtype) return proto;
  }
  return inference::TYPE_INVALID;
}

std::optional<tensor::DType> FromProtoType(inference::DataType type) {
  for (const auto& [proto, ours] : kTypes) {
    if (proto == type) return ours;
  }
  return std::nullopt;
}

Result<DeclaredConfig> FromProto(const Proto& proto, const Place& place, bool has_max_batch_size) {
  MEZZO_TRY_VOID(CheckUnsupported(proto, place));
  DeclaredConfig declared;
  declared.source = place.source();
  declared.has_max_batch_size = has_max_batch_size || proto.max_batch_size() != 0;
  declared.dims_may_exclude_batch = true;
  mezzo::models::ModelConfig& out = declared.config;
  out.name = proto.name();
  out.max_batch_size = proto.max_batch_size();
  if (out.max_batch_size < 0) {
    return Invalid(place.At(proto, Proto::kMaxBatchSizeFieldNumber) + "max_batch_size is " +
                   std::to_string(out.max_batch_size) + "; it must not be negative");
  }
  if (!proto.default_model_filename().empty()) out.file = proto.default_model_filename();
  MEZZO_TRY(out.version_policy,
            ReadVersionPolicy(proto.version_policy(), place.Into(proto, Proto::kVersionPolicyFieldNumber)));
  MEZZO_TRY_VOID(ReadTensors(proto, place, out));
  MEZZO_TRY_VOID(ReadScheduling(proto, place, out));
  // Where the model's own shapes decide that it batches, it does so dynamically.
  if (!declared.has_max_batch_size) out.dynamic_batching = true;
  MEZZO_TRY_VOID(ReadInstances(proto, place, out));
  MEZZO_TRY_VOID(ReadOptimization(proto, place, out));
  MEZZO_TRY_VOID(ReadWarmups(proto, place, out));
  for (const auto& [key, value] : proto.parameters()) out.parameters[key] = value.string_value();
  MEZZO_TRY_VOID(CheckConfig(out, place.source()));
  return declared;
}

}  // namespace mezzo::models::internal
