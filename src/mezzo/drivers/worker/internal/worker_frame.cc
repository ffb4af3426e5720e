#include "mezzo/drivers/worker/internal/worker_frame.h"

#include <cstring>

#include "mezzo/base/check.h"

namespace mezzo::drivers {

std::string EncodeWorkerFrame(std::string_view json) {
  MEZZO_CHECK(json.size() <= kMaxWorkerFrame);
  const auto length = static_cast<std::uint32_t>(json.size());
  std::string frame(sizeof(length), '\0');
  std::memcpy(frame.data(), &length, sizeof(length));  // The hosts that Mezzo runs on are little endian.
  frame += json;
  return frame;
}

Result<std::optional<std::string>> WorkerFrameReader::Next() {
  std::uint32_t length = 0;
  if (received_.size() < sizeof(length)) return std::optional<std::string>();
  std::memcpy(&length, received_.data(), sizeof(length));
  if (length > kMaxWorkerFrame) {
    return Internal("worker_protocol", "the worker announced a frame of " + std::to_string(length) +
                                           " bytes; the limit is " + std::to_string(kMaxWorkerFrame));
  }
  if (received_.size() - sizeof(length) < length) return std::optional<std::string>();
  std::optional<std::string> frame = received_.substr(sizeof(length), length);
  received_.erase(0, sizeof(length) + length);
  return frame;
}

}  // namespace mezzo::drivers
