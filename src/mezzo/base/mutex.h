#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define MEZZO_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define MEZZO_THREAD_ANNOTATION(x)
#endif

#define CAPABILITY(x) MEZZO_THREAD_ANNOTATION(capability(x))
#define SCOPED_CAPABILITY MEZZO_THREAD_ANNOTATION(scoped_lockable)
#define GUARDED_BY(x) MEZZO_THREAD_ANNOTATION(guarded_by(x))
#define PT_GUARDED_BY(x) MEZZO_THREAD_ANNOTATION(pt_guarded_by(x))
#define REQUIRES(...) MEZZO_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) MEZZO_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) MEZZO_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASE(...) MEZZO_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) MEZZO_THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS MEZZO_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace mezzo {

/// std::mutex with clang's capability annotations, so that -Wthread-safety sees it.
class CAPABILITY("mutex") Mutex {
 public:
  void Lock() ACQUIRE() { mu_.lock(); }
  void Unlock() RELEASE() { mu_.unlock(); }
  bool TryLock() TRY_ACQUIRE(true) { return mu_.try_lock(); }

 private:
  friend class CondVar;
  std::mutex mu_;
};

/// Holds a Mutex for a scope. Never keep one across co_await.
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mu) ACQUIRE(mu) : mu_(mu) { mu_.Lock(); }
  ~MutexLock() RELEASE() { mu_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mu_;
};

/// Condition variable over Mutex. Waits may wake spuriously: call them in a loop.
class CondVar {
 public:
  void Wait(Mutex& mu) REQUIRES(mu) {
    std::unique_lock lock(mu.mu_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  /// False when `deadline` passed.
  template <typename Clock, typename Dur>
  bool WaitUntil(Mutex& mu, std::chrono::time_point<Clock, Dur> deadline) REQUIRES(mu) {
    std::unique_lock lock(mu.mu_, std::adopt_lock);
    const bool notified = cv_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace mezzo
