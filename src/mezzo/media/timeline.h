#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/media/motion.h"
#include "mezzo/media/storyboard.h"

namespace mezzo::media {

/// A stretch of the video: [start, end).
struct Span {
  Duration start = Duration::zero();
  Duration end = Duration::zero();
  friend bool operator==(const Span&, const Span&) = default;
};

/// One picture as one frame shows it.
struct Layer {
  std::size_t shot = 0;
  ViewRect view;
};

/// What one frame is made of.
struct FramePlan {
  Layer current;
  std::optional<Layer> previous;  ///< Set while `current` takes over from it.
  TransitionKind transition = TransitionKind::kCut;
  Direction direction = Direction::kLeft;
  /// How much of the transition has happened, 0 to 1: eased for slides and wipes, linear for fades.
  double phase = 1;
};

/// When what is seen. Shots follow each other without gap, so the video lasts as long as they do together: a
/// transition happens at the start of its shot, while the shot before stays on screen and goes on moving.
/// Immutable, thread-safe.
class Timeline {
 public:
  /// `storyboard` must have passed ValidateStoryboard().
  explicit Timeline(const Storyboard& storyboard);

  /// The number of frames: the duration in frame times, rounded.
  [[nodiscard]] std::size_t frames() const { return frames_; }
  [[nodiscard]] int fps() const { return fps_; }
  [[nodiscard]] Duration duration() const { return shots_.back().span.end; }
  [[nodiscard]] std::size_t shots() const { return shots_.size(); }
  [[nodiscard]] Span shot_span(std::size_t shot) const { return shots_[shot].span; }
  /// When frame `frame` is shown first; frames beyond the end are allowed.
  [[nodiscard]] Duration TimeOf(std::size_t frame) const;
  /// `frame` must be below frames().
  [[nodiscard]] FramePlan At(std::size_t frame) const;
  /// The last frame in which `shot` is seen: after it its picture may be let go.
  [[nodiscard]] std::size_t LastFrameOf(std::size_t shot) const;

 private:
  struct Entry {
    Span span;
    Duration visible_until;  // With the transition of the next shot.
    Motion motion;
    Transition transition;
  };
  [[nodiscard]] Layer LayerAt(std::size_t shot, Duration time) const;

  int fps_;
  std::size_t frames_;
  std::vector<Entry> shots_;
};

}  // namespace mezzo::media
