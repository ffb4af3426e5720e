#include "mezzo/media/mixer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mezzo/base/check.h"

namespace mezzo::media {
namespace {

constexpr std::size_t kPieceFrames = 4096;
constexpr double kReferenceLufs =
    -20;                         // Music and speech meet at this level before the mix is brought to its own.
constexpr double kMaxGain = 30;  // dB: what is quieter than that is noise.
constexpr double kCloseEnough = 0.05;  // LU.
constexpr int kMaxPasses = 6;
constexpr double kShortFade = 0.05;  // Seconds: so that speech cut off at the end does not click.

double SecondsOf(std::uint64_t frame) { return static_cast<double>(frame) / kSampleRate; }

/// The change in dB from `now` to `wanted`; none when there is nothing to change.
double Missing(double now, double wanted) {
  return std::isfinite(now) ? std::clamp(wanted - now, -60.0, kMaxGain) : 0.0;
}

}  // namespace

Mixer::Mixer(Options options, std::unique_ptr<SoundSource> music, std::vector<SpeechPart> speech)
    : options_(options),
      total_(SoundFrames(options.length)),
      music_(std::move(music)),
      speech_(std::move(speech)),
      loudness_(-std::numeric_limits<double>::infinity()) {
  PlanDucking();
}

void Mixer::PlanDucking() {
  const double attack = Seconds(options_.duck_attack);
  const double release = Seconds(options_.duck_release);
  for (const SpeechPart& part : speech_) {
    if (part.speech.samples.empty()) continue;
    const double start = Seconds(part.start);
    const double end = start + Seconds(part.speech.duration());
    const bool stays_down = !ducking_.empty() && ducking_.back().second >= start - attack;
    if (stays_down) {
      ducking_.pop_back();
    } else {
      ducking_.push_back({start - attack, 0});
      ducking_.push_back({start, options_.duck_decibels});
    }
    ducking_.push_back({end, options_.duck_decibels});
    ducking_.push_back({end + release, 0});
  }
}

double Mixer::DuckGain(double second) {
  while (duck_at_ < ducking_.size() && ducking_[duck_at_].second <= second) ++duck_at_;
  if (duck_at_ == 0 || duck_at_ == ducking_.size()) return 1;
  const DuckPoint& a = ducking_[duck_at_ - 1];
  const DuckPoint& b = ducking_[duck_at_];
  const double part = (second - a.second) / std::max(1e-9, b.second - a.second);
  return DecibelsToGain(a.decibels + (b.decibels - a.decibels) * part);
}

void Mixer::LevelSpeech() {
  for (SpeechPart& part : speech_) {
    LoudnessMeter meter;
    for (const float sample : part.speech.samples) {
      const float both[] = {sample, sample};
      meter.Add(both);
    }
    const auto gain = static_cast<float>(DecibelsToGain(Missing(meter.Integrated(), kReferenceLufs)));
    for (float& sample : part.speech.samples) sample *= gain;
  }
}

Result<void> Mixer::Restart() {
  if (music_ != nullptr) MEZZO_TRY_VOID(music_->Rewind());
  limiter_.emplace(DecibelsToGain(options_.max_true_peak));
  duck_at_ = 0;
  raw_at_ = 0;
  at_ = 0;
  return {};
}

Result<void> Mixer::ReadMusic(std::span<float> out) {
  std::size_t done = 0;
  bool fresh = false;
  while (done < out.size()) {
    MEZZO_TRY(const std::size_t frames, music_->Read(out.subspan(done)));
    done += frames * kChannels;
    if (done == out.size()) break;
    if (frames == 0 && fresh) return InvalidArgument("sound_invalid", "the music has no sound in it");
    fresh = true;
    MEZZO_TRY_VOID(music_->Rewind());
  }
  return {};
}

void Mixer::AddSpeech(std::span<float> out) const {
  const std::uint64_t end = raw_at_ + out.size() / kChannels;
  for (const SpeechPart& part : speech_) {
    const std::uint64_t start = SoundFrames(part.start);
    const std::uint64_t from = std::max(start, raw_at_);
    const std::uint64_t to = std::min<std::uint64_t>(start + part.speech.samples.size(), end);
    for (std::uint64_t i = from; i < to; ++i) {
      const double left = SecondsOf(total_ - i);
      const auto sample =
          static_cast<float>(part.speech.samples[i - start] * std::min(1.0, left / kShortFade));
      for (std::size_t c = 0; c < kChannels; ++c) out[(i - raw_at_) * kChannels + c] += sample;
    }
  }
}

/// The mix before gain and limiter; silence beyond its end.
Result<std::size_t> Mixer::ReadRaw(std::span<float> out) {
  std::fill(out.begin(), out.end(), 0.0F);
  const auto frames =
      static_cast<std::size_t>(std::min<std::uint64_t>(out.size() / kChannels, total_ - raw_at_));
  const std::span<float> sound = out.first(frames * kChannels);
  if (music_ != nullptr && frames > 0) {
    MEZZO_TRY_VOID(ReadMusic(sound));
    const double fade_in = Seconds(options_.fade_in);
    const double fade_out = Seconds(options_.fade_out);
    for (std::size_t i = 0; i < frames; ++i) {
      const double second = SecondsOf(raw_at_ + i);
      double gain = music_gain_ * DuckGain(second);
      if (second < fade_in) gain *= second / fade_in;
      const double left = SecondsOf(total_ - raw_at_ - i);
      if (left < fade_out) gain *= left / fade_out;
      for (std::size_t c = 0; c < kChannels; ++c) sound[i * kChannels + c] *= static_cast<float>(gain);
    }
  }
  AddSpeech(sound);
  for (float& sample : sound) sample *= static_cast<float>(mix_gain_);
  raw_at_ += frames;
  return frames;
}

Result<std::size_t> Mixer::Read(std::span<float> out) {
  MEZZO_CHECK(limiter_.has_value() && out.size() % kChannels == 0);
  // The limiter is late: what it gives for the first frames is thrown away, and silence pushes out the last.
  if (raw_at_ == 0) {
    std::vector<float> lead(Limiter::latency() * kChannels);
    MEZZO_TRY(const std::size_t frames, ReadRaw(lead));
    (void)frames;  // A shorter mix is followed by silence, which is what the limiter needs.
    limiter_->Process(lead);
  }
  const auto frames = static_cast<std::size_t>(std::min<std::uint64_t>(out.size() / kChannels, total_ - at_));
  const std::span<float> sound = out.first(frames * kChannels);
  MEZZO_TRY(const std::size_t raw, ReadRaw(sound));
  (void)raw;
  limiter_->Process(sound);
  at_ += frames;
  return frames;
}

Result<double> Mixer::MeasureMusic() {
  LoudnessMeter meter;
  std::vector<float> piece(kPieceFrames * kChannels);
  for (std::uint64_t done = 0; done < total_; done += kPieceFrames) {
    MEZZO_TRY_VOID(ReadMusic(piece));
    meter.Add(piece);
  }
  return meter.Integrated();
}

Result<double> Mixer::MeasureMix() {
  MEZZO_TRY_VOID(Restart());
  LoudnessMeter meter;
  std::vector<float> piece(kPieceFrames * kChannels);
  while (true) {
    MEZZO_TRY(const std::size_t frames, Read(piece));
    meter.Add(std::span(piece).first(frames * kChannels));
    if (frames < kPieceFrames) return meter.Integrated();
  }
}

Result<void> Mixer::Prepare() {
  LevelSpeech();
  if (music_ != nullptr) {
    MEZZO_TRY_VOID(music_->Rewind());
    MEZZO_TRY(const double music, MeasureMusic());
    music_gain_ = DecibelsToGain(Missing(music, kReferenceLufs));
  }
  // The limiter takes away some of what a gain adds, so this closes in step by step.
  double gain = 0;
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    mix_gain_ = DecibelsToGain(gain);
    MEZZO_TRY(loudness_, MeasureMix());
    const double missing = Missing(loudness_, options_.target_lufs);
    if (std::abs(missing) < kCloseEnough) break;
    gain = std::min(kMaxGain, gain + missing);
  }
  return Restart();
}

}  // namespace mezzo::media
