#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/s3/internal/s3_transport.h"

namespace mezzo::drivers::internal {

/// Small objects <prefix><hours since 1970, ten digits>/<name>: what is to be looked at after an hour, found
/// by listing what is due only. Thread-safe.
class HourMarks {
 public:
  /// The transport must outlive it.
  HourMarks(S3Transport& transport, std::string prefix) : transport_(transport), prefix_(std::move(prefix)) {}

  Result<void> Put(WallTime hour, const std::string& name, std::string body, TimePoint deadline);
  Result<void> Remove(WallTime hour, const std::string& name, TimePoint deadline);
  /// The body. Fails with kNotFound "blob_missing".
  Result<std::string> Get(WallTime hour, const std::string& name, TimePoint deadline);

  /// Calls `visit` for the marks of hours that had begun at `until`, in order, until it returns false or
  /// fails.
  using Visit = std::function<Result<bool>(WallTime hour, const std::string& name)>;
  Result<void> ForEach(WallTime until, TimePoint deadline, const Visit& visit);

  /// The beginning of the hour that a time lies in.
  static WallTime HourOf(WallTime time);

 private:
  [[nodiscard]] std::string KeyOf(WallTime hour, const std::string& name) const;

  S3Transport& transport_;
  const std::string prefix_;
};

}  // namespace mezzo::drivers::internal
