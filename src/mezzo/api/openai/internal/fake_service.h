#pragma once

#include <algorithm>
#include <coroutine>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/api/openai/tokenizer_source.h"
#include "mezzo/base/mutex.h"
#include "mezzo/inference/service.h"
#include "mezzo/runtime/loop.h"

/// A service that embeds by arithmetic, for tests of the protocol.
namespace mezzo::api::openai::internal {

/// Serves configurations without sessions.
class FakeCatalog final : public models::Catalog {
 public:
  models::VersionRef Add(models::ModelConfig config, bool on_disk = false) {
    auto version = std::make_shared<models::ModelVersion>();
    version->name = ModelName(config.name);
    version->version_text = "1";
    version->config = std::make_shared<const models::ModelConfig>(std::move(config));
    if (on_disk) on_disk_.insert(version->name.str());
    return versions_[version->name.str()] = version;
  }
  void AddFailed(const std::string& name) { failed_.insert(name); }

  Result<models::VersionRef> Acquire(std::string_view model, std::string_view /*version*/) override {
    const std::string name(model);
    if (failed_.contains(name)) {
      return Unavailable("model_not_ready",
                         "Request for unknown model: '" + name + "' has no available versions");
    }
    if (!versions_.contains(name)) {
      return NotFound("model_unknown", "Request for unknown model: '" + name + "' is not found");
    }
    if (on_disk_.contains(name)) return FailedPrecondition("model_on_disk", "not loaded");
    return versions_[name];
  }
  runtime::Task<Result<models::VersionRef>> AcquireLoaded(runtime::Context /*ctx*/, ModelName model,
                                                          std::string version) override {
    on_disk_.erase(model.str());
    co_return Acquire(model.str(), version);
  }
  Result<std::shared_ptr<const models::ModelConfig>> ConfigOf(std::string_view model,
                                                              std::string_view version) override {
    MEZZO_TRY(const models::VersionRef found, Acquire(model, version));
    return found->config;
  }
  Result<std::vector<std::int64_t>> VersionsOf(std::string_view /*model*/) override {
    return std::vector<std::int64_t>{1};
  }
  bool IsReady(std::string_view model, std::string_view version) override {
    return Acquire(model, version).ok();
  }
  bool StartupDone() override { return true; }
  std::vector<models::IndexEntry> Index(bool /*ready_only*/) override {
    std::vector<models::IndexEntry> out;
    for (const auto& [name, version] : versions_) {
      const auto state =
          on_disk_.contains(name) ? models::VersionState::kOnDisk : models::VersionState::kReady;
      out.push_back({.name = name, .version = "1", .state = state, .reason = ""});
    }
    for (const auto& name : failed_) {
      out.push_back(
          {.name = name, .version = "1", .state = models::VersionState::kUnavailable, .reason = "broken"});
    }
    return out;
  }
  runtime::Task<Result<void>> Load(runtime::Context /*ctx*/, ModelName /*model*/,
                                   models::LoadOverrides /*overrides*/) override {
    co_return Unavailable("control_mode", "the fake catalog loads nothing");
  }
  runtime::Task<Result<void>> Unload(runtime::Context /*ctx*/, ModelName /*model*/) override {
    co_return Unavailable("control_mode", "the fake catalog unloads nothing");
  }

 private:
  std::map<std::string, models::VersionRef> versions_;
  std::set<std::string> on_disk_;
  std::set<std::string> failed_;
};

/// Answers a row with {sum of its ids, tokens under the mask, first id, 0.5}, one turn of the loop later.
class FakeService final : public inference::Service {
 public:
  struct Seen {
    std::int64_t rows = 0;
    std::int64_t length = 0;
    std::size_t inputs = 0;
    TimePoint deadline = kNever;
    std::string tenant;
    std::string output;
  };

  runtime::Task<Result<inference::InferenceAnswer>> Infer(runtime::Context ctx, tenancy::CallerRef caller,
                                                          inference::InferenceCall call) override {
    const tensor::Tensor& ids = call.inputs.at(0).tensor;
    const tensor::Tensor& mask = call.inputs.at(1).tensor;
    seen.push_back({.rows = ids.shape[0],
                    .length = ids.shape[1],
                    .inputs = call.inputs.size(),
                    .deadline = ctx.deadline(),
                    .tenant = caller->tenant->id.str(),
                    .output = call.outputs.at(0).name});
    most_running = std::max(most_running, ++running_);
    co_await NextTurn{};
    --running_;
    if (seen.size() >= fail_from && failure) {
      const Error error = *failure;
      if (fail_once) failure.reset();
      co_return error;
    }
    inference::InferenceAnswer answer;
    answer.model = call.model;
    answer.outputs.push_back({.name = call.outputs.at(0).name, .tensor = Compute(ids, mask)});
    co_return answer;
  }
  Result<std::vector<inference::ModelStatistics>> Statistics(std::string_view /*model*/,
                                                             std::string_view /*version*/) override {
    return std::vector<inference::ModelStatistics>();
  }
  void RecordEdges(const inference::InferenceAnswer& /*answer*/, Duration /*admit*/,
                   Duration /*encode*/) override {
    ++recorded_edges;
  }
  [[nodiscard]] models::Catalog& catalog() override { return catalog_; }
  FakeCatalog& fake_catalog() { return catalog_; }

  std::vector<Seen> seen;
  std::size_t most_running = 0;
  int recorded_edges = 0;
  std::optional<Error> failure;
  std::size_t fail_from = 0;  ///< The first call that fails, counted from 1.
  bool fail_once = false;
  float poison = 0;  ///< Added to every number: not-a-number spoils the answers.
  std::int64_t extra_rows = 0;

 private:
  struct NextTurn {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const { runtime::Loop::Current()->PostResume(handle); }
    void await_resume() const noexcept {}
  };

  static std::int64_t At(const tensor::Tensor& tensor, std::int64_t index) {
    std::int64_t value = 0;
    std::memcpy(&value, tensor.data.data() + index * 8, sizeof(value));
    return value;
  }
  tensor::Tensor Compute(const tensor::Tensor& ids, const tensor::Tensor& mask) const {
    std::string bytes;
    for (std::int64_t row = 0; row < ids.shape[0] + extra_rows; ++row) {
      float values[4] = {poison, poison, poison, 0.5F};
      for (std::int64_t t = 0; row < ids.shape[0] && t < ids.shape[1]; ++t) {
        const std::int64_t at = row * ids.shape[1] + t;
        values[0] += static_cast<float>(At(ids, at) * At(mask, at));
        values[1] += static_cast<float>(At(mask, at));
      }
      if (row < ids.shape[0]) values[2] += static_cast<float>(At(ids, row * ids.shape[1]));
      bytes.append(reinterpret_cast<const char*>(values), sizeof(values));
    }
    return {.dtype = tensor::DType::kFp32,
            .shape = {ids.shape[0] + extra_rows, 4},
            .data = SharedBytes::FromString(std::move(bytes))};
  }

  FakeCatalog catalog_;
  std::size_t running_ = 0;
};

/// One tokenizer for every version; or an error.
class FakeTokenizers final : public TokenizerSource {
 public:
  runtime::Task<Result<std::shared_ptr<const EmbeddingTokenizer>>> For(runtime::Context /*ctx*/,
                                                                       models::VersionRef /*version*/,
                                                                       std::string file) override {
    asked.push_back(std::move(file));
    if (failure) co_return *failure;
    co_return tokenizer;
  }
  std::shared_ptr<const EmbeddingTokenizer> tokenizer;
  std::vector<std::string> asked;
  std::optional<Error> failure;
};

}  // namespace mezzo::api::openai::internal
