#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mezzo/base/clock.h"

namespace mezzo::sched {

/// Why an item did not run.
enum class Refusal : std::uint8_t {
  kQueueFull,            ///< A limit on queued items; at Enqueue().
  kDeadlineUnreachable,  ///< Predicted to be late; at Enqueue().
  kDeadlineExpired,      ///< Accepted, but can no longer be in time.
  kBreakerOpen,
  kModelRemoved,
  kBatchTooLarge,
  kOverloaded,  ///< Shed to protect the device (OverloadControl); at Enqueue().
};
inline constexpr std::size_t kRefusalCount = 7;

/// "queue_full" and so on: a label for metrics, all distinct.
std::string_view RefusalName(Refusal refusal);

/// Counters only grow; the others are present values.
struct FlowStatistics {
  std::uint64_t queued_items = 0;   ///< Now.
  std::uint64_t running_items = 0;  ///< Now.
  std::uint64_t completed_items = 0;
  std::uint64_t completed_rows = 0;
  std::uint64_t cancelled_items = 0;  ///< While queued.
  std::array<std::uint64_t, kRefusalCount> refused{};
  Duration charged{};  ///< Measured device time.
};

struct ModelStatistics : FlowStatistics {
  std::uint64_t queued_rows = 0;      ///< Now.
  std::uint64_t running_batches = 0;  ///< Now.
  std::uint64_t batches = 0;
  std::uint64_t failed_batches = 0;
  std::uint64_t hung_batches = 0;
  std::uint64_t breaker_opened = 0;
  Duration predicted{};  ///< Sum over completed batches, to compare with `charged`.
};

/// How a device stands between its load and what it can do.
struct OverloadStatistics {
  double signal = 0;            ///< Waiting times over what is fine; above 1 is too much.
  double limit = 0;             ///< Predicted device nanoseconds a second that may come in; 0: no limit now.
  std::uint64_t overloads = 0;  ///< How often a limit began.
  std::array<std::array<std::uint64_t, 3>, 2> shed{};  ///< Items: of the free tier, of others; by class.
};

}  // namespace mezzo::sched
