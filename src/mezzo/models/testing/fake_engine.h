#pragma once

#include <atomic>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/engine/engine.h"

namespace mezzo::models::testing {

/// An engine whose model files are text: words of "memory=100" (bytes), "fail=reason", "failrun=reason",
/// "fixed" (no variable first dimension), "bytes" (string input). By default a model maps x FP32 [-1,4] to y
/// of the same shape. Loads of a model can be held and let go. Thread-safe.
class FakeEngine final : public engine::Engine {
 public:
  /// From now on, loads of files below a folder of this name wait for Release().
  void Hold(const std::string& model) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    held_.insert(model);
  }
  void Release(const std::string& model) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    held_.erase(model);
    changed_.NotifyAll();
  }
  /// Loads that were begun for this model.
  int loads(const std::string& model) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return loads_[model];
  }
  int runs() const { return runs_.load(); }
  ByteCount alive_bytes() const { return alive_.load(); }
  ByteCount peak_bytes() const { return peak_.load(); }
  int sessions() const { return sessions_.load(); }
  /// Of the newest load.
  std::vector<engine::ProviderChoice> providers_asked() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return providers_asked_;
  }
  /// Batch sizes of all runs.
  std::vector<std::int64_t> rows() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return rows_;
  }

  Result<std::unique_ptr<engine::Session>> Load(const engine::LoadRequest& request) override EXCLUDES(mu_);
  [[nodiscard]] std::string platform() const override { return "onnxruntime_onnx"; }
  [[nodiscard]] std::vector<std::string> providers() const override { return {"cpu"}; }

 private:
  class FakeSession;

  Mutex mu_;
  CondVar changed_;
  std::set<std::string> held_ GUARDED_BY(mu_);
  std::map<std::string, int> loads_ GUARDED_BY(mu_);
  std::vector<std::int64_t> rows_ GUARDED_BY(mu_);
  std::vector<engine::ProviderChoice> providers_asked_ GUARDED_BY(mu_);
  std::atomic<int> runs_{0};
  std::atomic<int> sessions_{0};
  std::atomic<ByteCount> alive_{0};
  std::atomic<ByteCount> peak_{0};
};

class FakeEngine::FakeSession final : public engine::Session {
 public:
  FakeSession(FakeEngine& engine, engine::SessionFacts facts, std::string fail_run)
      : engine_(engine), facts_(std::move(facts)), fail_run_(std::move(fail_run)) {
    const ByteCount now = engine_.alive_.fetch_add(facts_.memory_bytes) + facts_.memory_bytes;
    ByteCount peak = engine_.peak_.load();
    while (now > peak && !engine_.peak_.compare_exchange_weak(peak, now)) {
    }
    engine_.sessions_.fetch_add(1);
  }
  ~FakeSession() override {
    engine_.alive_.fetch_sub(facts_.memory_bytes);
    engine_.sessions_.fetch_sub(1);
  }

  [[nodiscard]] const engine::SessionFacts& facts() const override { return facts_; }
  Result<std::vector<tensor::Tensor>> Run(std::span<const tensor::Tensor* const> inputs,
                                          std::span<const std::size_t> wanted, engine::RunControl*) override {
    engine_.runs_.fetch_add(1);
    {
      MutexLock lock(engine_.mu_);
      engine_.rows_.push_back(inputs[0]->shape.rank() > 0 ? inputs[0]->shape[0] : 0);
    }
    if (!fail_run_.empty()) return Internal("engine_failed", fail_run_);
    return std::vector<tensor::Tensor>(wanted.size(), *inputs[0]);
  }
  [[nodiscard]] std::unique_ptr<engine::RunControl> NewRunControl() override { return nullptr; }

 private:
  FakeEngine& engine_;
  const engine::SessionFacts facts_;
  const std::string fail_run_;
};

inline Result<std::unique_ptr<engine::Session>> FakeEngine::Load(const engine::LoadRequest& request) {
  std::ifstream file(request.model_path);
  std::stringstream text;
  text << file.rdbuf();
  {
    MutexLock lock(mu_);
    const auto is_held = [&]() REQUIRES(mu_) {
      for (const std::string& model : held_) {
        if (request.model_path.find("/" + model + "/") != std::string::npos) return true;
      }
      return false;
    };
    providers_asked_ = request.providers;
    std::string path = request.model_path;
    for (int i = 0; i < 2; ++i) path.resize(path.rfind('/'));
    ++loads_[path.substr(path.rfind('/') + 1)];
    while (is_held()) changed_.Wait(mu_);
  }
  engine::SessionFacts facts;
  facts.provider = "cpu";
  engine::TensorSpec input{
      .name = "x", .dtype = tensor::DType::kFp32, .shape = {-1, 4}, .symbols = {"batch", ""}};
  std::string fail_run;
  for (std::string word; text >> word;) {
    const std::string value = word.substr(word.find('=') + 1);
    if (word.starts_with("memory=")) facts.memory_bytes = std::stoull(value);
    if (word.starts_with("fail=")) return InvalidArgument("model_invalid", value);
    if (word.starts_with("failrun=")) fail_run = value;
    if (word == "fixed") input.shape = {2, 4};
    if (word == "bytes") input.dtype = tensor::DType::kBytes;
  }
  facts.inputs = {input};
  input.name = "y";
  facts.outputs = {input};
  return std::unique_ptr<engine::Session>(std::make_unique<FakeSession>(*this, std::move(facts), fail_run));
}

}  // namespace mezzo::models::testing
