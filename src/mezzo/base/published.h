#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "mezzo/base/mutex.h"

namespace mezzo {

/// A number of this thread from a small range, for what is counted apart so that threads do not share cache
/// lines: threads that run for long rarely share one.
template <std::size_t kStripes>
std::size_t ThreadStripe() {
  static std::atomic<std::size_t> next{0};  // A number source; no partner.
  thread_local const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed) % kStripes;
  return mine;
}

/// An immutable value that is read by every call and replaced now and then (a directory, a set of rules).
///
/// Get() neither locks nor touches memory that other threads write, unless the value has changed since the
/// thread's last Get(): each thread keeps a reference with a count of its own. What was replaced therefore
/// lives on until every thread that has read it reads again or ends. Thread-safe.
template <typename T>
class Published {
 public:
  using Ref = std::shared_ptr<const T>;

  explicit Published(Ref first) : value_(std::move(first)) {}
  Published(const Published&) = delete;
  Published& operator=(const Published&) = delete;

  [[nodiscard]] Ref Get() const EXCLUDES(mu_) {
    Kept& kept = ForThread();
    // Partner: Replace(). Whoever sees its number finds its value, or a later one, under the lock.
    if (kept.id != id_ || kept.generation != generation_.load(std::memory_order_acquire)) Renew(kept);
    return kept.value;
  }

  /// From the next Get() of any thread on. The old one, to be let go of outside of locks.
  Ref Replace(Ref next) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    value_.swap(next);
    generation_.fetch_add(1, std::memory_order_release);
    return next;
  }

 private:
  static constexpr std::size_t kPlaces = 4;  // Of a thread, for values of one type.
  struct Kept {
    std::uint64_t id = 0;
    std::uint64_t generation = 0;
    Ref value;
  };

  static std::uint64_t NextId() {
    static std::atomic<std::uint64_t> last{0};  // A number source; no partner.
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  Kept& ForThread() const {
    thread_local std::array<Kept, kPlaces> places;
    return places[id_ % kPlaces];
  }
  void Renew(Kept& kept) const EXCLUDES(mu_) {
    Kept fresh{.id = id_};
    {
      MutexLock lock(mu_);
      // A count that only this thread changes, beside the one that all share.
      auto own = std::make_shared<const Ref>(value_);
      fresh.value = Ref(own, own->get());
      fresh.generation = generation_.load(std::memory_order_relaxed);
    }
    std::swap(kept, fresh);  // The old value dies here, after the lock.
  }

  const std::uint64_t id_ = NextId();  // Never used again: a place left behind by a dead one fits nobody.
  std::atomic<std::uint64_t> generation_{0};
  mutable Mutex mu_;
  Ref value_ GUARDED_BY(mu_);
};

}  // namespace mezzo
