#pragma once

#include <functional>
#include <map>
#include <string>

#include "mezzo/app/pressure.h"
#include "mezzo/app/server_config.h"
#include "mezzo/base/clock.h"
#include "mezzo/drivers/ffmpeg/ass_text_renderer.h"
#include "mezzo/drivers/ffmpeg/espeak_speech_synthesizer.h"
#include "mezzo/drivers/ffmpeg/ffmpeg_sound_decoder.h"
#include "mezzo/drivers/ffmpeg/ffmpeg_video_encoder.h"
#include "mezzo/drivers/ffmpeg/process_picture_decoder.h"
#include "mezzo/generation/file_fetcher.h"
#include "mezzo/generation/image_jobs.h"
#include "mezzo/generation/image_service.h"
#include "mezzo/generation/pipeline_painter.h"
#include "mezzo/generation/storyboard_jobs.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/jobs/job_reader.h"
#include "mezzo/media/picture_codec.h"
#include "mezzo/media/video_renderer.h"
#include "mezzo/models/catalog.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/scope.h"
#include "mezzo/sched/device_executor.h"
#include "mezzo/storage/blob_store.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::app {

/// The jobs that make pictures and videos, wired with the drivers they need.
class GenerationJobs {
 public:
  /// All outlive the jobs. `pool` reads and computes.
  struct Ports {
    models::Catalog& catalog;
    sched::DeviceExecutor& executor;
    runtime::BlockingPool& pool;
    media::PictureCodec& codec;
    runtime::Loop& loop;
    const tenancy::Directory& directory;
    storage::BlobStore& artifacts;
    jobs::JobReader& reader;
    const Clock& clock;
    tenancy::Ledger* ledger = nullptr;
    /// The version that a route picks for a tenant's jobs; null: there are no routes.
    std::function<inference::VersionPick(const tenancy::Tenant&, std::string_view model)> pick = nullptr;
    runtime::Scope* scope = nullptr;  ///< Carries copies for shadows; null: there are none.
  };
  /// `temp_dir` has room for the largest video.
  GenerationJobs(const std::string& temp_dir, const JobsConfig& config, Ports ports);

  /// By kind.
  [[nodiscard]] std::map<std::string, jobs::JobHandler*, std::less<>> handlers();

 private:
  generation::FileFetcher files_;
  drivers::ProcessPictureDecoder uploads_;
  drivers::FfmpegSoundDecoder sounds_;
  drivers::EspeakSpeechSynthesizer speech_;
  drivers::FfmpegVideoEncoderFactory encoders_;
  drivers::AssTextRendererFactory texts_;
  media::VideoRenderer renderer_;
  Pressure pressure_;
  generation::ImageService images_;
  std::unique_ptr<generation::PictureShadows> shadows_;  // Null: there are none.
  generation::PipelinePainter painter_;
  generation::ImageJobs image_jobs_;
  generation::StoryboardJobs storyboard_jobs_;
};

}  // namespace mezzo::app
