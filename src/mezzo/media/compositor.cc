#include "mezzo/media/compositor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "mezzo/base/check.h"
#include "mezzo/media/internal/row_workers.h"
#include "mezzo/media/resample.h"

namespace mezzo::media {
namespace {

/// Planes other than luma have half of the rows and columns.
int Halved(int plane, int count) { return plane == 0 ? count : count / 2; }

/// From a picture to the frame: how each plane's axes map. Luma at 0, both chroma planes at 1.
struct ViewMap {
  AxisWeights x[2];
  AxisWeights y[2];

  void Set(FrameSize picture, const ViewRect& view, FrameSize frame) {
    for (int p = 0; p < 2; ++p) {
      const int width = Halved(p, picture.width);
      const int height = Halved(p, picture.height);
      x[p].Set(view.x * width, view.width * width, width, Halved(p, frame.width), Filter::kMitchell, false);
      y[p].Set(view.y * height, view.height * height, height, Halved(p, frame.height), Filter::kMitchell,
               false);
    }
  }
};

bool IsWhole(const ViewRect& view) {
  return view.x == 0 && view.y == 0 && view.width == 1 && view.height == 1;
}

void CopyRows(PlaneView from, Plane to, int first, int last) {
  for (int y = first; y < last; ++y) std::memcpy(to.row(y), from.row(y), static_cast<std::size_t>(to.width));
}

/// Parts of 256.
using Weights = std::vector<std::uint16_t>;

/// How much of the new picture each column (or row) of a wipe shows, from the side where it begins.
void SetWipe(double phase, int size, Weights& weights) {
  constexpr double kSoftPart = 0.12;
  const double edge = phase * (1 + kSoftPart);
  weights.resize(static_cast<std::size_t>(size));
  for (int i = 0; i < size; ++i) {
    const double behind = (edge - (i + 0.5) / size) / kSoftPart;
    weights[static_cast<std::size_t>(i)] =
        static_cast<std::uint16_t>(std::lround(std::clamp(behind, 0.0, 1.0) * 256));
  }
}

void MixRow(const std::uint8_t* before, const std::uint8_t* after, int weight, int width, std::uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    out[x] = static_cast<std::uint8_t>((before[x] * (256 - weight) + after[x] * weight + 128) >> 8);
  }
}

void MixRow(const std::uint8_t* before, const std::uint8_t* after, const Weights& weights, int width,
            std::uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    const int weight = weights[static_cast<std::size_t>(x)];
    out[x] = static_cast<std::uint8_t>((before[x] * (256 - weight) + after[x] * weight + 128) >> 8);
  }
}

bool IsHorizontal(Direction direction) {
  return direction == Direction::kLeft || direction == Direction::kRight;
}

/// `before` moves out and `after` follows it, `shift` samples of the axis so far.
void SlideRow(PlaneView before, PlaneView after, Direction direction, int shift, int y, Plane out) {
  const auto width = static_cast<std::size_t>(out.width);
  const auto moved = static_cast<std::size_t>(shift);
  switch (direction) {
    case Direction::kLeft:
      std::memcpy(out.row(y), before.row(y) + moved, width - moved);
      std::memcpy(out.row(y) + width - moved, after.row(y), moved);
      return;
    case Direction::kRight:
      std::memcpy(out.row(y), after.row(y) + width - moved, moved);
      std::memcpy(out.row(y) + moved, before.row(y), width - moved);
      return;
    case Direction::kUp:
      std::memcpy(out.row(y),
                  y + shift < out.height ? before.row(y + shift) : after.row(y + shift - out.height), width);
      return;
    case Direction::kDown:
      std::memcpy(out.row(y), y >= shift ? before.row(y - shift) : after.row(y + out.height - shift), width);
      return;
  }
}

}  // namespace

struct Compositor::Impl {
  explicit Impl(const Options& o)
      : options(o), scratch(static_cast<std::size_t>(o.threads)), workers(o.threads) {}

  void DrawView(const YuvPicture& picture, const ViewRect& view, YuvPicture& out);
  void Mix(const FramePlan& plan, YuvPicture& out);
  void MixPlane(const FramePlan& plan, int plane, int first, int last, Plane out) const;

  const Options options;
  ViewMap map;
  YuvPicture before;  // The two sides of a transition; empty until the first.
  YuvPicture after;
  Weights wipe[2];
  std::vector<ResampleScratch> scratch;
  internal::RowWorkers workers;
};

void Compositor::Impl::DrawView(const YuvPicture& picture, const ViewRect& view, YuvPicture& out) {
  const bool copy = IsWhole(view) && picture.size() == options.frame;
  if (!copy) map.Set(picture.size(), view, options.frame);
  workers.Run(options.frame.height, [&](int worker, int first, int last) {
    for (int p = 0; p < YuvPicture::kPlanes; ++p) {
      const int from = Halved(p, first);
      const int to = Halved(p, last);
      if (copy) {
        CopyRows(picture.plane(p), out.plane(p), from, to);
      } else {
        const int axis = p == 0 ? 0 : 1;
        Resample(picture.plane(p), map.x[axis], map.y[axis], out.plane(p), from, to,
                 scratch[static_cast<std::size_t>(worker)]);
      }
    }
  });
}

void Compositor::Impl::MixPlane(const FramePlan& plan, int plane, int first, int last, Plane out) const {
  const PlaneView from = before.plane(plane);
  const PlaneView to = after.plane(plane);
  const bool horizontal = IsHorizontal(plan.direction);
  const Weights& weights = wipe[plane == 0 ? 0 : 1];
  // Whole chroma samples, so that colour moves with its picture.
  const int extent = horizontal ? options.frame.width : options.frame.height;
  const int shift = Halved(plane, static_cast<int>(std::lround(plan.phase * extent / 2)) * 2);
  const int fade = static_cast<int>(std::lround(plan.phase * 256));
  // Wipes begin on the side that `direction` comes from.
  const bool backwards = plan.direction == Direction::kLeft || plan.direction == Direction::kUp;
  for (int y = first; y < last; ++y) {
    switch (plan.transition) {
      case TransitionKind::kSlide:
        SlideRow(from, to, plan.direction, shift, y, out);
        break;
      case TransitionKind::kWipe:
        if (horizontal) {
          MixRow(from.row(y), to.row(y), weights, out.width, out.row(y));
        } else {
          const int along = backwards ? out.height - 1 - y : y;
          MixRow(from.row(y), to.row(y), weights[static_cast<std::size_t>(along)], out.width, out.row(y));
        }
        break;
      case TransitionKind::kCut:
      case TransitionKind::kFade:
        MixRow(from.row(y), to.row(y), fade, out.width, out.row(y));
        break;
    }
  }
}

void Compositor::Impl::Mix(const FramePlan& plan, YuvPicture& out) {
  if (plan.transition == TransitionKind::kWipe) {
    for (int p = 0; p < 2; ++p) {
      const bool horizontal = IsHorizontal(plan.direction);
      SetWipe(plan.phase, Halved(p, horizontal ? options.frame.width : options.frame.height), wipe[p]);
      if (plan.direction == Direction::kLeft) std::reverse(wipe[p].begin(), wipe[p].end());
    }
  }
  workers.Run(options.frame.height, [&](int, int first, int last) {
    for (int p = 0; p < YuvPicture::kPlanes; ++p) {
      MixPlane(plan, p, Halved(p, first), Halved(p, last), out.plane(p));
    }
  });
}

Compositor::Compositor(Options options) : impl_(std::make_unique<Impl>(options)) {}
Compositor::~Compositor() = default;

void Compositor::Draw(const FramePlan& plan, const YuvPicture& current, const YuvPicture* previous,
                      YuvPicture& out) {
  MEZZO_CHECK(out.size() == impl_->options.frame);
  if (!plan.previous.has_value()) {
    impl_->DrawView(current, plan.current.view, out);
    return;
  }
  MEZZO_CHECK(previous != nullptr);
  if (impl_->before.empty()) {
    impl_->before = YuvPicture(impl_->options.frame);
    impl_->after = YuvPicture(impl_->options.frame);
  }
  impl_->DrawView(*previous, plan.previous->view, impl_->before);
  impl_->DrawView(current, plan.current.view, impl_->after);
  impl_->Mix(plan, out);
}

}  // namespace mezzo::media
