#include "mezzo/drivers/localfs/internal/expiry_index.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "mezzo/base/strings.h"

namespace mezzo::drivers::internal {
namespace {

using std::chrono::hours;
using storage::BlobKey;

constexpr std::size_t kHourDigits = 10;
constexpr int kMaxTries = 16;
/// A mark is made before its object. One without a matching object may belong to a write that has not ended,
/// which takes less than this.
constexpr hours kStaleAfter{24};

std::int64_t HourOf(WallTime time) {
  return std::max<std::int64_t>(0, std::chrono::floor<hours>(time.time_since_epoch()).count());
}

std::string MarkName(const BlobKey& key) {
  std::string name = key.text();
  std::replace(name.begin(), name.end(), '/', '+');
  return name;
}

}  // namespace

std::string ExpiryIndex::HourName(WallTime time) {
  const std::string digits = std::to_string(HourOf(time));
  return std::string(kHourDigits - std::min(kHourDigits, digits.size()), '0') + digits;
}

Result<void> ExpiryIndex::Mark(const BlobKey& key, WallTime expires_at) {
  const std::string hour = HourName(expires_at);
  for (int i = 0; i < kMaxTries; ++i) {
    MEZZO_TRY_VOID(disk_.MakeFolder(root_.get(), hour));
    MEZZO_TRY_VOID(disk_.Sync(root_.get()));
    const Result<Fd> folder = disk_.Open(root_.get(), hour, O_RDONLY | O_DIRECTORY);
    // A sweep may remove the hour's folder between these calls, because it is empty.
    if (!folder.ok() && folder.error().code() == Code::kNotFound) continue;
    if (!folder.ok()) return folder.error();
    const Result<Fd> mark = disk_.Open(folder->get(), MarkName(key), O_WRONLY | O_CREAT);
    if (!mark.ok() && mark.error().code() == Code::kNotFound) continue;
    if (!mark.ok()) return mark.error();
    return disk_.Sync(folder->get());
  }
  return Unavailable("blob_disk_error", "the folder of the hour " + hour + " vanishes again and again");
}

Result<bool> ExpiryIndex::ForEachDue(WallTime now, const Visit& visit) {
  const std::string last = HourName(now);
  std::vector<std::string> due;
  MEZZO_TRY_VOID(disk_.ForEachName(root_.get(), [&](std::string_view hour) {
    if (hour.size() == kHourDigits && ParseUint(hour) && hour <= last) due.emplace_back(hour);
    return true;
  }));
  std::sort(due.begin(), due.end());
  for (const std::string& hour : due) {
    MEZZO_TRY(const bool more, VisitHour(hour, now, visit));
    if (!more) return false;
  }
  return true;
}

Result<bool> ExpiryIndex::VisitHour(const std::string& hour, WallTime now, const Visit& visit) {
  const Result<Fd> folder = disk_.Open(root_.get(), hour, O_RDONLY | O_DIRECTORY);
  if (!folder.ok() && folder.error().code() == Code::kNotFound) return true;  // Another sweep was faster.
  if (!folder.ok()) return folder.error();
  const auto begun = static_cast<std::int64_t>(*ParseUint(hour));
  const bool forget_stale = HourOf(now - kStaleAfter) > begun;

  bool go_on = true;
  bool kept = false;
  Result<void> failed;
  MEZZO_TRY_VOID(disk_.ForEachName(folder->get(), [&](std::string_view name) {
    std::string text(name);
    std::replace(text.begin(), text.end(), '+', '/');
    const auto key = BlobKey::Parse(text);
    auto outcome = key.ok() ? visit(*key) : Result<Outcome>(Outcome::kDone);
    if (!outcome.ok()) {
      failed = std::move(outcome).error();
      return false;
    }
    go_on = *outcome != Outcome::kFull;
    if (*outcome == Outcome::kDone || (*outcome == Outcome::kNotNow && forget_stale)) {
      failed = [&]() -> Result<void> {
        MEZZO_TRY_VOID(disk_.Remove(folder->get(), std::string(name)));
        return {};
      }();
    } else {
      kept = true;
    }
    return go_on && failed.ok();
  }));
  MEZZO_TRY_VOID(failed);
  if (!kept) MEZZO_TRY_VOID(disk_.RemoveFolder(root_.get(), hour));
  return go_on;
}

}  // namespace mezzo::drivers::internal
