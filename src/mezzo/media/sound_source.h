#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/media/audio.h"

namespace mezzo::media {

/// Sound that comes piece by piece (audio.h). Not thread-safe.
class SoundSource {
 public:
  virtual ~SoundSource() = default;
  /// Fills `out` (whole frames) and returns the number of frames; fewer than asked only at the end. Fails
  /// with kInvalidArgument "sound_invalid".
  virtual Result<std::size_t> Read(std::span<float> out) = 0;
  /// Back to the beginning.
  virtual Result<void> Rewind() = 0;
};

/// Opens encoded sound. Thread-safe.
class SoundDecoder {
 public:
  virtual ~SoundDecoder() = default;
  /// A file of one of the driver's formats, resampled to 48 kHz stereo. Memory does not grow with the length.
  /// Fails with kInvalidArgument "sound_invalid" or "sound_too_large".
  virtual Result<std::unique_ptr<SoundSource>> Open(SharedBytes file) = 0;
};

}  // namespace mezzo::media
