#include "mezzo/media/limiter.h"

#include <algorithm>
#include <cmath>

namespace mezzo::media {
namespace {

// Halves what is missing to 1 in about 70 ms.
constexpr double kRelease = 1.0 / (0.1 * kSampleRate);

}  // namespace

Limiter::Limiter(double ceiling)
    : ceiling_(ceiling), delayed_(latency() * kChannels, 0.0F), recent_(kWindow, 1.0), recent_sum_(kWindow) {}

double Limiter::NextGain(double need) {
  while (!least_.empty() && least_.back().gain >= need) least_.pop_back();
  least_.push_back({index_, need});
  if (least_.front().index + kWindow <= index_) least_.pop_front();
  ++index_;
  const double least = least_.front().gain;
  held_ = std::min(least, held_ + (1 - held_) * kRelease);
  recent_sum_ += held_ - recent_[recent_at_];
  recent_[recent_at_] = held_;
  recent_at_ = (recent_at_ + 1) % kWindow;
  return recent_sum_ / kWindow;
}

void Limiter::Process(std::span<float> sound) {
  for (std::size_t i = 0; i + kChannels <= sound.size(); i += kChannels) {
    double peak = 0;
    for (std::size_t c = 0; c < kChannels; ++c) peak = std::max(peak, peaks_[c].Push(sound[i + c]));
    const double gain = NextGain(peak > ceiling_ ? ceiling_ / peak : 1.0);
    for (std::size_t c = 0; c < kChannels; ++c) {
      const float now = sound[i + c];
      sound[i + c] = static_cast<float>(delayed_[delayed_at_ + c] * gain);
      delayed_[delayed_at_ + c] = now;
    }
    delayed_at_ = (delayed_at_ + kChannels) % delayed_.size();
  }
}

}  // namespace mezzo::media
