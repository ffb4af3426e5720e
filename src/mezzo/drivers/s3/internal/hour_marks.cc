#include "mezzo/drivers/s3/internal/hour_marks.h"

#include <algorithm>
#include <chrono>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/s3/internal/s3_listing.h"
#include "mezzo/storage/blob_checks.h"

namespace mezzo::drivers::internal {
namespace {

using std::chrono::hours;

constexpr std::size_t kHourDigits = 10;
constexpr std::uint64_t kLastHour = 2'500'000;  ///< Of the year 2255: fits in WallTime's nanoseconds.

}  // namespace

WallTime HourMarks::HourOf(WallTime time) {
  return WallTime(std::max(hours::zero(), std::chrono::floor<hours>(time.time_since_epoch())));
}

std::string HourMarks::KeyOf(WallTime hour, const std::string& name) const {
  const std::string digits =
      std::to_string(std::chrono::floor<hours>(HourOf(hour).time_since_epoch()).count());
  return prefix_ + std::string(kHourDigits - std::min(kHourDigits, digits.size()), '0') + digits + "/" + name;
}

Result<void> HourMarks::Put(WallTime hour, const std::string& name, std::string body, TimePoint deadline) {
  const S3Request request{
      .operation = "put_mark", .method = "PUT", .key = KeyOf(hour, name), .body = std::move(body)};
  MEZZO_TRY_VOID(transport_.Send(request, deadline));
  return {};
}

Result<void> HourMarks::Remove(WallTime hour, const std::string& name, TimePoint deadline) {
  const S3Request request{.operation = "delete_mark", .method = "DELETE", .key = KeyOf(hour, name)};
  const auto response = transport_.Send(request, deadline);
  if (!response.ok() && response.error().code() != Code::kNotFound) return response.error();
  return {};
}

Result<std::string> HourMarks::Get(WallTime hour, const std::string& name, TimePoint deadline) {
  const S3Request request{.operation = "get_mark", .method = "GET", .key = KeyOf(hour, name)};
  MEZZO_TRY(net::ClientResponse response, transport_.Send(request, deadline));
  return std::move(response.body);
}

Result<void> HourMarks::ForEach(WallTime until, TimePoint deadline, const Visit& visit) {
  std::string behind;
  for (bool more = true; more;) {
    MEZZO_TRY(const auto listed, ListKeys(transport_, prefix_, behind, storage::kMaxBlobListLimit, deadline));
    for (const ListedKey& mark : listed.keys) {
      behind = mark.key;
      const std::string_view rest = std::string_view(mark.key).substr(prefix_.size());
      const auto number = ParseUint(rest.substr(0, kHourDigits));
      if (!number || *number > kLastHour || rest.size() <= kHourDigits + 1) continue;  // Nothing of ours.
      const WallTime hour(hours(static_cast<std::int64_t>(*number)));
      if (hour > until) return {};
      MEZZO_TRY(const bool go_on, visit(hour, std::string(rest.substr(kHourDigits + 1))));
      if (!go_on) return {};
    }
    more = listed.more;
  }
  return {};
}

}  // namespace mezzo::drivers::internal
