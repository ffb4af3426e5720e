#include "mezzo/inference/runtime_item.h"

#include <utility>

namespace mezzo::inference {

void CallItem::Finish(const Error* error, const sched::RunReport& run_report) {
  report = run_report;
  if (error != nullptr) {
    result.emplace(*error);
    // Never resumed here: this may be inside a cancellation callback that the coroutine still has registered.
    home_.PostResume(waiting_);
    return;
  }
  if (runtime::Loop::Current() == &home_) {
    waiting_.resume();
  } else {
    home_.PostResume(waiting_);
  }
}

bool CallItem::Awaiter::await_suspend(std::coroutine_handle<> handle) {
  item.waiting_ = handle;
  auto submitted = executor.Submit(item);
  if (submitted.ok())
    return true;  // `this` may be gone by now: the item can have finished on another thread.
  refused.emplace(std::move(submitted).error());
  return false;
}

}  // namespace mezzo::inference
