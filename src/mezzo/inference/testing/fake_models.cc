#include "mezzo/inference/testing/fake_models.h"

#include <atomic>
#include <cstring>

namespace mezzo::inference::testing {
namespace {

class FakeControl final : public engine::RunControl {
 public:
  void Terminate() override { terminated.store(true); }
  void Reset() override { terminated.store(false); }
  std::atomic<bool> terminated{false};  // Set by the watchdog, read by the run; no partner.
};

class FakeSession final : public engine::Session {
 public:
  FakeSession(engine::SessionFacts facts, RunFunction run) : facts_(std::move(facts)), run_(std::move(run)) {}

  [[nodiscard]] const engine::SessionFacts& facts() const override { return facts_; }
  Result<std::vector<tensor::Tensor>> Run(std::span<const tensor::Tensor* const> inputs,
                                          std::span<const std::size_t> wanted,
                                          engine::RunControl* control) override {
    MEZZO_TRY(const std::vector<tensor::Tensor> all, run_(inputs, control));
    std::vector<tensor::Tensor> out;
    for (const std::size_t index : wanted) out.push_back(all[index]);
    return out;
  }
  [[nodiscard]] std::unique_ptr<engine::RunControl> NewRunControl() override {
    return std::make_unique<FakeControl>();
  }

 private:
  engine::SessionFacts facts_;
  RunFunction run_;
};

}  // namespace

tensor::Tensor MakeFloats(tensor::Shape shape, const std::vector<float>& values) {
  std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  return {.dtype = tensor::DType::kFp32, .shape = shape, .data = SharedBytes::FromString(std::move(bytes))};
}

tensor::Tensor MakeStrings(tensor::Shape shape, const std::vector<std::string>& values) {
  std::string bytes;
  for (const auto& value : values) tensor::AppendBytesElement(bytes, value);
  return {.dtype = tensor::DType::kBytes, .shape = shape, .data = SharedBytes::FromString(std::move(bytes))};
}

std::vector<float> FloatsOf(const tensor::Tensor& tensor) {
  std::vector<float> out(tensor.data.size() / sizeof(float));
  if (!out.empty()) std::memcpy(out.data(), tensor.data.data(), tensor.data.size());
  return out;
}

std::vector<std::string> StringsOf(const tensor::Tensor& tensor) {
  std::vector<std::string> out;
  tensor::ForEachBytesElement(tensor.data.view(),
                              [&](std::string_view element) { out.emplace_back(element); });
  return out;
}

InferenceCall MakeCall(const std::string& model, std::vector<NamedTensor> inputs) {
  InferenceCall call;
  call.model = ModelName(model);
  call.inputs = std::move(inputs);
  return call;
}

std::shared_ptr<models::ModelVersion> MakeVersion(VersionSpec spec) {
  auto config = std::make_shared<models::ModelConfig>();
  engine::SessionFacts facts;
  config->name = spec.name;
  config->max_batch_size = spec.max_batch;
  config->ragged = spec.pad ? models::RaggedPolicy::kPad : models::RaggedPolicy::kSeparate;
  const auto symbols = [](const tensor::Shape& shape) {
    std::vector<std::string> names;
    for (std::size_t d = 0; d < shape.rank(); ++d)
      names.push_back(shape[d] < 0 ? "dim" + std::to_string(d) : "");
    return names;
  };
  for (const auto& [name, shape] : spec.inputs) {
    config->inputs.push_back({.name = name, .dtype = tensor::DType::kFp32, .shape = shape});
    facts.inputs.push_back(
        {.name = name, .dtype = tensor::DType::kFp32, .shape = shape, .symbols = symbols(shape)});
  }
  for (const auto& [name, shape] : spec.outputs) {
    config->outputs.push_back({.name = name, .dtype = tensor::DType::kFp32, .shape = shape});
    facts.outputs.push_back(
        {.name = name, .dtype = tensor::DType::kFp32, .shape = shape, .symbols = symbols(shape)});
  }
  auto version = std::make_shared<models::ModelVersion>();
  version->name = ModelName(spec.name);
  version->version = spec.version;
  version->version_text = std::to_string(spec.version);
  version->config = std::move(config);
  version->session = std::make_unique<FakeSession>(std::move(facts), std::move(spec.run));
  return version;
}

Result<models::VersionRef> FakeCatalog::Acquire(std::string_view model, std::string_view version) {
  const std::pair<std::string, std::string> name(model, version);
  if (on_disk_.contains(name)) return FailedPrecondition("model_on_disk", "the version is on disk");
  if (const auto numbered = numbered_.find(name); numbered != numbered_.end()) return numbered->second;
  const auto it = versions_.find(model);
  if (!version.empty() && it != versions_.end()) {
    return NotFound("version_unknown", "model '" + name.first + "' has no version " + name.second);
  }
  if (it == versions_.end()) {
    return NotFound("model_unknown", "Request for unknown model: '" + std::string(model) + "' is not found");
  }
  return it->second;
}

runtime::Task<Result<models::VersionRef>> FakeCatalog::AcquireLoaded(runtime::Context /*ctx*/,
                                                                     ModelName model, std::string version) {
  on_disk_.erase({model.str(), version});
  co_return Acquire(model.str(), version);
}

Result<std::shared_ptr<const models::ModelConfig>> FakeCatalog::ConfigOf(std::string_view model,
                                                                         std::string_view version) {
  MEZZO_TRY(const models::VersionRef found, Acquire(model, version));
  return found->config;
}

Result<std::vector<std::int64_t>> FakeCatalog::VersionsOf(std::string_view model) {
  MEZZO_TRY(const models::VersionRef found, Acquire(model, ""));
  return std::vector<std::int64_t>{found->version};
}

bool FakeCatalog::IsReady(std::string_view model, std::string_view version) {
  return Acquire(model, version).ok();
}

std::vector<models::IndexEntry> FakeCatalog::Index(bool /*ready_only*/) {
  std::vector<models::IndexEntry> out;
  for (const auto& [name, version] : versions_) {
    out.push_back({.name = name,
                   .version = version->version_text,
                   .state = models::VersionState::kReady,
                   .reason = ""});
  }
  return out;
}

runtime::Task<Result<void>> FakeCatalog::Load(runtime::Context /*ctx*/, ModelName /*model*/,
                                              models::LoadOverrides /*overrides*/) {
  co_return Unavailable("control_mode", "the fake catalog loads nothing");
}

runtime::Task<Result<void>> FakeCatalog::Unload(runtime::Context /*ctx*/, ModelName model) {
  versions_.erase(model.str());
  co_return Result<void>();
}

}  // namespace mezzo::inference::testing
