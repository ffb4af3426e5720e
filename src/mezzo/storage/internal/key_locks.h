#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/blob_checks.h"
#include "mezzo/storage/blob_key.h"

namespace mezzo::storage::internal {

/// One holder at a time for each key, for as long as calls to a store take: a Mutex would be held over them.
/// Thread-safe.
class KeyLocks {
 public:
  /// The right to change what is stored under a key. Move-only; must not outlive the locks.
  class Lease {
   public:
    Lease(KeyLocks* locks, std::string key) : locks_(locks), key_(std::move(key)) {}
    Lease(Lease&& other) noexcept
        : locks_(std::exchange(other.locks_, nullptr)), key_(std::move(other.key_)) {}
    Lease& operator=(Lease&& other) = delete;
    ~Lease() {
      if (locks_ != nullptr) locks_->Release(key_);
    }

   private:
    KeyLocks* locks_;
    std::string key_;
  };

  /// Waits until the key is free. Fails with kDeadlineExceeded "blob_timeout".
  Result<Lease> Acquire(const BlobKey& key, const Clock& clock, TimePoint deadline) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    while (!held_.insert(key.text()).second) {
      if (clock.Now() >= deadline) return BlobTimeout();
      // The clock may be a manual one: never sleep long by the real one.
      (void)freed_.WaitUntil(mu_, std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
    }
    return Lease(this, key.text());
  }
  /// Nothing when another holds it.
  std::optional<Lease> TryAcquire(const BlobKey& key) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (!held_.insert(key.text()).second) return std::nullopt;
    return std::optional<Lease>(std::in_place, this, key.text());
  }

 private:
  void Release(const std::string& key) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    held_.erase(key);
    freed_.NotifyAll();
  }

  Mutex mu_;
  CondVar freed_;
  std::set<std::string> held_ GUARDED_BY(mu_);
};

}  // namespace mezzo::storage::internal
