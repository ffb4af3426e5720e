#include "mezzo/drivers/ffmpeg/internal/av.h"

#include <mutex>

namespace mezzo::drivers::internal {

std::string AvText(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return text;
}

Error EncoderFailure(std::string_view what, int code) {
  std::string message = std::string(what) + " failed: " + AvText(code);
  if (code == AVERROR(ENOSPC) || code == AVERROR(EFBIG))
    return ResourceExhausted("disk_full", std::move(message));
  return Internal("encoder_failed", std::move(message));
}

void SilenceAvLog() {
  static std::once_flag once;
  std::call_once(once, [] { av_log_set_level(AV_LOG_QUIET); });
}

}  // namespace mezzo::drivers::internal
