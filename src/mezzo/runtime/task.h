#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"

namespace mezzo::runtime {

template <typename T>
class Task;

namespace internal {

struct FinalAwaiter {
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) const noexcept {
    return self.promise().continuation;
  }
  void await_resume() const noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }
  /// Exceptions do not cross our boundaries: whoever calls a throwing library catches there.
  [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;

  Task<T> get_return_object();
  template <typename U>
    requires std::is_convertible_v<U&&, T>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T Take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() const noexcept {}
  void Take() const noexcept {}
};

}  // namespace internal

/// A lazy coroutine: it starts when awaited (or given to Start, Scope or SyncWait) and resumes its awaiter by
/// symmetric transfer, so chains of tasks use no stack. Awaited at most once. Which thread it continues on is
/// decided by what it awaits: everything in `runtime` and `net` resumes on the loop where the await happened.
///
/// Destroying a task that is suspended destroys its frame; nothing in this project does so with a started
/// task.
template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using value_type = T;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      std::coroutine_handle<promise_type> handle;
      [[nodiscard]] bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> continuation) const noexcept {
        handle.promise().continuation = continuation;
        return handle;
      }
      T await_resume() const { return handle.promise().Take(); }
    };
    MEZZO_CHECK(handle_ != nullptr);
    return Awaiter{handle_};
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

namespace internal {

template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

/// A coroutine that starts at once and frees itself at its end.
struct Detached {
  struct promise_type {
    [[nodiscard]] Detached get_return_object() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never initial_suspend() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };
};

template <typename T, typename OnDone>
Detached RunDetached(Task<T> task, OnDone on_done) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    on_done();
  } else {
    on_done(co_await std::move(task));
  }
}

}  // namespace internal

/// Runs `task` on this thread until it first suspends; `on_done` gets its value, on whatever thread it ends.
/// Only for the edges (a protocol server's callback); elsewhere Scope::Spawn.
template <typename T, typename OnDone>
void Start(Task<T> task, OnDone on_done) {
  internal::RunDetached(std::move(task), std::move(on_done));
}

/// Runs `task` and blocks this thread until it has ended. Never on a loop's thread; for tests and commands.
template <typename T>
T SyncWait(Task<T> task) {
  static_assert(!std::is_void_v<T>, "give the task a Result<void>");
  Mutex mu;
  CondVar done;
  std::optional<T> value;
  Start(std::move(task), [&](T result) {
    MutexLock lock(mu);
    value.emplace(std::move(result));
    done.NotifyOne();
  });
  MutexLock lock(mu);
  while (!value.has_value()) done.Wait(mu);
  return std::move(*value);
}

}  // namespace mezzo::runtime
