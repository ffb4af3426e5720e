#pragma once

#include <coroutine>
#include <optional>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/inference/request_plan.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/sched/device_executor.h"
#include "mezzo/tenancy/limiter.h"

namespace mezzo::inference {

/// One run of a loaded version in the scheduler: what it takes, and what came of it. Whoever derives from it
/// decides what happens at its end. All items of a model that has a VersionRuntime are of this type.
class RuntimeItem : public sched::DeviceItem {
 public:
  /// Outlives the run, and does not change during it.
  [[nodiscard]] const RequestPlan& plan() const { return *plan_; }

  /// Its run starts. Called by the runner, on its thread.
  virtual void OnStart() {}

  /// Set by the runner: this call's outputs, in the plan's order, or its own error.
  std::optional<Result<std::vector<tensor::Tensor>>> result;
  sched::RunReport report;
  Duration gather{};
  Duration scatter{};

 protected:
  /// What the next run is about; not while the item is queued or runs.
  void SetPlan(const RequestPlan& plan) {
    plan_ = &plan;
    rows = plan.rows;
    batch_key = plan.batch_key;
  }

 private:
  const RequestPlan* plan_ = nullptr;
};

/// A run that a coroutine awaits; lives in its frame.
class CallItem final : public RuntimeItem {
 public:
  CallItem(const RequestPlan& plan, runtime::Loop& home) : home_(home) { SetPlan(plan); }

  void Finish(const Error* error, const sched::RunReport& report) override;
  void OnStart() override { place = tenancy::LimitTicket(); }

  tenancy::LimitTicket place;  ///< In the queue; not touched by others while it is queued or runs.

  /// Awaits the end of the item, after Submit succeeded within await_suspend.
  struct Awaiter {
    CallItem& item;
    sched::DeviceExecutor& executor;
    std::optional<Error> refused;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> handle);
    /// The refusal, if Submit failed.
    std::optional<Error> await_resume() { return std::move(refused); }
  };
  [[nodiscard]] Awaiter Run(sched::DeviceExecutor& executor) { return {*this, executor, std::nullopt}; }

 private:
  runtime::Loop& home_;
  std::coroutine_handle<> waiting_;
};

}  // namespace mezzo::inference
