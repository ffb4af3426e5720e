#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/media/picture_codec.h"

namespace mezzo::drivers {

/// What a picture child is told on its command line.
struct PictureChildTask {
  media::PictureLimits limits;
  media::FrameSize fit;
  std::uint64_t max_memory = 0;  ///< Bytes, for decoding.
  unsigned max_cpu_seconds = 0;

  [[nodiscard]] std::vector<std::string> ToArguments() const;
  /// Fails with kInvalidArgument "child_task_invalid".
  static Result<PictureChildTask> Parse(std::span<const std::string> arguments);
};

/// Of a picture child: its answer lies on standard output.
inline constexpr int kPictureChildAnswered = 0;
/// It needed more memory than it may have.
inline constexpr int kPictureChildOutOfMemory = 3;

/// The life of a process that decodes one picture: reads the file from standard input inside a sandbox,
/// writes "picture WIDTH HEIGHT\n" and its RGBA pixels, or "error REASON\nMESSAGE", to standard output, and
/// ends the process. Returns, with the exit status, only when `arguments` are not those of ToArguments().
/// Used by ProcessPictureDecoder.
int RunPictureChild(std::span<const std::string> arguments);

}  // namespace mezzo::drivers
