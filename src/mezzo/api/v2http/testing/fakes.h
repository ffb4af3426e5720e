#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/inference/service.h"

namespace mezzo::api::v2http::testing {

/// Serves one model, "m": FP32 [-1,2] "x" in, "y" out, batches of 8; what it answers is set by the test.
class FakeCatalog final : public models::Catalog {
 public:
  FakeCatalog() {
    config_ = std::make_shared<models::ModelConfig>();
    config_->name = "m";
    config_->platform = "onnxruntime_onnx";
    config_->max_batch_size = 8;
    config_->inputs.push_back({.name = "x", .dtype = tensor::DType::kFp32, .shape = {-1, 2}});
    config_->outputs.push_back({.name = "y", .dtype = tensor::DType::kFp32, .shape = {-1, 2}});
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
    if (model != "m") return Unknown(model);
    return std::shared_ptr<const models::ModelConfig>(config_);
  }
  Result<std::vector<std::int64_t>> VersionsOf(std::string_view model) override {
    if (model != "m") return Unknown(model);
    return std::vector<std::int64_t>{1, 3};
  }
  bool IsReady(std::string_view model, std::string_view version) override {
    return model == "m" && (version.empty() || version == "1");
  }
  bool StartupDone() override { return started; }
  std::vector<models::IndexEntry> Index(bool ready_only) override {
    std::vector<models::IndexEntry> entries = {
        {.name = "m", .version = "1", .state = models::VersionState::kReady, .reason = ""},
        {.name = "m", .version = "3", .state = models::VersionState::kUnavailable, .reason = "broken"},
        {.name = "z", .version = "1", .state = models::VersionState::kOnDisk, .reason = ""},
        {.name = "zz", .version = "", .state = models::VersionState::kUnknown, .reason = ""}};
    if (ready_only) entries.resize(1);
    return entries;
  }
  runtime::Task<Result<void>> Load(runtime::Context, ModelName model,
                                   models::LoadOverrides overrides) override {
    loaded = model.str();
    load_overrides = std::move(overrides);
    co_return Result<void>();
  }
  runtime::Task<Result<void>> Unload(runtime::Context, ModelName model) override {
    unloaded = model.str();
    co_return Result<void>();
  }

  bool started = true;
  std::string loaded;
  std::string unloaded;
  models::LoadOverrides load_overrides;

 private:
  static Error Unknown(std::string_view model) {
    return NotFound("model_unknown", "Request for unknown model: '" + std::string(model) + "' is not found");
  }

  std::shared_ptr<models::ModelConfig> config_;
};

/// Answers with the first input's tensor under the name "y", or with `failure`.
class FakeService final : public inference::Service {
 public:
  runtime::Task<Result<inference::InferenceAnswer>> Infer(runtime::Context ctx, tenancy::CallerRef caller,
                                                          inference::InferenceCall call) override {
    deadline = ctx.deadline();
    tenant_name = caller->tenant->id.str();
    last = call;
    if (failure) co_return *failure;
    inference::InferenceAnswer answer;
    answer.model = call.model;
    answer.version = call.version.empty() ? "3" : call.version;
    answer.id = call.id;
    answer.outputs.push_back({.name = "y", .tensor = call.inputs.at(0).tensor});
    co_return answer;
  }
  Result<std::vector<inference::ModelStatistics>> Statistics(std::string_view model,
                                                             std::string_view version) override {
    asked_statistics = std::string(model) + "/" + std::string(version);
    inference::ModelStatistics statistics;
    statistics.name = "m";
    statistics.version = "1";
    statistics.inference_count = 5;
    statistics.success = {.count = 2, .ns = 30};
    statistics.batches.push_back({.batch_size = 4, .compute_infer = {.count = 1, .ns = 9}});
    statistics.memory_bytes = 100;
    return std::vector<inference::ModelStatistics>{statistics};
  }
  void RecordEdges(const inference::InferenceAnswer&, Duration admit, Duration encode) override {
    ++recorded;
    admit_time = admit;
    encode_time = encode;
  }
  models::Catalog& catalog() override { return models; }

  FakeCatalog models;
  std::optional<Error> failure;
  TimePoint deadline{};
  std::string tenant_name;
  int recorded = 0;
  Duration admit_time{};
  Duration encode_time{};
  std::string asked_statistics;
  inference::InferenceCall last;
};

}  // namespace mezzo::api::v2http::testing
