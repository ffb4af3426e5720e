#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/storage/token_store.h"
#include "mezzo/tenancy/shared_rate.h"

namespace mezzo::tenancy {

/// This host's part of one limit on concurrency that several hosts share: permits held in a TokenStore, a
/// quarter more than ran at most in the last seconds, so that a call asks nobody. Beyond what it holds a host
/// lets one call through at once, and up to a quarter of what the store last had free; it asks for those
/// with the next round, and lets no more through when it gets none. Alone it goes on with its share of the
/// limit (as SharedRate), at least one call.
///
/// Pure; not thread-safe.
class SharedPermits {
 public:
  /// Permits that are not asked for again go back after this time.
  static constexpr Duration kLifetime = std::chrono::seconds(10);

  explicit SharedPermits(std::string key) : key_(std::move(key)) {}

  /// Of the limit now; zero shuts.
  void Set(double limit);
  struct Check {
    bool refused = false;
    double remaining = 0;
  };
  /// Whether `units` more may run besides `running`.
  Check Look(const SharingView& view, double running, double units);
  [[nodiscard]] bool hungry() const { return hungry_; }

  /// What to hold from now on; nothing: not yet due. `running` is what runs now.
  std::optional<storage::TokenStore::PermitRequest> Ask(TimePoint now, const SharingView& view,
                                                        const std::string& host, double running);
  void Answer(const storage::TokenStore::PermitGrant& grant, const SharingView& view);

  /// Nothing runs and nothing is held.
  [[nodiscard]] bool IsQuiet() const { return peak_ < 1 && held_ == 0 && !hungry_; }
  [[nodiscard]] std::int64_t held() const { return held_; }

 private:
  const std::string key_;
  std::int64_t limit_ = 0;
  std::int64_t held_ = 0;
  std::int64_t free_ = 0;
  bool answered_ = false;
  bool hungry_ = false;
  double peak_ = 0;
  TimePoint asked_at_{};
};

}  // namespace mezzo::tenancy
