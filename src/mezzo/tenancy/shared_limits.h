#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"
#include "mezzo/storage/token_store.h"
#include "mezzo/tenancy/limiter.h"
#include "mezzo/tenancy/shared_rate.h"

namespace mezzo::tenancy {

/// Keeps a Limiter's shared limits in step with the other hosts': in rounds it leases tokens and permits from
/// a TokenStore, and tells what this host uses. One round trip of each kind serves up to 1,000 buckets.
///
///     kShared --the store fails, or answers too late--> kAlone --it answers--> kReturning
///     kReturning --`returning` has passed--> kShared; kReturning --it fails--> kAlone
///     kAlone --it answers for the first time ever--> kShared
///
/// A host returns slowly, because the others come back at other times than itself and the store may have come
/// back full.
///
/// Next() and Answered() are the logic, for one thread; Run() is the loop around them. The counts may be read
/// from any thread.
class SharedLimits {
 public:
  struct Options {
    Duration every = std::chrono::milliseconds(25);      ///< Between rounds, give or take a fifth.
    Duration soonest = std::chrono::milliseconds(10);    ///< The same, when a balance ran out.
    Duration announce = std::chrono::milliseconds(250);  ///< Between announcements.
    Duration patience = std::chrono::milliseconds(100);  ///< With one answer.
    Duration returning = std::chrono::seconds(2);
    Duration quiet = std::chrono::milliseconds(500);  ///< Outages shorter than this are not logged.
    std::size_t most = 1000;                          ///< Buckets in a round; at most 1,000.
  };
  /// All outlive this. Has the limiter share from now on; `host` is unique among the hosts, a name of
  /// storage::KvStore.
  SharedLimits(Options options, std::string host, Limiter& limiter, const Clock& clock);

  struct Asking {
    Limiter::Round round;  ///< The last permit is this host itself, when `announces`.
    bool announces = false;
    TimePoint at{};
  };
  /// What to ask now; nothing before its time. Whoever gets it calls Answered() before the next.
  std::optional<Asking> Next();
  struct Answers {
    std::vector<storage::TokenStore::TokenGrant> tokens;
    std::vector<storage::TokenStore::PermitGrant> permits;
  };
  void Answered(const Asking& asking, Result<Answers> answers);

  /// Not null; both outlive Run().
  struct Ports {
    storage::TokenStore* store = nullptr;
    observe::Logger* log = nullptr;
  };
  /// Until the context is cancelled. On a loop's thread.
  runtime::Task<void> Run(runtime::Context ctx, Ports ports);

  [[nodiscard]] SharingMode mode() const { return mode_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t hosts() const { return hosts_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t rounds() const { return rounds_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }

 private:
  static runtime::Task<Result<Answers>> Ask(runtime::Context ctx, storage::TokenStore* store,
                                            std::vector<storage::TokenStore::TokenRequest> tokens,
                                            std::vector<storage::TokenStore::PermitRequest> permits);
  void Enter(SharingMode mode, TimePoint since);
  void LogChange(observe::Logger& log);

  const Options options_;
  const std::string host_;
  Limiter& limiter_;
  const Clock& clock_;
  std::minstd_rand random_;
  SharingView view_;
  TimePoint last_{};
  TimePoint next_{};
  TimePoint announce_at_{};
  TimePoint alone_since_{};
  bool met_ = false;     // The store has answered once.
  bool logged_ = false;  // That this host is alone.
  // Read by metrics; no partners.
  std::atomic<SharingMode> mode_{SharingMode::kShared};
  std::atomic<std::int64_t> hosts_{0};
  std::atomic<std::uint64_t> rounds_{0};
  std::atomic<std::uint64_t> failures_{0};
};

}  // namespace mezzo::tenancy
