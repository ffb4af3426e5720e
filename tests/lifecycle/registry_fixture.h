#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "databases.h"
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/registry_schema.h"
#include "mezzo/lifecycle/registry_store.h"

namespace mezzo::lifecycle {

/// A wall clock that is set; the other one runs.
class SetClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override { return real_.Now(); }
  [[nodiscard]] WallTime WallNow() const override { return wall_; }
  void Advance(Duration duration) { wall_ += duration; }

 private:
  RealClock real_;
  WallTime wall_{std::chrono::seconds(1'700'000'000)};
};

class RegistryFixture : public ::testing::TestWithParam<storage::SqlDialect> {
 protected:
  RegistryFixture() {
    const auto migrated = storage::Migrate(*database_->db, "registry", RegistryMigrations(), Soon(), real_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
  }
  [[nodiscard]] TimePoint Soon() const { return real_.Now() + std::chrono::seconds(30); }

  /// Files by path and content.
  using Files = std::vector<std::pair<std::string, std::string>>;
  static Manifest ManifestOf(const Files& files) {
    std::vector<ManifestFile> list;
    for (const auto& [path, content] : files) {
      list.push_back({.path = path, .sha256 = Sha256Hex(content), .bytes = content.size()});
    }
    return Manifest::Make(std::move(list), {}).value();
  }

  void MakeModel(const std::string& name) {
    const auto made = store_.CreateModel({.name = name}, "ann", Soon());
    ASSERT_TRUE(made.ok()) << made.error().ToString();
  }
  /// A version that is ready; its number.
  std::int64_t MakeReady(const std::string& model, const Files& files = {{"model.onnx", "w"}}) {
    const auto made = store_.CreateVersion(model, {.manifest = ManifestOf(files)}, "ann", Soon());
    EXPECT_TRUE(made.ok()) << made.error().ToString();
    const auto ready = store_.SetState(
        model, made->version, {.from = VersionState::kUploading, .to = VersionState::kReady}, "ann", Soon());
    EXPECT_TRUE(ready.ok()) << ready.error().ToString();
    return made->version;
  }
  template <typename T>
  static std::string Reason(const Result<T>& result) {
    return result.ok() ? "ok" : std::string(result.error().reason());
  }

  RealClock real_;
  SetClock clock_;
  std::unique_ptr<tenancy::TestDatabase> database_ = tenancy::OpenEmptyDatabase(GetParam(), real_);
  RegistryStore store_{{.max_versions = 30, .max_aliases = 3, .max_tags = 3}, *database_->db, clock_};
};

}  // namespace mezzo::lifecycle
