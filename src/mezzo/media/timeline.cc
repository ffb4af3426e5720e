#include "mezzo/media/timeline.h"

#include <algorithm>

#include "mezzo/base/check.h"

namespace mezzo::media {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

/// 3x² - 2x³: starts and ends at rest.
double Ease(double x) { return x * x * (3 - 2 * x); }

}  // namespace

Timeline::Timeline(const Storyboard& storyboard) : fps_(storyboard.fps) {
  MEZZO_CHECK(!storyboard.shots.empty() && fps_ > 0);
  Duration at = Duration::zero();
  for (const Shot& shot : storyboard.shots) {
    const Span span{at, at + shot.duration};
    if (!shots_.empty()) shots_.back().visible_until += shot.transition.duration;
    shots_.push_back({span, span.end, shot.motion, shot.transition});
    at = span.end;
  }
  const std::int64_t ticks = at.count() * fps_;
  frames_ = static_cast<std::size_t>(std::max<std::int64_t>(1, (ticks + kSecond / 2) / kSecond));
}

Duration Timeline::TimeOf(std::size_t frame) const {
  return Duration(static_cast<std::int64_t>(frame) * kSecond / fps_);
}

Layer Timeline::LayerAt(std::size_t shot, Duration time) const {
  const Entry& entry = shots_[shot];
  const double progress = Seconds(time - entry.span.start) / Seconds(entry.visible_until - entry.span.start);
  return {shot, ViewAt(entry.motion, progress)};
}

FramePlan Timeline::At(std::size_t frame) const {
  const Duration time = TimeOf(frame);
  const auto after = std::upper_bound(shots_.begin(), shots_.end(), time,
                                      [](Duration t, const Entry& entry) { return t < entry.span.start; });
  // Rounding the number of frames may put the last one at the very end.
  const auto shot = static_cast<std::size_t>(after - shots_.begin()) - 1;
  FramePlan plan{.current = LayerAt(shot, time)};
  const Entry& entry = shots_[shot];
  const Duration since = time - entry.span.start;
  if (shot == 0 || since >= entry.transition.duration) return plan;
  plan.previous = LayerAt(shot - 1, time);
  plan.transition = entry.transition.kind;
  plan.direction = entry.transition.direction;
  // The middle of the frame's time, so that neither end of the transition is drawn as a frame like its
  // neighbour.
  const double half_frame = 0.5 / fps_;
  const double linear = std::min(1.0, (Seconds(since) + half_frame) / Seconds(entry.transition.duration));
  plan.phase = plan.transition == TransitionKind::kFade ? linear : Ease(linear);
  return plan;
}

std::size_t Timeline::LastFrameOf(std::size_t shot) const {
  // The first frame at or after `visible_until`, less one.
  const std::int64_t ticks = shots_[shot].visible_until.count() * fps_;
  const auto beyond = static_cast<std::size_t>((ticks + kSecond - 1) / kSecond);
  return std::min(beyond == 0 ? 0 : beyond - 1, frames_ - 1);
}

}  // namespace mezzo::media
