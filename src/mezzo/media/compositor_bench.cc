// Question: what does drawing one 1080p frame cost, by what happens in it and by threads? Budget: 15 ms of
// one core for a moving view, so that two cores at 30 frames a second have three quarters of their time left
// for the encoder.

#include <benchmark/benchmark.h>

#include "mezzo/media/compositor.h"
#include "mezzo/media/overlay.h"
#include "mezzo/media/prepare_picture.h"
#include "mezzo/media/resample.h"
#include "mezzo/media/testing/test_pictures.h"

namespace mezzo::media {
namespace {

constexpr FrameSize kFrame = {1920, 1080};
constexpr Motion kZoom = {MotionKind::kZoomIn, 0.12};

YuvPicture Prepared(int seed) {
  return PreparePicture(testing::DrawTestCard({2000, 1200}, seed), kFrame, kZoom, PictureFit::kCover, {});
}

/// A zoom; with a transition two of them.
void DrawFrame(benchmark::State& state, TransitionKind transition) {
  const YuvPicture a = Prepared(1);
  const YuvPicture b = Prepared(2);
  Compositor compositor({.frame = kFrame, .threads = static_cast<int>(state.range(0))});
  YuvPicture out(kFrame);
  double progress = 0;
  for (auto iteration : state) {
    progress = progress < 1 ? progress + 0.01 : 0;
    FramePlan plan{.current = {0, ViewAt(kZoom, progress)}};
    if (transition != TransitionKind::kCut) {
      plan.previous = Layer{1, ViewAt(kZoom, 1 - progress)};
      plan.transition = transition;
      plan.phase = progress;
    }
    compositor.Draw(plan, a, &b, out);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(DrawFrame, zoom, TransitionKind::kCut)
    ->Arg(1)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(DrawFrame, fade, TransitionKind::kFade)
    ->Arg(1)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(DrawFrame, slide, TransitionKind::kSlide)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(DrawFrame, wipe, TransitionKind::kWipe)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

/// Two lines of text across half of the frame.
void BlendText(benchmark::State& state) {
  std::vector<std::uint8_t> alpha(std::size_t{1000} * 120);
  for (std::size_t i = 0; i < alpha.size(); ++i) alpha[i] = i / 7 % 3 == 0 ? 255 : 0;
  YuvPicture frame(kFrame);
  for (auto iteration : state) Blend({.alpha = {alpha.data(), 1000, 120, 1000}, .x = 461, .y = 900}, frame);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BlendText)->Unit(benchmark::kMillisecond);

/// Once for each shot.
void Prepare(benchmark::State& state) {
  const RgbaPicture card =
      testing::DrawTestCard({static_cast<int>(state.range(0)), static_cast<int>(state.range(0)) * 3 / 4}, 1);
  for (auto iteration : state) {
    benchmark::DoNotOptimize(PreparePicture(card, kFrame, kZoom, PictureFit::kCover, {}));
  }
}
BENCHMARK(Prepare)->Arg(1024)->Arg(4096)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mezzo::media
