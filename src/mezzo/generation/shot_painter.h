#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/jobs/job.h"
#include "mezzo/media/picture.h"
#include "mezzo/runtime/context.h"

namespace mezzo::generation {

/// One picture for a storyboard.
struct ShotOrder {
  TenantId tenant;
  ProjectId project;  ///< Charged, with the key; empty: none.
  KeyId key;
  jobs::Tier tier = jobs::Tier::kFree;
  std::string model;
  std::string version;  ///< Empty: the painter chooses.
  std::string prompt;
  std::string negative_prompt;
  media::FrameSize frame;  ///< Of the video: a picture of this shape is wanted, of any size.
  std::uint64_t seed = 0;
  std::optional<std::size_t> steps;  ///< Default: the model's own.
  double steps_factor = 1;           ///< Multiplies the steps, those of the model too; at least one is left.
  std::optional<double> guidance;    ///< Default: the model's own.
};

struct PaintedShot {
  media::RgbaPicture picture;
  Duration device_time = {};
  std::string version;  ///< Of the model that has made it.
};

/// Makes pictures from prompts. Thread-safe.
class ShotPainter {
 public:
  virtual ~ShotPainter() = default;

  /// Predicted device seconds of `order`. Quick, does not block. Fails with what makes the order impossible:
  /// kNotFound "model_unknown", kInvalidArgument for values that the model does not take.
  virtual Result<double> Check(const ShotOrder& order) = 0;

  /// Blocks until the picture is there; the same order gives the same picture. `progress` hears the part
  /// done, 0 to 1, on the calling thread. Fails with kCancelled "cancelled" and kDeadlineExceeded "deadline"
  /// soon after `ctx` says so.
  virtual Result<PaintedShot> Paint(const runtime::Context& ctx, const ShotOrder& order,
                                    const std::function<void(double)>& progress) = 0;
};

}  // namespace mezzo::generation
