#include "mezzo/generation/scheduler_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <set>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::generation {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxTrainTimesteps = 100'000;
constexpr double kHuge = 1e6;
// A beta of 0 adds no noise, one of 1 leaves no picture.
constexpr double kMinBeta = 1e-12;
constexpr double kMaxBeta = 0.999999;

constexpr std::array<std::pair<std::string_view, SchedulerKind>, 6> kClasses = {{
    {"DDIMScheduler", SchedulerKind::kDdim},
    {"PNDMScheduler", SchedulerKind::kPndm},
    {"EulerDiscreteScheduler", SchedulerKind::kEuler},
    {"EulerAncestralDiscreteScheduler", SchedulerKind::kEulerAncestral},
    {"DPMSolverMultistepScheduler", SchedulerKind::kDpmMultistep},
    {"LCMScheduler", SchedulerKind::kLcm},
}};

constexpr std::string_view kMinusInfinity = "-Infinity";

/// JSON has no infinity, but Python's writer does, and Diffusers uses it: -Infinity becomes a string.
std::string QuoteMinusInfinity(std::string_view json) {
  std::string out;
  out.reserve(json.size() + 2);
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (!in_string && json.substr(i).starts_with(kMinusInfinity)) {
      out.append("\"").append(kMinusInfinity).append("\"");
      i += kMinusInfinity.size() - 1;
      continue;
    }
    out += json[i];
    if (json[i] == '"') {
      in_string = !in_string;
    } else if (in_string && json[i] == '\\' && i + 1 < json.size()) {
      out += json[++i];
    }
  }
  return out;
}

using Kinds = std::span<const SchedulerKind>;

constexpr std::array kAllKinds = {SchedulerKind::kDdim,         SchedulerKind::kPndm,
                                  SchedulerKind::kEuler,        SchedulerKind::kEulerAncestral,
                                  SchedulerKind::kDpmMultistep, SchedulerKind::kLcm};
constexpr std::array kEulerOnly = {SchedulerKind::kEuler};
constexpr std::array kDpmOnly = {SchedulerKind::kDpmMultistep};
constexpr std::array kEulerAndDpm = {SchedulerKind::kEuler, SchedulerKind::kDpmMultistep};

std::string Shown(const Json& value) { return Printable(value.dump(), 64); }

Error Invalid(std::string_view key, const Json& value, std::string_view wanted) {
  return InvalidArgument("scheduler_config_invalid",
                         fmt::format("'{}' is {}, must be {}", key, Shown(value), wanted));
}

/// Takes the keys out of a JSON object one by one; the first error sticks. null counts as absent.
class Reader {
 public:
  explicit Reader(const Json& object) : object_(object) {}

  void Bool(std::string_view key, const std::function<void(bool)>& set) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return Fail(Invalid(key, *value, "true or false"));
    set(value->get<bool>());
  }

  /// Integers of [min, max].
  void Count(std::string_view key, std::size_t min, std::size_t max, std::size_t* out) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    const bool fits = value->is_number_unsigned() && value->get<std::uint64_t>() >= min &&
                      value->get<std::uint64_t>() <= max;
    if (!fits) return Fail(Invalid(key, *value, fmt::format("an integer from {} to {}", min, max)));
    *out = value->get<std::size_t>();
  }

  /// Finite numbers of [min, max].
  void Number(std::string_view key, double min, double max, const std::function<void(double)>& set) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    const double number = value->is_number() ? value->get<double>() : std::nan("");
    if (!(number >= min && number <= max)) {
      return Fail(Invalid(key, *value, fmt::format("a number from {} to {}", min, max)));
    }
    set(number);
  }

  template <typename Enum>
  struct Choice {
    std::string_view name;
    Enum value;
  };
  /// One of the names; another one is unsupported for `kinds`.
  template <typename Enum>
  void OneOf(std::string_view key, Kinds kinds, std::initializer_list<Choice<Enum>> choices,
             const std::function<void(Enum)>& set) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    std::string names;
    for (const Choice<Enum>& choice : choices) {
      if (*value == choice.name) return set(choice.value);
      names += (names.empty() ? "" : ", ") + std::string(choice.name);
    }
    if (!value->is_string()) return Fail(Invalid(key, *value, "one of " + names));
    unsupported_.push_back({{kinds.begin(), kinds.end()},
                            fmt::format("'{}' is {}; supported are {}", key, Shown(*value), names)});
  }

  /// A key that is supported with one value only; another one is unsupported for `kinds`.
  void Only(std::string_view key, Kinds kinds, const Json& supported) {
    const Json* value = Find(key);
    if (value == nullptr || *value == supported) return;
    unsupported_.push_back(
        {{kinds.begin(), kinds.end()},
         fmt::format("'{}' is {}; supported is {}", key, Shown(*value), supported.dump())});
  }

  const Json* Find(std::string_view key) {
    const auto found = object_.find(key);
    known_.emplace(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  void Fail(Error error) {
    if (!error_.has_value()) error_ = std::move(error);
  }

  [[nodiscard]] std::optional<Error>& error() { return error_; }
  [[nodiscard]] std::vector<SchedulerConfig::Unsupported>& unsupported() { return unsupported_; }
  /// Keys that nobody asked for, without those that start with '_'.
  [[nodiscard]] std::vector<std::string> OtherKeys() const {
    std::vector<std::string> others;
    for (const auto& [key, value] : object_.items()) {
      if (!key.starts_with('_') && !known_.contains(key)) others.push_back(Printable(key));
    }
    return others;
  }

 private:
  const Json& object_;
  std::set<std::string, std::less<>> known_;
  std::vector<SchedulerConfig::Unsupported> unsupported_;
  std::optional<Error> error_;
};

template <typename T>
auto Into(T* out) {
  return [out](auto value) { *out = value; };
}

void ReadBetas(Reader& reader, SchedulerConfig* config) {
  reader.Count("num_train_timesteps", 2, kMaxTrainTimesteps, &config->num_train_timesteps);
  reader.Number("beta_start", kMinBeta, kMaxBeta, Into(&config->beta_start));
  reader.Number("beta_end", kMinBeta, kMaxBeta, Into(&config->beta_end));
  reader.OneOf<BetaSchedule>("beta_schedule", kAllKinds,
                             {{"linear", BetaSchedule::kLinear},
                              {"scaled_linear", BetaSchedule::kScaledLinear},
                              {"squaredcos_cap_v2", BetaSchedule::kSquaredCosCapV2}},
                             Into(&config->beta_schedule));
  reader.Bool("rescale_betas_zero_snr", Into(&config->rescale_betas_zero_snr));
  reader.OneOf<PredictionType>("prediction_type", kAllKinds,
                               {{"epsilon", PredictionType::kEpsilon},
                                {"v_prediction", PredictionType::kVPrediction},
                                {"sample", PredictionType::kSample}},
                               Into(&config->prediction_type));

  const Json* betas = reader.Find("trained_betas");
  if (betas == nullptr) return;
  if (!betas->is_array() || betas->size() != config->num_train_timesteps) {
    return reader.Fail(
        Invalid("trained_betas", *betas, fmt::format("an array of {} numbers", config->num_train_timesteps)));
  }
  for (const Json& beta : *betas) {
    const double value = beta.is_number() ? beta.get<double>() : std::nan("");
    if (!(value >= kMinBeta && value <= kMaxBeta)) {
      return reader.Fail(
          Invalid("trained_betas", beta, fmt::format("of numbers from {} to {}", kMinBeta, kMaxBeta)));
    }
    config->trained_betas.push_back(static_cast<float>(value));
  }
}

void ReadSteps(Reader& reader, SchedulerConfig* config) {
  reader.OneOf<TimestepSpacing>("timestep_spacing", kAllKinds,
                                {{"leading", TimestepSpacing::kLeading},
                                 {"linspace", TimestepSpacing::kLinspace},
                                 {"trailing", TimestepSpacing::kTrailing}},
                                Into(&config->timestep_spacing));
  reader.Count("steps_offset", 0, kMaxTrainTimesteps, &config->steps_offset);
  reader.Bool("use_karras_sigmas", Into(&config->use_karras_sigmas));
  reader.Number("sigma_min", 1 / kHuge, kHuge, Into(&config->sigma_min));
  reader.Number("sigma_max", 1 / kHuge, kHuge, Into(&config->sigma_max));
  reader.OneOf<SigmaInterpolation>(
      "interpolation_type", kEulerOnly,
      {{"linear", SigmaInterpolation::kLinear}, {"log_linear", SigmaInterpolation::kLogLinear}},
      Into(&config->interpolation_type));
  reader.OneOf<FinalSigma>("final_sigmas_type", kEulerAndDpm,
                           {{"zero", FinalSigma::kZero}, {"sigma_min", FinalSigma::kSigmaMin}},
                           Into(&config->final_sigmas_type));
  reader.Bool("set_alpha_to_one", Into(&config->set_alpha_to_one));
  reader.Only("timestep_type", kEulerOnly, "discrete");
  reader.Only("use_lu_lambdas", kDpmOnly, false);
  reader.Only("use_exponential_sigmas", kEulerAndDpm, false);
  reader.Only("use_beta_sigmas", kEulerAndDpm, false);
  reader.Only("use_flow_sigmas", kDpmOnly, false);
  reader.Only("variance_type", kDpmOnly, nullptr);
}

void ReadPrediction(Reader& reader, SchedulerConfig* config) {
  reader.Bool("clip_sample", Into(&config->clip_sample));
  reader.Number("clip_sample_range", 0, kHuge, Into(&config->clip_sample_range));
  reader.Bool("thresholding", Into(&config->thresholding));
  reader.Number("dynamic_thresholding_ratio", 0, 1, Into(&config->dynamic_thresholding_ratio));
  reader.Number("sample_max_value", 1 / kHuge, kHuge, Into(&config->sample_max_value));
}

void ReadLambdaMin(Reader& reader, SchedulerConfig* config) {
  const Json* value = reader.Find("lambda_min_clipped");
  if (value == nullptr || *value == kMinusInfinity) return;
  reader.Number("lambda_min_clipped", -kHuge, kHuge, Into(&config->lambda_min_clipped));
}

/// Names of other solvers mean what they mean to DPMSolverMultistepScheduler.
void ReadClassOptions(Reader& reader, SchedulerConfig* config) {
  reader.Bool("skip_prk_steps", Into(&config->skip_prk_steps));
  reader.Count("original_inference_steps", 1, kMaxTrainTimesteps, &config->original_inference_steps);
  reader.Number("timestep_scaling", 0, kHuge, Into(&config->timestep_scaling));
  reader.Count("solver_order", 1, 3, &config->solver_order);
  reader.OneOf<DpmAlgorithm>("algorithm_type", kDpmOnly,
                             {{"dpmsolver++", DpmAlgorithm::kDpmSolverPlusPlus},
                              {"deis", DpmAlgorithm::kDpmSolverPlusPlus},
                              {"sde-dpmsolver++", DpmAlgorithm::kSdeDpmSolverPlusPlus}},
                             Into(&config->algorithm_type));
  reader.OneOf<DpmSolverType>("solver_type", kDpmOnly,
                              {{"midpoint", DpmSolverType::kMidpoint},
                               {"heun", DpmSolverType::kHeun},
                               {"logrho", DpmSolverType::kMidpoint},
                               {"bh1", DpmSolverType::kMidpoint},
                               {"bh2", DpmSolverType::kMidpoint}},
                              Into(&config->solver_type));
  reader.Bool("lower_order_final", Into(&config->lower_order_final));
  reader.Bool("euler_at_final", Into(&config->euler_at_final));
  ReadLambdaMin(reader, config);
}

Result<SchedulerKind> ReadKind(const Json& object) {
  const auto found = object.find("_class_name");
  if (found == object.end() || !found->is_string()) {
    return InvalidArgument("scheduler_config_invalid", "'_class_name' must be the name of a class");
  }
  const auto kind = SchedulerKindOf(found->get_ref<const std::string&>());
  if (kind.has_value()) return *kind;
  std::string names;
  for (const auto& [name, unused] : kClasses) names += (names.empty() ? "" : ", ") + std::string(name);
  return Unimplemented("scheduler_unsupported",
                       fmt::format("'_class_name' is {}; supported are {}", Shown(*found), names));
}

}  // namespace

Result<SchedulerConfig> ParseSchedulerConfig(std::string_view json) {
  if (json.size() > kMaxBytes) {
    return InvalidArgument("scheduler_config_invalid",
                           fmt::format("the file has {} bytes; the limit is {}", json.size(), kMaxBytes));
  }
  const Json object = Json::parse(QuoteMinusInfinity(json), nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return InvalidArgument("scheduler_config_invalid", "the file is not a JSON object");
  }
  SchedulerConfig config;
  MEZZO_TRY(config.kind, ReadKind(object));
  Reader reader(object);
  ReadBetas(reader, &config);
  ReadSteps(reader, &config);
  ReadPrediction(reader, &config);
  ReadClassOptions(reader, &config);
  if (reader.error().has_value()) return *std::move(reader.error());
  config.ignored_keys = reader.OtherKeys();
  config.unsupported = std::move(reader.unsupported());
  MEZZO_TRY_VOID(CheckSupported(config, config.kind));
  return config;
}

Result<void> CheckSupported(const SchedulerConfig& config, SchedulerKind kind) {
  for (const SchedulerConfig::Unsupported& value : config.unsupported) {
    if (std::find(value.kinds.begin(), value.kinds.end(), kind) == value.kinds.end()) continue;
    return Unimplemented("scheduler_unsupported",
                         fmt::format("{}: {}", SchedulerClassName(kind), value.message));
  }
  return {};
}

std::optional<SchedulerKind> SchedulerKindOf(std::string_view class_name) {
  for (const auto& [name, kind] : kClasses) {
    if (name == class_name) return kind;
  }
  return std::nullopt;
}

std::string_view SchedulerClassName(SchedulerKind kind) {
  const auto* const found = std::find_if(kClasses.begin(), kClasses.end(),
                                         [kind](const auto& entry) { return entry.second == kind; });
  return found->first;
}

SchedulerConfig Resolve(SchedulerConfig config, SchedulerKind kind) {
  const bool lcm = kind == SchedulerKind::kLcm;
  const bool linspace = kind == SchedulerKind::kEuler || kind == SchedulerKind::kEulerAncestral ||
                        kind == SchedulerKind::kDpmMultistep;
  config.kind = kind;
  config.beta_start = config.beta_start.value_or(lcm ? 0.00085 : 0.0001);
  config.beta_end = config.beta_end.value_or(lcm ? 0.012 : 0.02);
  config.beta_schedule =
      config.beta_schedule.value_or(lcm ? BetaSchedule::kScaledLinear : BetaSchedule::kLinear);
  config.timestep_spacing =
      config.timestep_spacing.value_or(linspace ? TimestepSpacing::kLinspace : TimestepSpacing::kLeading);
  config.clip_sample =
      (kind == SchedulerKind::kDdim || lcm) && config.clip_sample.value_or(kind == SchedulerKind::kDdim);
  config.set_alpha_to_one = config.set_alpha_to_one.value_or(kind != SchedulerKind::kPndm);
  config.thresholding &= kind == SchedulerKind::kDdim || lcm || kind == SchedulerKind::kDpmMultistep;
  config.rescale_betas_zero_snr &= kind != SchedulerKind::kPndm;
  config.use_karras_sigmas &= kind == SchedulerKind::kEuler || kind == SchedulerKind::kDpmMultistep;
  return config;
}

}  // namespace mezzo::generation
