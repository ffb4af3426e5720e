#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"

namespace mezzo::generation {

/// The samplers that are built, by their class in Diffusers.
enum class SchedulerKind : std::uint8_t {
  kDdim,            ///< DDIMScheduler
  kPndm,            ///< PNDMScheduler
  kEuler,           ///< EulerDiscreteScheduler
  kEulerAncestral,  ///< EulerAncestralDiscreteScheduler
  kDpmMultistep,    ///< DPMSolverMultistepScheduler: DPM++ 2M and its relatives
  kLcm,             ///< LCMScheduler
};

enum class BetaSchedule : std::uint8_t { kLinear, kScaledLinear, kSquaredCosCapV2 };
/// What the model predicts: the noise, the velocity, or the picture without noise.
enum class PredictionType : std::uint8_t { kEpsilon, kVPrediction, kSample };
/// How the steps lie in the training schedule (Lin et al. 2023, table 2).
enum class TimestepSpacing : std::uint8_t { kLeading, kLinspace, kTrailing };
enum class SigmaInterpolation : std::uint8_t { kLinear, kLogLinear };
/// The noise level behind the last step: none, or the least of the training schedule.
enum class FinalSigma : std::uint8_t { kZero, kSigmaMin };
enum class DpmAlgorithm : std::uint8_t { kDpmSolverPlusPlus, kSdeDpmSolverPlusPlus };
enum class DpmSolverType : std::uint8_t { kMidpoint, kHeun };

/// A model's scheduler/scheduler_config.json, with Diffusers' names and defaults. Keys whose default depends
/// on the class are empty until Resolve().
struct SchedulerConfig {
  SchedulerKind kind = SchedulerKind::kDdim;

  // The noise that the model was trained with.
  std::size_t num_train_timesteps = 1000;
  std::optional<double> beta_start;
  std::optional<double> beta_end;
  std::optional<BetaSchedule> beta_schedule;
  std::vector<float> trained_betas;  ///< When not empty, instead of the schedule: one for each timestep.
  bool rescale_betas_zero_snr = false;
  PredictionType prediction_type = PredictionType::kEpsilon;

  // Where the steps lie.
  std::optional<TimestepSpacing> timestep_spacing;
  std::size_t steps_offset = 0;
  bool use_karras_sigmas = false;
  std::optional<double> sigma_min;  ///< Of Karras' schedule; default: that of the training schedule.
  std::optional<double> sigma_max;
  SigmaInterpolation interpolation_type = SigmaInterpolation::kLinear;
  FinalSigma final_sigmas_type = FinalSigma::kZero;
  std::optional<bool> set_alpha_to_one;

  // What is done to the predicted picture.
  std::optional<bool> clip_sample;
  double clip_sample_range = 1.0;
  bool thresholding = false;
  double dynamic_thresholding_ratio = 0.995;
  double sample_max_value = 1.0;

  // Of single classes.
  bool skip_prk_steps = false;                                     ///< PNDM
  std::size_t original_inference_steps = 50;                       ///< LCM
  double timestep_scaling = 10.0;                                  ///< LCM
  std::size_t solver_order = 2;                                    ///< DPM, 1 to 3
  DpmAlgorithm algorithm_type = DpmAlgorithm::kDpmSolverPlusPlus;  ///< DPM
  DpmSolverType solver_type = DpmSolverType::kMidpoint;            ///< DPM
  bool lower_order_final = true;                                   ///< DPM
  bool euler_at_final = false;                                     ///< DPM
  std::optional<double> lambda_min_clipped;                        ///< DPM; default: none

  /// Keys of the file that mean nothing here, for the log: Diffusers ignores them, too.
  std::vector<std::string> ignored_keys;
  /// Values that are not built here. They matter to some kinds only: see CheckSupported().
  struct Unsupported {
    std::vector<SchedulerKind> kinds;
    std::string message;
  };
  std::vector<Unsupported> unsupported;
};

/// Reads a scheduler_config.json of at most 1 MiB; -Infinity, which Diffusers writes, is taken. Keys of other
/// classes are kept, because a configuration may be used with another sampler. Errors:
/// - "scheduler_config_invalid" (kInvalidArgument): no JSON, or a value out of its range, naming key and
/// value;
/// - "scheduler_unsupported" (kUnimplemented): a class, or a value that matters to it, that is not built
/// here.
Result<SchedulerConfig> ParseSchedulerConfig(std::string_view json);

/// Fails with "scheduler_unsupported" when a value that `kind` uses is not built here.
Result<void> CheckSupported(const SchedulerConfig& config, SchedulerKind kind);

/// The kind of a class of Diffusers, or nothing.
std::optional<SchedulerKind> SchedulerKindOf(std::string_view class_name);
/// The class of Diffusers.
std::string_view SchedulerClassName(SchedulerKind kind);

/// `config` for the sampler `kind`, as `from_config()` of Diffusers makes it: what the file left out gets the
/// default of that class, and what the class does not know is switched off. No key that has a default is
/// empty afterwards.
SchedulerConfig Resolve(SchedulerConfig config, SchedulerKind kind);

}  // namespace mezzo::generation
