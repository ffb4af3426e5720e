#include "mezzo/media/video_renderer.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/media/ass_script.h"
#include "mezzo/media/compositor.h"
#include "mezzo/media/overlay.h"
#include "mezzo/media/prepare_picture.h"
#include "mezzo/media/sprite_sheet.h"
#include "mezzo/media/style_preset.h"
#include "mezzo/media/timeline.h"

namespace mezzo::media {
namespace {

constexpr int kThumbnailSide = 640;
constexpr std::size_t kSoundPiece = 4096;  // Sound frames.

/// The prepared pictures of the shots that are on screen.
class ShownPictures {
 public:
  ShownPictures(const Storyboard& storyboard, const Timeline& timeline, FrameSize frame,
                const VideoInputs& inputs)
      : storyboard_(storyboard), timeline_(timeline), frame_(frame), inputs_(inputs) {}

  /// The picture of `shot`, which is the one asked for last, or the next.
  Result<const YuvPicture*> Get(std::size_t shot) {
    const Slot& slot = slots_[shot % 2];
    if (slot.shot != shot || slot.picture.empty()) MEZZO_TRY_VOID(Load(shot));
    return &slot.picture;
  }

  void LetGoAfter(std::size_t frame) {
    for (Slot& slot : slots_) {
      if (!slot.picture.empty() && timeline_.LastFrameOf(slot.shot) <= frame) slot.picture = {};
    }
  }

 private:
  struct Slot {
    std::size_t shot = 0;
    YuvPicture picture;
  };

  Result<void> Load(std::size_t shot) {
    const Shot& spec = storyboard_.shots[shot];
    MEZZO_TRY(const RgbaPicture picture, inputs_.picture(shot));
    const StylePreset* style = FindStylePreset(storyboard_.style);
    slots_[shot % 2] = {shot, PreparePicture(picture, frame_, spec.motion, spec.fit, style->background)};
    return {};
  }

  const Storyboard& storyboard_;
  const Timeline& timeline_;
  const FrameSize frame_;
  const VideoInputs& inputs_;
  Slot slots_[2];
};

/// One run of Render().
class Run {
 public:
  Run(const Storyboard& storyboard, const VideoInputs& inputs, int threads)
      : storyboard_(storyboard),
        inputs_(inputs),
        timeline_(storyboard),
        size_(SizeOf(storyboard.resolution, storyboard.aspect)),
        subtitles_(MakeSubtitles(storyboard, timeline_)),
        pictures_(storyboard, timeline_, size_, inputs),
        compositor_({.frame = size_, .threads = threads}),
        sprites_(timeline_, size_),
        frame_(size_),
        sound_(kSoundPiece * kChannels) {}

  Result<void> Open(VideoEncoderFactory& encoders, TextRendererFactory& texts) {
    const std::string script = MakeAssScript(storyboard_, timeline_, subtitles_);
    if (!script.empty()) {
      MEZZO_TRY(text_, texts.Open(script, size_));
    }
    if (storyboard_.logo.has_value()) {
      MEZZO_TRY(const RgbaPicture logo, inputs_.logo());
      logo_.emplace(PlaceLogo(logo, *storyboard_.logo, size_));
    }
    EncoderSettings settings{.format = storyboard_.format,
                             .size = size_,
                             .fps = storyboard_.fps,
                             .has_audio = inputs_.sound != nullptr};
    if (storyboard_.subtitles.tracks) settings.subtitles = subtitles_;
    MEZZO_TRY(encoder_, encoders.Open(settings));
    return {};
  }

  Result<void> DrawFrame(std::size_t index) {
    const FramePlan plan = timeline_.At(index);
    const YuvPicture* previous = nullptr;
    if (plan.previous.has_value()) {
      MEZZO_TRY(previous, pictures_.Get(plan.previous->shot));
    }
    MEZZO_TRY(const YuvPicture* current, pictures_.Get(plan.current.shot));
    compositor_.Draw(plan, *current, previous, frame_);
    pictures_.LetGoAfter(index);
    if (logo_.has_value()) logo_->DrawOn(frame_);
    if (text_ != nullptr) {
      for (const AlphaMask& mask : text_->Render(timeline_.TimeOf(index))) Blend(mask, frame_);
    }
    if (sprites_.Wants(index)) sprites_.Add(index, frame_);
    if (index == ThumbnailFrame()) thumbnail_ = MakeThumbnail(frame_, kThumbnailSide);
    return encoder_->WriteFrame(frame_);
  }

  /// Sound as long as the frames up to `frames`.
  Result<void> WriteSoundUntil(std::size_t frames) {
    if (inputs_.sound == nullptr) return {};
    const std::uint64_t until = SoundFrames(timeline_.TimeOf(frames));
    while (sound_written_ < until) {
      const auto piece =
          static_cast<std::size_t>(std::min<std::uint64_t>(kSoundPiece, until - sound_written_));
      const std::span<float> wanted = std::span(sound_).first(piece * kChannels);
      MEZZO_TRY(const std::size_t got, inputs_.sound->Read(wanted));
      if (got == 0) return {};
      MEZZO_TRY_VOID(encoder_->WriteAudio(wanted.first(got * kChannels)));
      sound_written_ += got;
    }
    return {};
  }

  Result<RenderedVideo> Finish(const ByteSink& sink) {
    RenderedVideo out;
    MEZZO_TRY(out.file, encoder_->Finish(sink));
    out.size = size_;
    out.thumbnail = std::move(thumbnail_);
    out.sprite_sheet = sprites_.picture();
    out.sprite_tile = sprites_.tile();
    out.sprite_columns = sprites_.columns();
    out.sprite_count = sprites_.count();
    out.subtitles = std::move(subtitles_);
    return out;
  }

  [[nodiscard]] const Timeline& timeline() const { return timeline_; }

 private:
  [[nodiscard]] std::size_t ThumbnailFrame() const {
    const auto middle = timeline_.shot_span(0).end / 2;
    return static_cast<std::size_t>(middle.count() * timeline_.fps() / 1'000'000'000);
  }

  const Storyboard& storyboard_;
  const VideoInputs& inputs_;
  const Timeline timeline_;
  const FrameSize size_;
  std::vector<SubtitleTrack> subtitles_;
  ShownPictures pictures_;
  Compositor compositor_;
  SpriteSheet sprites_;
  std::unique_ptr<TextRenderer> text_;
  std::optional<OverlayPicture> logo_;
  std::unique_ptr<VideoEncoder> encoder_;
  YuvPicture frame_;
  std::vector<float> sound_;
  std::uint64_t sound_written_ = 0;
  RgbaPicture thumbnail_;
};

}  // namespace

Result<RenderedVideo> VideoRenderer::Render(const runtime::Context& ctx, const Storyboard& storyboard,
                                            const VideoInputs& inputs, const ByteSink& sink,
                                            const std::function<void(double)>& progress) {
  Run run(storyboard, inputs, options_.threads);
  MEZZO_TRY_VOID(run.Open(encoders_, texts_));
  const std::size_t frames = run.timeline().frames();
  for (std::size_t i = 0; i < frames; ++i) {
    if (ctx.cancelled()) return Cancelled("cancelled", "the video was cancelled");
    if (clock_.Now() >= ctx.deadline())
      return DeadlineExceeded("deadline", "the video's deadline has passed");
    MEZZO_TRY_VOID(run.DrawFrame(i));
    MEZZO_TRY_VOID(run.WriteSoundUntil(i + 1));
    if (progress && (i + 1) % static_cast<std::size_t>(storyboard.fps) == 0) {
      progress(static_cast<double>(i + 1) / static_cast<double>(frames));
    }
  }
  return run.Finish(sink);
}

}  // namespace mezzo::media
