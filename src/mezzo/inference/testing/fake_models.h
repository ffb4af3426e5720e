#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/inference/inference_call.h"
#include "mezzo/models/catalog.h"

/// Models made of functions, for tests of the call path.
namespace mezzo::inference::testing {

tensor::Tensor MakeFloats(tensor::Shape shape, const std::vector<float>& values);
tensor::Tensor MakeStrings(tensor::Shape shape, const std::vector<std::string>& values);
std::vector<float> FloatsOf(const tensor::Tensor& tensor);
std::vector<std::string> StringsOf(const tensor::Tensor& tensor);
InferenceCall MakeCall(const std::string& model, std::vector<NamedTensor> inputs);

using RunFunction = std::function<Result<std::vector<tensor::Tensor>>(std::span<const tensor::Tensor* const>,
                                                                      engine::RunControl*)>;

struct VersionSpec {
  std::vector<std::pair<std::string, tensor::Shape>> inputs;
  std::vector<std::pair<std::string, tensor::Shape>> outputs = {{"OUT", {-1, 2}}};
  std::int64_t max_batch = 32;
  bool pad = false;
  std::string name = "m";
  std::int64_t version = 1;
  RunFunction run;  ///< Computes every output; the session picks the wanted ones.
};

/// A loaded version without an extension.
std::shared_ptr<models::ModelVersion> MakeVersion(VersionSpec spec);

/// Serves what it was given; the newest version of a model is the one added last.
class FakeCatalog final : public models::Catalog {
 public:
  void Add(models::VersionRef version) {
    numbered_[{version->name.str(), version->version_text}] = version;
    versions_[version->name.str()] = std::move(version);
  }
  void Clear() {
    numbered_.clear();
    versions_.clear();
  }
  /// Is "model_on_disk" until somebody loads it.
  void PutOnDisk(const std::string& model, const std::string& version) { on_disk_.insert({model, version}); }

  Result<models::VersionRef> Acquire(std::string_view model, std::string_view version) override;
  runtime::Task<Result<models::VersionRef>> AcquireLoaded(runtime::Context ctx, ModelName model,
                                                          std::string version) override;
  Result<std::shared_ptr<const models::ModelConfig>> ConfigOf(std::string_view model,
                                                              std::string_view version) override;
  Result<std::vector<std::int64_t>> VersionsOf(std::string_view model) override;
  bool IsReady(std::string_view model, std::string_view version) override;
  bool StartupDone() override { return true; }
  std::vector<models::IndexEntry> Index(bool ready_only) override;
  runtime::Task<Result<void>> Load(runtime::Context ctx, ModelName model,
                                   models::LoadOverrides overrides) override;
  runtime::Task<Result<void>> Unload(runtime::Context ctx, ModelName model) override;

 private:
  std::map<std::string, models::VersionRef, std::less<>> versions_;
  std::map<std::pair<std::string, std::string>, models::VersionRef> numbered_;
  std::set<std::pair<std::string, std::string>> on_disk_;
};

}  // namespace mezzo::inference::testing
