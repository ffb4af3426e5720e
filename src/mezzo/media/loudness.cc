#include "mezzo/media/loudness.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mezzo::media {
namespace {

constexpr std::size_t kStepFrames = kSampleRate / 10;
constexpr std::size_t kStepsPerBlock = 4;
constexpr double kAbsoluteGate = -70;  // LUFS.
constexpr double kRelativeGate = -10;  // LU.

double ToLufs(double mean_square) { return -0.691 + 10 * std::log10(mean_square); }
double ToMeanSquare(double lufs) { return std::pow(10, (lufs + 0.691) / 10); }

// BS.1770-4 annex 2, table of the interpolating filter: one row for each of four phases. Phases 2 and 3 are 1
// and 0 backwards.
constexpr float kPhases[2][12] = {
    {0.001708984375F, 0.010986328125F, -0.0196533203125F, 0.033203125F, -0.0594482421875F, 0.1373291015625F,
     0.97216796875F, -0.102294921875F, 0.047607421875F, -0.026611328125F, 0.014892578125F, -0.00830078125F},
    {-0.0291748046875F, 0.029296875F, -0.0517578125F, 0.089111328125F, -0.16650390625F, 0.465087890625F,
     0.77978515625F, -0.2003173828125F, 0.1015625F, -0.0582275390625F, 0.0330810546875F, -0.0189208984375F}};

}  // namespace

LoudnessMeter::LoudnessMeter() {
  // BS.1770-4, tables 1 and 2, for 48 kHz.
  for (Channel& channel : channels_) {
    channel.shelf = {.b0 = 1.53512485958697,
                     .b1 = -2.69169618940638,
                     .b2 = 1.19839281085285,
                     .a1 = -1.69065929318241,
                     .a2 = 0.73248077421585};
    channel.high_pass = {.b0 = 1, .b1 = -2, .b2 = 1, .a1 = -1.99004745483398, .a2 = 0.99007225036621};
  }
}

void LoudnessMeter::Add(std::span<const float> sound) {
  for (std::size_t i = 0; i + kChannels <= sound.size(); i += kChannels) {
    for (std::size_t c = 0; c < kChannels; ++c) {
      const double weighted = channels_[c].high_pass.Run(channels_[c].shelf.Run(sound[i + c]));
      step_sum_ += weighted * weighted;
    }
    if (++step_frames_ < kStepFrames) continue;
    steps_.push_back(step_sum_ / kStepFrames);
    step_sum_ = 0;
    step_frames_ = 0;
  }
}

double LoudnessMeter::Integrated() const {
  std::vector<double> blocks;
  for (std::size_t i = 0; i + kStepsPerBlock <= steps_.size(); ++i) {
    double sum = 0;
    for (std::size_t k = i; k < i + kStepsPerBlock; ++k) sum += steps_[k];
    blocks.push_back(sum / kStepsPerBlock);
  }
  const auto mean_above = [&blocks](double gate) {
    double sum = 0;
    std::size_t count = 0;
    for (const double block : blocks) {
      if (block <= gate) continue;
      sum += block;
      ++count;
    }
    return count == 0 ? 0.0 : sum / static_cast<double>(count);
  };
  const double absolute = ToMeanSquare(kAbsoluteGate);
  const double loud = mean_above(absolute);
  if (loud == 0) return -std::numeric_limits<double>::infinity();
  // The relative gate never lets through what the absolute one does not.
  return ToLufs(mean_above(std::max(absolute, ToMeanSquare(ToLufs(loud) + kRelativeGate))));
}

double DecibelsToGain(double decibels) { return std::pow(10, decibels / 20); }

double TruePeakFilter::Push(float sample) {
  history_[next_] = history_[next_ + kTaps] = sample;
  next_ = next_ + 1 == kTaps ? 0 : next_ + 1;
  const float* oldest_first = history_.data() + next_;
  float sums[4] = {};
  for (std::size_t k = 0; k < kTaps; ++k) {
    // Tap 0 meets the newest sample.
    sums[0] += kPhases[0][kTaps - 1 - k] * oldest_first[k];
    sums[1] += kPhases[1][kTaps - 1 - k] * oldest_first[k];
    sums[2] += kPhases[1][k] * oldest_first[k];
    sums[3] += kPhases[0][k] * oldest_first[k];
  }
  float peak = 0;
  for (const float sum : sums) peak = std::max(peak, std::abs(sum));
  return peak;
}

}  // namespace mezzo::media
