#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/mutex.h"

namespace mezzo::observe {

/// What a failing check means: the process should be restarted, it should get no traffic, or it serves with
/// less than it should have.
enum class HealthKind : std::uint8_t { kLiveness, kReadiness, kDegraded };

/// One check as a report shows it.
struct HealthState {
  std::string name;
  HealthKind kind = HealthKind::kReadiness;
  bool ok = false;
  std::string reason;  ///< Why not; empty when ok.
};

class HealthCheck;

/// Named checks and their states. Components push states; nothing is probed when someone asks.
///
/// Live: no liveness check fails. Ready: live, no check fails but of kind kDegraded, and not draining.
/// Thread-safe; live() and ready() are atomic loads.
class Health {
 public:
  /// Registers a check, failing with the reason "starting" until its first Ok(). Names are written in code: a
  /// name in use aborts.
  [[nodiscard]] HealthCheck NewCheck(std::string_view name, HealthKind kind) EXCLUDES(mu_);

  [[nodiscard]] bool live() const { return failing_liveness_.load(std::memory_order_relaxed) == 0; }
  [[nodiscard]] bool ready() const {
    return live() && failing_.load(std::memory_order_relaxed) == 0 && !draining();
  }

  /// For good: the server stops taking traffic and ends what it has.
  void StartDraining() { draining_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool draining() const { return draining_.load(std::memory_order_relaxed); }

  /// Every check, by name.
  [[nodiscard]] std::vector<HealthState> Report() const EXCLUDES(mu_);
  /// Why the server is not ready: "draining", or "name: reason" of the first failing check; empty when ready.
  [[nodiscard]] std::string WhyNotReady() const EXCLUDES(mu_);

 private:
  friend class HealthCheck;
  static constexpr std::size_t kMaxReasonBytes = 512;
  struct Entry {
    HealthState state;
    bool reported = false;  // Before, a liveness check says nothing against the process.
  };

  void Set(const std::string& name, bool ok, std::string_view reason) EXCLUDES(mu_);
  void Remove(const std::string& name) EXCLUDES(mu_);
  void Recount() REQUIRES(mu_);

  mutable Mutex mu_;
  std::map<std::string, Entry> checks_ GUARDED_BY(mu_);
  // Counts over checks_, written under mu_, read alone.
  std::atomic<std::uint32_t> failing_{0};
  std::atomic<std::uint32_t> failing_liveness_{0};
  std::atomic<bool> draining_{false};  // Stands alone, no partner.
};

/// A component's hold on its check, which ends with it. Move-only; must not outlive the Health.
class HealthCheck {
 public:
  HealthCheck(HealthCheck&& other) noexcept
      : health_(std::exchange(other.health_, nullptr)), name_(std::move(other.name_)) {}
  HealthCheck& operator=(HealthCheck&&) = delete;
  ~HealthCheck() {
    if (health_ != nullptr) health_->Remove(name_);
  }

  void Ok() { health_->Set(name_, true, {}); }
  void Fail(std::string_view reason) { health_->Set(name_, false, reason); }

 private:
  friend class Health;
  HealthCheck(Health* health, std::string name) : health_(health), name_(std::move(name)) {}

  Health* health_;
  std::string name_;
};

}  // namespace mezzo::observe
