#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "mezzo/base/clock.h"

namespace mezzo::sched {

/// Learns which batch size makes a row cheapest, and that larger ones are not worth their latency.
///
/// A line (LatencyFit) says that larger batches are always better. Real ones are not: beyond some size rows
/// stop fitting the caches, or fill the device. So the cost of a row is measured by size (buckets up to each
/// power of two) and the smallest size within a tolerance of the cheapest is chosen. Costs are taken to have
/// one minimum over sizes, so it is found by trying the neighbours of the present choice, rarely: hill
/// climbing with tries that cost a few per cent of runs at first and less than one later. Not thread-safe.
class BatchSizer {
 public:
  void Learn(std::uint32_t rows, Duration measured);
  /// The most rows that the next batch should have, at least 1, at most `max_rows`; `max_rows` until some
  /// size has been measured well.
  [[nodiscard]] std::uint32_t Limit(std::uint32_t max_rows) const {
    return limit_ < max_rows ? limit_ : max_rows;
  }

 private:
  static constexpr std::size_t kSizes = 12;  // Up to 1, 2, 4, … 1024, and beyond.
  struct Size {
    double row_cost = 0;  // ns
    std::uint32_t runs = 0;
    std::uint64_t last = 0;  // Of learned_.
  };

  void Choose();
  void ForgetOthersWhenChanged(std::size_t best);
  [[nodiscard]] bool IsWorthTrying(std::size_t size, std::size_t best) const;

  std::array<Size, kSizes> sizes_{};
  std::uint64_t learned_ = 0;
  std::size_t largest_ = 0;  // Ever seen.
  std::size_t reference_size_ = 0;
  double reference_cost_ = 0;
  std::uint32_t limit_ = UINT32_MAX;
};

}  // namespace mezzo::sched
