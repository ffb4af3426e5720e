#pragma once

#include <bitset>
#include <optional>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::lifecycle {

/// Five fields as of cron(5), in UTC: minute (0-59), hour (0-23), day of the month (1-31), month (1-12), day
/// of the week (0-7, both ends Sunday). A field is `*`, numbers, ranges `a-b`, steps `*/n` and `a-b/n`, and
/// lists of these with commas. When both days are restricted (neither begins with `*`), either is enough, as
/// cron has it. Names, seconds and `@daily` are not taken.
class Cron {
 public:
  /// Fails with kInvalidArgument "pipeline_schedule", naming the field; also for a time that never comes.
  static Result<Cron> Parse(std::string_view text);
  /// The first whole minute after `time` that fits.
  [[nodiscard]] WallTime Next(WallTime time) const;

 private:
  [[nodiscard]] std::optional<WallTime> Find(WallTime time) const;
  [[nodiscard]] bool FitsDay(unsigned month, unsigned day, unsigned weekday) const;

  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool any_day_ = false;      // Begins with '*'.
  bool any_weekday_ = false;  // Likewise.
};

}  // namespace mezzo::lifecycle
