#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/media/limiter.h"
#include "mezzo/media/sound_source.h"
#include "mezzo/media/speech_synthesizer.h"

namespace mezzo::media {

/// Speech and when it begins. What goes beyond the end of the mix is faded out before it.
struct SpeechPart {
  Duration start = Duration::zero();
  Speech speech;
};

/// Mixes a video's sound: music repeated or cut to the length, with fades, turned down while somebody speaks,
/// the whole brought to a loudness without exceeding a true peak.
///
/// Streaming: the memory is that of the speech and of small buffers, whatever the length. Not thread-safe.
class Mixer {
 public:
  struct Options {
    Duration length = Duration::zero();
    Duration fade_in = std::chrono::milliseconds(500);
    Duration fade_out = std::chrono::seconds(2);
    double target_lufs = -16;
    double max_true_peak = -1.5;                             ///< dBTP; below 0 for what lossy encoding adds.
    double duck_decibels = -14;                              ///< Of the music under speech,
    Duration duck_attack = std::chrono::milliseconds(200);   ///< reached this long, before the speech begins,
    Duration duck_release = std::chrono::milliseconds(500);  ///< and given back after its end.
  };

  /// `music` may be null. Speech parts are in order of time and do not overlap.
  Mixer(Options options, std::unique_ptr<SoundSource> music, std::vector<SpeechPart> speech);

  /// Runs through all sound (a few times) to find the gains. Before the first Read(). Fails when the music
  /// can't be read, with kInvalidArgument "sound_invalid" when it is empty.
  Result<void> Prepare();
  /// Fills `out` (whole frames) and returns the number of frames; fewer than asked only at the end.
  Result<std::size_t> Read(std::span<float> out);

  /// Of the prepared mix, in LUFS; minus infinity when it is silent.
  [[nodiscard]] double loudness() const { return loudness_; }

 private:
  /// A point of a curve in decibels over time; straight between points.
  struct DuckPoint {
    double second;
    double decibels;
  };

  Result<void> Restart();
  Result<void> ReadMusic(std::span<float> out);
  Result<std::size_t> ReadRaw(std::span<float> out);
  Result<double> MeasureMusic();
  Result<double> MeasureMix();
  void LevelSpeech();
  void PlanDucking();
  void AddSpeech(std::span<float> out) const;
  [[nodiscard]] double DuckGain(double second);

  const Options options_;
  const std::uint64_t total_;  // Sound frames.
  std::unique_ptr<SoundSource> music_;
  std::vector<SpeechPart> speech_;
  std::vector<DuckPoint> ducking_;
  std::size_t duck_at_ = 0;
  double music_gain_ = 1;
  double mix_gain_ = 1;
  double loudness_;
  std::uint64_t raw_at_ = 0;  // The next frame of the mix before the limiter,
  std::uint64_t at_ = 0;      // and after it.
  std::optional<Limiter> limiter_;
};

}  // namespace mezzo::media
