#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/media/storyboard.h"

namespace mezzo::media {

/// What is given up while the platform is under pressure, each level on top of the one before.
enum class DegradationLevel : std::uint8_t {
  kFull,        ///< Nothing.
  kNoSpeech,    ///< Spoken text.
  kFewerSteps,  ///< Half of the denoising steps of generated pictures.
  kSmaller,     ///< 1080p becomes 720p.
};
inline constexpr std::size_t kDegradationLevels = 4;

/// "full", "no_speech", "fewer_steps", "smaller": for results, logs and metrics.
std::string_view DegradationName(DegradationLevel level);

/// Chooses the level from the pressure, with hysteresis so that it does not flutter: it climbs one level when
/// the pressure has been at or above the next level's `up` for `climb_after`, and comes down one when it has
/// been below the own level's `down` for `descend_after`. Knows no clock. Not thread-safe.
class DegradationLadder {
 public:
  struct Options {
    /// Pressures (0 idle, 1 saturated) at which levels 1, 2 and 3 begin and end; each `down` is below its
    /// `up`.
    std::array<double, kDegradationLevels - 1> up = {0.70, 0.85, 0.95};
    std::array<double, kDegradationLevels - 1> down = {0.50, 0.65, 0.80};
    Duration climb_after = std::chrono::seconds(10);
    Duration descend_after = std::chrono::seconds(60);
  };
  explicit DegradationLadder(Options options);

  /// Takes the pressure at `now` (not before the last call's) and returns the level from now on.
  DegradationLevel Update(double pressure, TimePoint now);
  [[nodiscard]] DegradationLevel level() const { return level_; }

 private:
  const Options options_;
  DegradationLevel level_ = DegradationLevel::kFull;
  std::optional<TimePoint> high_since_;
  std::optional<TimePoint> low_since_;
};

/// What a level does to one video.
struct Degradation {
  double steps_factor = 1;  ///< Multiplies the denoising steps of generated pictures.
  /// What was given up, for the result: "speech left out: the platform is under pressure". Empty when nothing
  /// that this video had asked for was.
  std::vector<std::string> notes;
};

/// Changes `storyboard` as `level` says, and says what it changed.
Degradation ApplyDegradation(DegradationLevel level, Storyboard& storyboard);

}  // namespace mezzo::media
