#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mezzo/base/clock.h"

namespace mezzo::releases {

/// What one attempt of a call on an arm came to. The stable version's answer to a call that another arm
/// failed is no outcome of any arm: nobody drew it.
struct ArmOutcome {
  Duration latency{};    ///< Of the arm's own attempt, waiting included.
  double cost = 0;       ///< Device seconds.
  bool failed = false;   ///< By the version or what runs it; never by the caller, or by one of its limits.
  bool retried = false;  ///< The stable version was asked as well.
  bool late = false;     ///< The stable version answered while this one had not yet.
  /// Of a shadow's picture with the one the caller got: their SSIM, 0 where they can't be compared.
  std::optional<double> likeness{};
  bool kept = false;  ///< Answered without a run, from the cache: was drawn, and tells nothing else.
};

/// Takes the outcomes of one arm. Thread-safe; never blocks, and costs some ten nanoseconds.
class ArmOutcomes {
 public:
  virtual ~ArmOutcomes() = default;
  virtual void Record(const ArmOutcome& outcome) = 0;
};

inline constexpr const char* kShadowArm = "shadow";

/// Keeps what arms' calls come to, for the analysis of releases. Thread-safe.
class OutcomeSink {
 public:
  virtual ~OutcomeSink() = default;
  /// Of an arm, from the taking over of a route on, for as long as the result is kept. `series` is the
  /// split's salt: a release draws a new one, and so starts from zero. The copies of a shadow are the arm
  /// kShadowArm. Null: they are not kept.
  virtual std::shared_ptr<ArmOutcomes> Arm(const std::string& model, const std::string& series,
                                           const std::string& arm) = 0;
};

}  // namespace mezzo::releases
