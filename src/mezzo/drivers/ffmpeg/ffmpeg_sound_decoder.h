#pragma once

#include <memory>

#include "mezzo/media/sound_source.h"

namespace mezzo::drivers {

/// Decodes with libavformat and libavcodec: MP3, WAV, FLAC, Ogg (Opus, Vorbis) and MP4 (AAC), nothing else
/// that the libraries could read. Thread-safe; the sources it opens are not.
class FfmpegSoundDecoder final : public media::SoundDecoder {
 public:
  struct Options {
    ByteCount max_bytes = ByteCount{32} << 20U;  ///< Larger files fail with "sound_too_large".
  };
  explicit FfmpegSoundDecoder(Options options);

  Result<std::unique_ptr<media::SoundSource>> Open(SharedBytes file) override;

 private:
  const Options options_;
};

}  // namespace mezzo::drivers
