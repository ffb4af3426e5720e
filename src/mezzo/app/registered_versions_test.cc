// Routes, aliases and the registry in one database: neither goes behind the other's back.

#include "mezzo/app/registered_versions.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"
#include "mezzo/cache/epoch_store.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/models/testing/listed_catalog.h"
#include "mezzo/releases/release_driver.h"
#include "mezzo/releases/release_store.h"
#include "mezzo/releases/route_store.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::app {
namespace {

using lifecycle::VersionState;
using std::chrono::seconds;
using ::testing::HasSubstr;

class RegisteredVersionsTest : public ::testing::Test {
 protected:
  RegisteredVersionsTest() {
    catalog_.Add("own", 1);  // A folder of this host has it.
    registry_.set_uses(&registered_);
    EXPECT_TRUE(registry_.CreateModel({.name = "m"}, "ann", Soon()).ok());
    for (const char* content : {"one", "two", "three"}) {
      std::vector<lifecycle::ManifestFile> files = {{.path = "f", .sha256 = Sha256Hex(content), .bytes = 3}};
      auto manifest = lifecycle::Manifest::Make(std::move(files), {});
      const auto made = registry_.CreateVersion("m", {.manifest = *manifest}, "ann", Soon());
      EXPECT_TRUE(Set(made->version, VersionState::kUploading, VersionState::kReady).ok());
    }
    EXPECT_TRUE(Alias("champion", 1).ok());
  }

  [[nodiscard]] TimePoint Soon() { return store_->clock().Now() + seconds(30); }
  Result<lifecycle::VersionRecord> Set(std::int64_t version, VersionState from, VersionState to) {
    return registry_.SetState("m", version, {.from = from, .to = to, .reason = ""}, "ann", Soon());
  }
  Result<void> Alias(const char* alias, std::int64_t version) {
    return registry_.SetAlias("m", alias, version, {}, "ann", Soon());
  }
  Result<releases::RouteRevision> Put(const char* text, const char* model = "m") {
    return routes_.Put(model, *releases::ParseRoute(text), {.who = "ann", .why = "", .expected = {}}, Soon());
  }
  std::uint64_t Epoch() { return cache::EpochStore(store_->db()).Load(0, Soon()).value()->Of("m"); }
  template <typename T>
  static std::string Reason(const Result<T>& result) {
    return result.ok() ? "ok" : std::string(result.error().reason());
  }

  storage::testing::TempDir folder_;
  std::unique_ptr<DataStore> store_ = DataStore::Open(folder_.path() + "/data", {}).value();
  observe::Logger log_{{}, store_->clock()};
  models::testing::ListedCatalog catalog_;
  RegisteredVersions registered_{{}, {.store = *store_, .catalog = catalog_, .log = log_}};
  lifecycle::RegistryStore registry_{{}, store_->db(), store_->clock()};
  releases::RouteStore routes_{
      {}, {.db = store_->db(), .clock = store_->clock(), .aliases = &registered_, .names = &registered_}};
};

TEST_F(RegisteredVersionsTest, ARouteNamesWhatTheRegistryOrAFolderHas) {
  EXPECT_TRUE(Put(R"({"stable": "@champion", "shadows": [{"version": "2", "share": 1}]})").ok());
  EXPECT_TRUE(Put(R"({"stable": "latest"})").ok());
  EXPECT_TRUE(Put(R"({"stable": "1"})", "own").ok());
  EXPECT_EQ(Reason(Put(R"({"stable": "2"})", "own")), "route_version_unknown");
  EXPECT_EQ(Reason(Put(R"({"stable": "1"})", "nobody")), "route_version_unknown");
  EXPECT_EQ(Reason(Put(R"({"stable": "latest"})", "nobody")), "route_version_unknown");
  EXPECT_EQ(Reason(Put(R"({"stable": "@other"})")), "route_alias_unknown");
  EXPECT_EQ(Reason(Put(R"({"stable": "9"})")), "route_version_unknown");
  ASSERT_TRUE(Set(2, VersionState::kReady, VersionState::kArchived).ok());
  const auto archived = Put(R"({"stable": "2"})");
  EXPECT_EQ(Reason(archived), "route_version_not_ready");
  EXPECT_EQ(archived.error().message(), "version 2 of model 'm' is archived, not ready");
  EXPECT_EQ(routes_.Get("m", Soon())->revision, 2) << "a refusal changes nothing";
}

TEST_F(RegisteredVersionsTest, AnAliasThatARouteNamesMovesTheCachesEpochInItsOwnTransaction) {
  ASSERT_TRUE(Put(R"({"stable": "@champion"})").ok());
  ASSERT_TRUE(registered_.Refresh(Soon()).ok());
  EXPECT_EQ(registered_.VersionOf("m", "champion"), 1);
  const std::uint64_t before = Epoch();
  ASSERT_TRUE(Alias("other", 3).ok());
  EXPECT_EQ(Epoch(), before) << "no route names it";
  ASSERT_TRUE(Alias("champion", 1).ok());
  EXPECT_EQ(Epoch(), before) << "it stands where it stood";
  ASSERT_TRUE(Alias("champion", 2).ok());
  EXPECT_GT(Epoch(), before);
  EXPECT_EQ(registered_.VersionOf("m", "champion"), 1) << "until it is read";
  ASSERT_TRUE(registered_.Refresh(Soon()).ok());
  EXPECT_EQ(registered_.VersionOf("m", "champion"), 2);
  EXPECT_EQ(registered_.VersionOf("m", "other"), 3) << "of a routed model";
  EXPECT_FALSE(registered_.VersionOf("m", "nobody").has_value());
}

TEST_F(RegisteredVersionsTest, WhatARouteNeedsStays) {
  ASSERT_TRUE(
      Put(R"({"stable": "@champion", "rules": [{"header": "x", "equals": "1", "version": "2"}]})").ok());
  EXPECT_EQ(Reason(registry_.DeleteAlias("m", "champion", "ann", Soon())), "registry_alias_in_use");
  EXPECT_EQ(Reason(registry_.DeleteVersion("m", 1, "ann", Soon())), "version_in_use");
  const auto used = Set(2, VersionState::kReady, VersionState::kArchived);
  EXPECT_EQ(Reason(used), "version_in_use");
  EXPECT_EQ(used.error().message(), "the route of model 'm' needs version 2 of model 'm'");
  EXPECT_EQ(Reason(registry_.RenameModel("m", "n", "ann", Soon())), "registry_model_in_use");
  EXPECT_EQ(Reason(registry_.DeleteModel("m", "ann", Soon())), "registry_model_in_use");
  EXPECT_EQ(registry_.GetModel("m", Soon())->aliases.at("champion"), 1);

  ASSERT_TRUE(Put(R"({"stable": "latest"})").ok());
  EXPECT_EQ(Reason(registry_.DeleteVersion("m", 3, "ann", Soon())), "version_in_use") << "it is the newest";
  EXPECT_TRUE(registry_.DeleteVersion("m", 2, "ann", Soon()).ok());
  EXPECT_TRUE(registry_.DeleteAlias("m", "champion", "ann", Soon()).ok());
}

TEST_F(RegisteredVersionsTest, WhatAReleaseNeedsStaysAndAReleaseIsOfReadyVersions) {
  releases::ReleaseStore rows(store_->db(), store_->clock());
  releases::ReleaseSpec spec;
  spec.model = "m";
  spec.stable = "1";
  spec.candidate = "2";
  const auto begun = releases::BeginRelease(rows, spec, "01990000-0000-7000-8000-000000000001", "ann",
                                            store_->clock(), Soon());
  ASSERT_TRUE(begun.ok()) << begun.error().ToString();
  const auto used = registry_.DeleteVersion("m", 2, "ann", Soon());
  EXPECT_EQ(Reason(used), "version_in_use");
  EXPECT_THAT(used.error().message(), HasSubstr("release '01990000-0000-7000-8000-000000000001'"));
  EXPECT_TRUE(Set(3, VersionState::kReady, VersionState::kArchived).ok());
  EXPECT_EQ(Reason(registered_.CheckRelease("m", "3", Soon())), "registry_version_not_ready");
  EXPECT_TRUE(registered_.CheckRelease("m", "2", Soon()).ok());
  EXPECT_TRUE(registered_.CheckRelease("m", "9", Soon()).ok()) << "a folder may have it";
  EXPECT_TRUE(registered_.CheckRelease("own", "1", Soon()).ok());
}

}  // namespace
}  // namespace mezzo::app
