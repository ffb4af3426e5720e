#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/media/picture_codec.h"
#include "mezzo/media/untrusted_picture_decoder.h"

namespace mezzo::drivers {

/// Decodes each picture in a child process of its own (picture_child.h), which can open nothing, reach nobody
/// and is killed when it takes too long. What the file's header already says to be too large starts no
/// process. Thread-safe; as many children as callers.
class ProcessPictureDecoder final : public media::UntrustedPictureDecoder {
 public:
  struct Options {
    /// Runs RunPictureChild() with the arguments that are added.
    std::vector<std::string> command = {"/proc/self/exe", "decode-picture"};
    media::PictureLimits limits;
    std::uint64_t max_memory = std::uint64_t{768} << 20U;  ///< Bytes; enough for what `limits` let through.
    unsigned max_cpu_seconds = 20;
    Duration max_time = std::chrono::seconds(30);  ///< Also when the caller's deadline is later.
  };
  /// `clock` outlives this.
  ProcessPictureDecoder(Options options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}

  Result<media::RgbaPicture> Decode(BytesView file, media::FrameSize fit, TimePoint deadline) override;

 private:
  const Options options_;
  const Clock& clock_;
};

}  // namespace mezzo::drivers
