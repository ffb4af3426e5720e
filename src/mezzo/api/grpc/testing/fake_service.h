#pragma once

#include <coroutine>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/inference/service.h"
#include "mezzo/models/catalog.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::api::rpc::testing {

/// Knows the models "echo", "hold", "fail" and "big": input and output "X"/"Y", FP32 [-1,4], versions 1
/// and 3. Records loads and unloads.
class FakeCatalog final : public models::Catalog {
 public:
  static bool Knows(std::string_view model) {
    return model == "echo" || model == "hold" || model == "fail" || model == "big";
  }
  static Error Unknown(std::string_view model) {
    return NotFound("model_unknown", "Request for unknown model: '" + std::string(model) + "' is not found");
  }

  Result<models::VersionRef> Acquire(std::string_view model, std::string_view) override {
    return Unknown(model);
  }
  runtime::Task<Result<models::VersionRef>> AcquireLoaded(runtime::Context, ModelName model,
                                                          std::string) override {
    co_return Unknown(model.str());
  }
  Result<std::shared_ptr<const models::ModelConfig>> ConfigOf(std::string_view model,
                                                              std::string_view) override {
    if (!Knows(model)) return Unknown(model);
    auto config = std::make_shared<models::ModelConfig>();
    config->name = std::string(model);
    config->platform = "onnxruntime_onnx";
    config->max_batch_size = 8;
    models::TensorConfig tensor;
    tensor.name = "X";
    tensor.shape = {-1, 4};
    config->inputs.push_back(tensor);
    tensor.name = "Y";
    config->outputs.push_back(tensor);
    return std::shared_ptr<const models::ModelConfig>(std::move(config));
  }
  Result<std::vector<std::int64_t>> VersionsOf(std::string_view model) override {
    if (!Knows(model)) return Unknown(model);
    return std::vector<std::int64_t>{1, 3};
  }
  bool IsReady(std::string_view model, std::string_view version) override {
    return Knows(model) && (version.empty() || version == "1" || version == "3");
  }
  bool StartupDone() override { return true; }
  std::vector<models::IndexEntry> Index(bool ready_only) override {
    std::vector<models::IndexEntry> entries;
    entries.push_back({.name = "echo", .version = "1", .state = models::VersionState::kReady, .reason = {}});
    if (!ready_only) {
      entries.push_back({.name = "broken",
                         .version = "2",
                         .state = models::VersionState::kUnavailable,
                         .reason = "bad graph"});
    }
    return entries;
  }
  runtime::Task<Result<void>> Load(runtime::Context, ModelName model,
                                   models::LoadOverrides overrides) override {
    if (!Knows(model.str())) co_return Unknown(model.str());
    MutexLock lock(mu_);
    loaded_ = std::move(overrides);
    co_return Result<void>();
  }
  runtime::Task<Result<void>> Unload(runtime::Context, ModelName model) override {
    if (!Knows(model.str())) co_return Unknown(model.str());
    MutexLock lock(mu_);
    unloaded_ = model.str();
    co_return Result<void>();
  }

  models::LoadOverrides loaded() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return loaded_;
  }
  std::string unloaded() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return unloaded_;
  }

 private:
  Mutex mu_;
  models::LoadOverrides loaded_ GUARDED_BY(mu_);
  std::string unloaded_ GUARDED_BY(mu_);
};

/// Suspends a coroutine until Open() or until its context is cancelled; counts those who wait.
class Gate {
 public:
  auto Wait(runtime::Context ctx) {
    struct Awaiter {
      Gate& gate;
      runtime::Context ctx;
      std::unique_ptr<runtime::CancelRegistration> registration;
      [[nodiscard]] bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) {
        const std::uint64_t id = gate.Enter(handle);
        runtime::Callback cancel = [g = &gate, id] { g->Release(id); };
        registration = std::make_unique<runtime::CancelRegistration>(ctx.cancel_state(), std::move(cancel));
      }
      void await_resume() { registration.reset(); }
    };
    return Awaiter{*this, std::move(ctx), nullptr};
  }
  /// Lets all go who wait, and all who come.
  void Open() EXCLUDES(mu_) {
    std::map<std::uint64_t, Waiter> waiting;
    {
      MutexLock lock(mu_);
      open_ = true;
      waiting.swap(waiting_);
    }
    for (auto& [id, waiter] : waiting) waiter.loop->PostResume(waiter.handle);
  }
  /// Lets the one go that came first.
  void ReleaseFirst() EXCLUDES(mu_) {
    mu_.Lock();
    const std::uint64_t id = waiting_.begin()->first;
    mu_.Unlock();
    Release(id);
  }
  /// Blocks until `count` wait.
  void AwaitWaiting(std::size_t count) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    while (waiting_.size() != count) changed_.Wait(mu_);
  }
  std::size_t waiting() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return waiting_.size();
  }

 private:
  struct Waiter {
    runtime::Loop* loop;
    std::coroutine_handle<> handle;
  };

  std::uint64_t Enter(std::coroutine_handle<> handle) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    const std::uint64_t id = next_++;
    if (open_) {
      runtime::Loop::Current()->PostResume(handle);
    } else {
      waiting_.emplace(id, Waiter{runtime::Loop::Current(), handle});
    }
    changed_.NotifyAll();
    return id;
  }
  void Release(std::uint64_t id) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    const auto found = waiting_.find(id);
    if (found == waiting_.end()) return;
    found->second.loop->PostResume(found->second.handle);
    waiting_.erase(found);
    changed_.NotifyAll();
  }

  Mutex mu_;
  CondVar changed_;
  bool open_ GUARDED_BY(mu_) = false;
  std::uint64_t next_ GUARDED_BY(mu_) = 1;
  std::map<std::uint64_t, Waiter> waiting_ GUARDED_BY(mu_);
};

/// "echo" answers each input X as output Y (all inputs, with a Y before the name when there are several);
/// "hold" does so when the gate opens, or says it was cancelled; "fail" refuses with a time to come back;
/// "big" answers 1 MB.
class FakeService final : public inference::Service {
 public:
  runtime::Task<Result<inference::InferenceAnswer>> Infer(runtime::Context ctx, tenancy::CallerRef caller,
                                                          inference::InferenceCall call) override {
    MEZZO_CHECK(runtime::Loop::Current() != nullptr);
    Record(ctx, *caller->tenant, call);
    const std::string model = call.model.str();
    if (!FakeCatalog::Knows(model)) co_return FakeCatalog::Unknown(model);
    if (model == "fail") {
      co_return ResourceExhausted("queue_full", "Exceeds maximum queue size")
          .WithRetryAfter(std::chrono::milliseconds(1200));
    }
    if (model == "hold") {
      co_await gate.Wait(ctx);
      if (ctx.cancelled()) co_return Cancelled("cancelled", "the call was cancelled");
    }
    inference::InferenceAnswer answer{.model = call.model,
                                      .version = call.version.empty() ? "3" : call.version,
                                      .id = call.id,
                                      .outputs = {},
                                      .parameters = {{"note", std::string("seen")}},
                                      .times = {},
                                      .batch_rows = 1,
                                      .served_by = nullptr};
    if (model == "big") {
      inference::NamedTensor output{.name = "Y", .tensor = {}};
      output.tensor.shape = {250'000};
      const tensor::MutableBuffer buffer = tensor::AllocateBuffer(1'000'000);
      for (std::size_t i = 0; i < buffer.size; ++i) buffer.data()[i] = static_cast<std::byte>(i * 7);
      output.tensor.data = buffer.Share();
      answer.outputs.push_back(std::move(output));
      co_return answer;
    }
    for (auto& input : call.inputs) {
      if (auto checked = tensor::CheckTensor(input.name, input.tensor); !checked.ok())
        co_return checked.error();
      answer.outputs.push_back(
          {.name = call.inputs.size() == 1 ? "Y" : "Y" + input.name, .tensor = input.tensor});
    }
    co_return answer;
  }

  Result<std::vector<inference::ModelStatistics>> Statistics(std::string_view model,
                                                             std::string_view) override {
    if (!model.empty() && !FakeCatalog::Knows(model)) return FakeCatalog::Unknown(model);
    inference::ModelStatistics statistics;
    statistics.name = "echo";
    statistics.version = "3";
    statistics.inference_count = 5;
    statistics.success = {.count = 4, .ns = 4000};
    statistics.batches.push_back(
        {.batch_size = 2, .compute_input = {}, .compute_infer = {.count = 1, .ns = 9}, .compute_output = {}});
    statistics.memory_bytes = 1024;
    return std::vector{statistics};
  }
  void RecordEdges(const inference::InferenceAnswer&, Duration, Duration) override {}
  models::Catalog& catalog() override { return fake_catalog; }

  /// What the last call came with.
  struct Seen {
    std::string tenant;
    std::string request_id;
    std::string trace_id;
    TimePoint deadline;
    std::uint64_t priority = 0;
    inference::Parameters parameters;
    std::vector<inference::RequestedOutput> outputs;
  };
  Seen seen() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return seen_;
  }

  FakeCatalog fake_catalog;
  Gate gate;

 private:
  void Record(const runtime::Context& ctx, const tenancy::Tenant& tenant,
              const inference::InferenceCall& call) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    seen_ = {.tenant = tenant.id.str(),
             .request_id = ctx.request_id(),
             .trace_id = ctx.trace().trace_id.Hex(),
             .deadline = ctx.deadline(),
             .priority = call.priority,
             .parameters = call.parameters,
             .outputs = call.outputs};
  }

  Mutex mu_;
  Seen seen_ GUARDED_BY(mu_);
};

}  // namespace mezzo::api::rpc::testing
