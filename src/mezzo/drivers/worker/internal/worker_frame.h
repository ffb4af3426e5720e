#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"

namespace mezzo::drivers {

/// The longest frame, in either direction.
constexpr std::size_t kMaxWorkerFrame = std::size_t{1} << 20U;

/// `json` behind its length: 32 bits, little endian.
std::string EncodeWorkerFrame(std::string_view json);

/// Cuts a stream of bytes into frames. Keeps at most one frame and what the last Feed() brought.
/// Not thread-safe.
class WorkerFrameReader {
 public:
  void Feed(std::string_view bytes) { received_.append(bytes); }
  /// The next whole frame, or nothing until more is fed. Fails with kInternal "worker_protocol" when a frame
  /// says that it is longer than kMaxWorkerFrame; the stream can't be read any further then.
  Result<std::optional<std::string>> Next();

 private:
  std::string received_;
};

}  // namespace mezzo::drivers
