#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "mezzo/net/internal/connection.h"

namespace mezzo::net {

/// Awaits a task of the application. When it does not end at once the connection watches its client
/// meanwhile.
template <typename T>
struct Connection::Watched {
  Watched(Connection& connection, runtime::Task<T> to_run) : self(connection), task(std::move(to_run)) {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) {
    runtime::Start(std::move(task), [this](T result) { End(std::move(result)); });
    if (value) return false;
    waiter = handle;
    self.StartWatch();
    return true;
  }
  T await_resume() { return std::move(*value); }

  void End(T result) {
    // Tasks end on the loop where they began; one that does not must not touch the connection from elsewhere.
    runtime::Loop* home = self.facts_.loop;
    if (runtime::Loop::Current() != home) {
      home->Post([this, result = std::move(result)]() mutable { End(std::move(result)); });
      return;
    }
    self.watching_ = false;
    value.emplace(std::move(result));
    if (waiter) waiter.resume();
  }

  Connection& self;
  runtime::Task<T> task;
  std::optional<T> value;
  std::coroutine_handle<> waiter;
};

}  // namespace mezzo::net
