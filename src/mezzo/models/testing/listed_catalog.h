#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/base/strings.h"
#include "mezzo/models/catalog.h"

namespace mezzo::models::testing {

/// A catalog that has the versions it is told of, and loads nothing by itself: whatever asks for more than
/// whether a version is there gets kUnavailable "unused". Thread-safe.
class ListedCatalog final : public Catalog {
 public:
  using Versions = std::set<std::pair<std::string, std::int64_t>>;

  void Add(const std::string& model, std::int64_t version) {
    const MutexLock lock(mu_);
    listed_.insert({model, version});
  }
  /// These and no others.
  void Keep(const Versions& these) {
    const MutexLock lock(mu_);
    listed_ = these;
  }

  Result<VersionRef> Acquire(std::string_view model, std::string_view version) override {
    const MutexLock lock(mu_);
    const auto number = static_cast<std::int64_t>(ParseUint(version).value_or(0));
    if (listed_.contains({std::string(model), number})) return VersionRef(std::make_shared<ModelVersion>());
    return NotFound("model_unknown", "there is none");
  }
  runtime::Task<Result<VersionRef>> AcquireLoaded(runtime::Context, ModelName, std::string) override {
    co_return Unused();
  }
  Result<std::shared_ptr<const ModelConfig>> ConfigOf(std::string_view, std::string_view) override {
    return Unused();
  }
  Result<std::vector<std::int64_t>> VersionsOf(std::string_view model) override {
    const MutexLock lock(mu_);
    std::vector<std::int64_t> versions;
    for (const auto& [name, version] : listed_) {
      if (name == model) versions.push_back(version);
    }
    if (versions.empty()) return NotFound("model_unknown", "there is none");
    return versions;
  }
  bool IsReady(std::string_view model, std::string_view version) override {
    return Acquire(model, version).ok();
  }
  bool StartupDone() override { return true; }
  std::vector<IndexEntry> Index(bool) override { return {}; }
  runtime::Task<Result<void>> Load(runtime::Context, ModelName, LoadOverrides) override {
    co_return Unused();
  }
  runtime::Task<Result<void>> Unload(runtime::Context, ModelName) override { co_return Unused(); }

 private:
  static Error Unused() { return Unavailable("unused", ""); }

  Mutex mu_;
  Versions listed_ GUARDED_BY(mu_);
};

}  // namespace mezzo::models::testing
