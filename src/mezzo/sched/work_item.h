#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mezzo/base/clock.h"

namespace mezzo::sched {

/// Urgency of work, most urgent first. Each class has a guaranteed share of device time.
enum class Class : std::uint8_t { kInteractive, kStandard, kBulk };
inline constexpr std::size_t kClassCount = 3;

/// "interactive", "standard" or "bulk".
std::string_view ClassName(Class cls);

/// Dense handles given out by Scheduler::AddModel and Scheduler::AddTenant.
enum class ModelIndex : std::uint32_t {};
enum class TenantIndex : std::uint32_t {};

/// How a run ended, and whose doing it was.
enum class RunOutcome : std::uint8_t {
  kOk,
  kInputFault,  ///< The model is well; it could not take these inputs.
  kModelFault,
};

namespace internal {
struct ItemAccess;
struct Subqueue;
}  // namespace internal

/// One unit of device work. The submitter owns it, usually as a base of its own request type, and keeps it at
/// the same address from Enqueue() until it came back: handed out by TakeRefused() or RemoveModel(),
/// cancelled while queued, or part of a batch that Complete() ended. Then it may be enqueued again.
///
/// States: idle → queued → running → done, queued → idle (refused or cancelled). Guarded by whatever guards
/// the scheduler.
struct WorkItem {
  enum class State : std::uint8_t { kIdle, kQueued, kRunning, kDone };

  // Set by the submitter before Enqueue(); not changed while queued.
  TenantIndex tenant{};
  ModelIndex model{};
  std::uint64_t batch_key = 0;  ///< Items of one model with equal keys may run together.
  std::uint32_t rows = 1;       ///< At least 1, at most the model's max_batch_rows.
  Class cls = Class::kStandard;
  TimePoint deadline = kNever;  ///< When the result stops being useful.
  /// What queues further items as soon as this one, and those queued with it, have run: a picture and its
  /// steps. Null: nothing. Only compared.
  const void* chain = nullptr;
  std::uint32_t chain_rows = 0;  ///< Rows that the chain then queues, about.
  bool may_shed =
      false;  ///< Refused when the device is overloaded; not of work that has been let in as a whole.

  [[nodiscard]] State state() const { return state_; }
  /// When Enqueue() accepted it.
  [[nodiscard]] TimePoint enqueued() const { return enqueued_; }
  /// True when Cancel() came too late to take it out of a running batch.
  [[nodiscard]] bool cancelled() const { return cancelled_; }

 private:
  friend struct internal::ItemAccess;

  State state_ = State::kIdle;
  bool cancelled_ = false;
  bool timed_ = false;                 // Its deadline is enforced.
  bool probe_ = false;                 // Decides a half-open breaker.
  std::uint32_t queue_position_ = 0;   // In its subqueue's heap.
  std::uint32_t expiry_position_ = 0;  // In the heap of latest starts; meaningful with a deadline.
  std::int64_t cost_ = 0;              // Device nanoseconds it adds to the backlog.
  std::uint64_t arrival_ = 0;
  TimePoint enqueued_{};
  internal::Subqueue* subqueue_ = nullptr;
};

}  // namespace mezzo::sched
