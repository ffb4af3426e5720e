#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/generation/file_fetcher.h"
#include "mezzo/generation/shot_painter.h"
#include "mezzo/inference/version_pick.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/media/ladder.h"
#include "mezzo/media/picture_codec.h"
#include "mezzo/media/sound_source.h"
#include "mezzo/media/speech_synthesizer.h"
#include "mezzo/media/storyboard.h"
#include "mezzo/media/untrusted_picture_decoder.h"
#include "mezzo/media/video_renderer.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::generation {

/// Jobs of kind "storyboard": videos of shots that are painted from prompts or uploaded
/// (docs/protocol-storyboards.md).
///
/// Stages: each shot, sound, encoding, storing. A painted shot is an object of the store as soon as it is
/// done, under tenant/job/attempt/shot-<n>-v<version>.png: a later attempt, on any host, finds it there and
/// does not paint it again. What the ladder gives up is decided once for a job and kept in its checkpoint, so
/// all of a video is of one kind. So is the version that paints: a route picks it once for a job, and what
/// that one fails, the stable version paints from the first shot on. Cancellation is honoured between shots,
/// by the painter, and at every frame. Thread-safe.
class StoryboardJobs final : public jobs::JobHandler {
 public:
  static constexpr std::string_view kKind = "storyboard";

  struct Options {
    media::StoryboardLimits limits;
    ByteCount max_music_bytes = ByteCount{20} << 20U;
    ByteCount max_picture_bytes = ByteCount{64} << 20U;   ///< Of a picture in the store, as it lies there.
    Duration store_timeout = std::chrono::seconds(60);    ///< Of one call of the store.
    Duration picture_timeout = std::chrono::seconds(60);  ///< To decode one upload.
    int preview_quality = 82;                             ///< Of thumbnail and sprite sheet, WebP, 1 to 100.
  };
  /// All outlive the handler.
  struct Ports {
    ShotPainter& painter;
    storage::BlobStore& blobs;
    FileFetcher& files;
    media::UntrustedPictureDecoder& uploads;
    media::PictureCodec& codec;
    media::SoundDecoder& sounds;
    media::SpeechSynthesizer& speech;
    media::VideoRenderer& renderer;
    const Clock& clock;
    std::function<media::DegradationLevel()> level;  ///< What is given up now; thread-safe.
    /// The version that a route picks for the tenant's jobs; null: there are no routes.
    std::function<inference::VersionPick(const TenantId&, std::string_view model)> pick = nullptr;
  };
  StoryboardJobs(Options options, Ports ports) : options_(options), ports_(std::move(ports)) {}

  /// Errors: kInvalidArgument "storyboard_request", "storyboard_invalid" and "storyboard_reference"; the
  /// painter's. The storyboard of a redo is looked at when the job runs.
  Result<jobs::JobEstimate> Check(const TenantId& tenant, const std::string& request) override;
  /// Errors besides those of Check(): the ports'.
  Result<std::string> Run(jobs::JobRun& run) override;

 private:
  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::generation
