#include "mezzo/media/ladder.h"

#include <algorithm>

#include "mezzo/base/check.h"

namespace mezzo::media {
namespace {

constexpr double kFewerSteps = 0.5;

DegradationLevel Next(DegradationLevel level, int by) {
  return static_cast<DegradationLevel>(static_cast<int>(level) + by);
}

}  // namespace

std::string_view DegradationName(DegradationLevel level) {
  switch (level) {
    case DegradationLevel::kFull:
      return "full";
    case DegradationLevel::kNoSpeech:
      return "no_speech";
    case DegradationLevel::kFewerSteps:
      return "fewer_steps";
    case DegradationLevel::kSmaller:
      return "smaller";
  }
  return {};
}

DegradationLadder::DegradationLadder(Options options) : options_(options) {
  for (std::size_t i = 0; i < options_.up.size(); ++i) MEZZO_CHECK(options_.down[i] < options_.up[i]);
}

DegradationLevel DegradationLadder::Update(double pressure, TimePoint now) {
  const auto index = static_cast<std::size_t>(level_);
  const bool high = index + 1 < kDegradationLevels && pressure >= options_.up[index];
  const bool low = index > 0 && pressure < options_.down[index - 1];
  if (!high) high_since_.reset();
  if (!low) low_since_.reset();
  if (high && !high_since_.has_value()) high_since_ = now;
  if (low && !low_since_.has_value()) low_since_ = now;
  if (high && now - *high_since_ >= options_.climb_after) {
    level_ = Next(level_, 1);
    high_since_ = now;
  } else if (low && now - *low_since_ >= options_.descend_after) {
    level_ = Next(level_, -1);
    low_since_ = now;
  }
  return level_;
}

Degradation ApplyDegradation(DegradationLevel level, Storyboard& storyboard) {
  Degradation out;
  if (level >= DegradationLevel::kNoSpeech) {
    bool spoken = false;
    for (Shot& shot : storyboard.shots) {
      spoken = spoken || !shot.speech.empty();
      shot.speech.clear();
    }
    if (spoken) out.notes.emplace_back("speech left out: the platform is under pressure");
  }
  if (level >= DegradationLevel::kFewerSteps) {
    out.steps_factor = kFewerSteps;
    const bool generated = std::any_of(storyboard.shots.begin(), storyboard.shots.end(),
                                       [](const Shot& shot) { return shot.picture.empty(); });
    if (generated)
      out.notes.emplace_back("pictures made with half of the steps: the platform is under pressure");
  }
  if (level >= DegradationLevel::kSmaller && storyboard.resolution == Resolution::k1080p) {
    storyboard.resolution = Resolution::k720p;
    out.notes.emplace_back("720p instead of 1080p: the platform is under pressure");
  }
  return out;
}

}  // namespace mezzo::media
