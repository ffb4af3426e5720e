#include "mezzo/inference/request_plan.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace mezzo::inference {
namespace {

/// FNV-1a over 64-bit words; keys group requests, they are no secret and no proof.
class KeyHash {
 public:
  void Add(std::uint64_t word) {
    hash_ ^= word;
    hash_ *= 0x100000001b3ULL;
    hash_ ^= hash_ >> 29;
  }
  [[nodiscard]] std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

std::string Quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

template <typename Names>
std::string List(const Names& names) {
  std::string out = "[";
  for (const auto& name : names) {
    if (out.size() > 1) out += ", ";
    out += Quoted(name);
  }
  return out + "]";
}

Error MissingInputs(const models::ModelVersion& version, const InferenceCall& call) {
  std::vector<std::string_view> got;
  for (const auto& input : call.inputs) got.push_back(input.name);
  std::vector<std::string_view> missing;
  for (const auto& spec : version.config->inputs) {
    if (!spec.optional && std::find(got.begin(), got.end(), spec.name) == got.end())
      missing.push_back(spec.name);
  }
  const std::size_t expected = version.config->inputs.size();
  return InvalidArgument("input_missing", "expected " + std::to_string(expected) + " inputs but got " +
                                              std::to_string(got.size()) + " inputs for model " +
                                              Quoted(version.name.str()) + ". Got input(s) " + List(got) +
                                              ", but missing required input(s) " + List(missing) +
                                              ". Please provide all required input(s).");
}

bool FitsShape(const tensor::Shape& value, const tensor::Shape& spec) {
  if (value.rank() != spec.rank()) return false;
  for (std::size_t i = 0; i < value.rank(); ++i) {
    if (spec[i] >= 0 && spec[i] != value[i]) return false;
  }
  return true;
}

Result<void> CheckInput(const models::ModelVersion& version, const models::TensorConfig& spec,
                        const tensor::Tensor& value) {
  const std::string& model = version.name.str();
  if (value.dtype != spec.dtype) {
    return InvalidArgument("input_type", "inference input " + Quoted(spec.name) + " data-type is '" +
                                             std::string(tensor::DTypeName(value.dtype)) + "', but model " +
                                             Quoted(model) + " expects '" +
                                             std::string(tensor::DTypeName(spec.dtype)) + "'");
  }
  if (!FitsShape(value.shape, spec.shape)) {
    return InvalidArgument("input_shape", "unexpected shape for input " + Quoted(spec.name) + " for model " +
                                              Quoted(model) + ". Expected " + spec.shape.ToString() +
                                              ", got " + value.shape.ToString());
  }
  return tensor::CheckTensor(spec.name, value);
}

/// Rows of the batch dimension, equal for all inputs.
Result<std::uint32_t> CountRows(const models::ModelVersion& version, const RequestPlan& plan) {
  const std::int64_t limit = version.config->max_batch_size;
  if (limit <= 0) return 1;
  std::int64_t rows = -1;
  for (std::size_t i = 0; i < plan.inputs.size(); ++i) {
    if (plan.inputs[i] == nullptr || version.config->inputs[i].shared) continue;
    const std::int64_t own = plan.inputs[i]->shape[0];
    if (rows >= 0 && own != rows) {
      return InvalidArgument("batch_size",
                             "input " + Quoted(version.config->inputs[i].name) + " batch size " +
                                 std::to_string(own) + " does not match other inputs' batch size " +
                                 std::to_string(rows) + " for model " + Quoted(version.name.str()));
    }
    rows = own;
  }
  if (rows < 1 || rows > limit) {
    return InvalidArgument(
        "batch_size", "inference request batch-size must be >= 1 and <= " + std::to_string(limit) + " for " +
                          Quoted(version.name.str()) + ", got " + std::to_string(rows));
  }
  return static_cast<std::uint32_t>(rows);
}

/// Requests with equal keys may share a batch: the same inputs are present, with equal dimensions behind the
/// batch dimension (or, when the model pads, of equal rank), and what a batch has in common is equal.
std::uint64_t BatchKey(const models::ModelConfig& config, const RequestPlan& plan) {
  KeyHash hash;
  for (std::size_t i = 0; i < plan.inputs.size(); ++i) {
    const tensor::Tensor* input = plan.inputs[i];
    if (input == nullptr) {
      hash.Add(0);
      continue;
    }
    if (config.inputs[i].shared) {
      std::uint64_t bits = 0;
      std::memcpy(&bits, input->data.data(), std::min(sizeof(bits), input->data.size()));
      hash.Add(bits);
      continue;
    }
    hash.Add(input->shape.rank() + 1);
    if (config.ragged == models::RaggedPolicy::kPad) continue;
    for (std::size_t d = 1; d < input->shape.rank(); ++d)
      hash.Add(static_cast<std::uint64_t>(input->shape[d]));
  }
  return hash.value();
}

Result<void> PlanOutputs(const models::ModelVersion& version, const InferenceCall& call, RequestPlan& plan) {
  const auto& outputs = version.config->outputs;
  if (call.outputs.empty()) {
    for (std::size_t i = 0; i < outputs.size(); ++i) plan.wanted.push_back(i);
    return {};
  }
  for (const auto& wanted : call.outputs) {
    const auto it =
        std::find_if(outputs.begin(), outputs.end(), [&](const auto& o) { return o.name == wanted.name; });
    if (it == outputs.end()) {
      return InvalidArgument("output_unexpected", "unexpected inference output " + Quoted(wanted.name) +
                                                      " for model " + Quoted(version.name.str()));
    }
    plan.wanted.push_back(static_cast<std::size_t>(it - outputs.begin()));
  }
  return {};
}

}  // namespace

Result<RequestPlan> PlanRequest(const models::ModelVersion& version, const InferenceCall& call) {
  const auto& specs = version.config->inputs;
  RequestPlan plan;
  plan.inputs.assign(specs.size(), nullptr);
  std::size_t found = 0;
  for (const auto& input : call.inputs) {
    // The caller's order is usually the model's: look there first.
    std::size_t at = found < specs.size() && specs[found].name == input.name ? found : 0;
    while (at < specs.size() && specs[at].name != input.name) ++at;
    if (at == specs.size()) {
      return InvalidArgument("input_unexpected", "unexpected inference input " + Quoted(input.name) +
                                                     " for model " + Quoted(version.name.str()));
    }
    if (plan.inputs[at] != nullptr) {
      return InvalidArgument("input_duplicate", "input " + Quoted(input.name) + " already exists in request");
    }
    plan.inputs[at] = &input.tensor;
    ++found;
  }
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (plan.inputs[i] == nullptr) {
      if (!specs[i].optional) return MissingInputs(version, call);
      continue;
    }
    MEZZO_TRY_VOID(CheckInput(version, specs[i], *plan.inputs[i]));
  }
  MEZZO_TRY(plan.rows, CountRows(version, plan));
  MEZZO_TRY_VOID(PlanOutputs(version, call, plan));
  plan.batch_key = BatchKey(*version.config, plan);
  return plan;
}

Result<sched::Class> ChooseClass(const models::ModelConfig& config, std::uint64_t priority,
                                 const tenancy::Tenant& tenant) {
  std::uint64_t level = priority;
  if (config.priority_levels > 0 && (level == 0 || level > config.priority_levels))
    level = config.default_priority;
  auto index = static_cast<std::size_t>(config.service_class);
  if (level > 0) {
    // With n declared levels the first third is interactive and the last third bulk; without, 1, 2 and the
    // rest.
    const std::uint64_t levels = std::max<std::uint64_t>(config.priority_levels, 3);
    index = static_cast<std::size_t>(std::min<std::uint64_t>((level - 1) * 3 / levels, 2));
    if (!tenant.classes.at(index) && priority > 0) {
      return PermissionDenied("class_not_allowed",
                              "priority " + std::to_string(priority) + " is class '" +
                                  std::string(sched::ClassName(static_cast<sched::Class>(index))) +
                                  "', which tenant '" + tenant.id.str() + "' may not use");
    }
  }
  while (index < tenant.classes.size() && !tenant.classes.at(index)) ++index;
  if (index == tenant.classes.size()) {
    return PermissionDenied(
        "class_not_allowed",
        "tenant '" + tenant.id.str() + "' may use no class that model '" + config.name + "' runs in");
  }
  return static_cast<sched::Class>(index);
}

}  // namespace mezzo::inference
