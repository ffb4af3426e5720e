#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "mezzo/media/audio.h"

namespace mezzo::media {

/// Integrated loudness of stereo sound at 48 kHz by ITU-R BS.1770-4: K-weighting, mean square over 400 ms
/// blocks that overlap by 75 %, an absolute gate at -70 LUFS and a relative one 10 LU below the mean of what
/// passed it.
///
/// Keeps 8 bytes for each 100 ms. Not thread-safe.
class LoudnessMeter {
 public:
  LoudnessMeter();

  /// The next sound (audio.h), whole frames.
  void Add(std::span<const float> sound);
  /// In LUFS; minus infinity when nothing passed the gates, as for silence and for less than 400 ms.
  [[nodiscard]] double Integrated() const;

 private:
  /// A second-order filter in transposed direct form II.
  struct Biquad {
    double b0, b1, b2, a1, a2;
    double s1 = 0;
    double s2 = 0;
    double Run(double x) {
      const double y = b0 * x + s1;
      s1 = b1 * x - a1 * y + s2;
      s2 = b2 * x - a2 * y;
      return y;
    }
  };
  struct Channel {
    Biquad shelf;
    Biquad high_pass;
  };

  std::array<Channel, kChannels> channels_;
  double step_sum_ = 0;  // Weighted squares of both channels in the step of 100 ms that is being filled.
  std::size_t step_frames_ = 0;  // Sound frames in it.
  std::vector<double> steps_;    // Mean squares of finished steps.
};

/// The factor that changes a level by `decibels`.
double DecibelsToGain(double decibels);

/// Highest absolute value of the waveform between the samples too: BS.1770-4 annex 2, four times oversampled
/// by its 48-tap filter. Streaming; one channel. Not thread-safe.
class TruePeakFilter {
 public:
  /// How many samples after its own Push() a sample is in the middle of the filter.
  static constexpr std::size_t kDelay = 6;

  /// Takes the next sample and returns the highest of the four points around the sample of kDelay pushes
  /// before.
  double Push(float sample);

 private:
  static constexpr std::size_t kTaps = 12;
  std::array<float, 2 * kTaps> history_{};  // A ring, twice, so that every window of it lies in one piece.
  std::size_t next_ = 0;
};

}  // namespace mezzo::media
