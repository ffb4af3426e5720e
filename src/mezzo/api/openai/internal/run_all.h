#pragma once

#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <utility>

#include "mezzo/base/result.h"
#include "mezzo/runtime/task.h"

namespace mezzo::api::openai::internal {

/// What the lanes of one RunAll() share. They all run on one loop, so there is no lock.
struct Fan {
  std::size_t next = 0;
  std::size_t count = 0;
  std::size_t lanes = 0;  ///< Still running.
  std::optional<Error> error;
  std::coroutine_handle<> waiting;

  void EndLane() {
    if (--lanes == 0 && waiting) waiting.resume();
  }
  auto AllEnded() {
    struct Awaiter {
      Fan& fan;
      [[nodiscard]] bool await_ready() const noexcept { return fan.lanes == 0; }
      void await_suspend(std::coroutine_handle<> handle) const noexcept { fan.waiting = handle; }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }
};

template <typename Make>
runtime::Task<Result<void>> RunLane(Fan* fan, Make* make) {
  while (fan->next < fan->count && !fan->error) {
    Result<void> done = co_await (*make)(fan->next++);
    if (!done.ok() && !fan->error) fan->error = std::move(done).error();
  }
  co_return Result<void>();
}

/// Runs make(0), make(1), … make(count - 1), each a Task<Result<void>> that ends on this loop, at most
/// `width` at a time; the first ones start in this turn of the loop. After an error nothing more is started;
/// it is returned once what runs has ended. On a loop's thread, or where every task ends on the thread that
/// resumes it.
template <typename Make>
runtime::Task<Result<void>> RunAll(std::size_t count, std::size_t width, Make make) {
  Fan fan;
  fan.count = count;
  fan.lanes = std::min(count, width);
  const std::size_t lanes = fan.lanes;
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    runtime::Start(RunLane(&fan, &make), [&fan](const Result<void>& /*always ok*/) { fan.EndLane(); });
  }
  co_await fan.AllEnded();
  if (fan.error) co_return *std::move(fan.error);
  co_return Result<void>();
}

}  // namespace mezzo::api::openai::internal
