// What a host makes of versions that it is asked to serve: folders that a repository can read.

#include "mezzo/lifecycle/version_hosting.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "registry_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/lifecycle/version_uploads.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/memory_blob_store.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::lifecycle {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class VersionHostingTest : public RegistryFixture {
 protected:
  VersionHostingTest() {
    MakeModel("m");
    Open();
  }

  void Open() {
    hosting_.reset();
    fetcher_.reset();
    auto fetcher = VersionFetcher::Open({.folder = folder_.path() + "/versions", .max_bytes = 1000},
                                        {.contents = contents_, .clock = clock_});
    ASSERT_TRUE(fetcher.ok()) << fetcher.error().ToString();
    fetcher_ = *std::move(fetcher);
    auto hosting = VersionHosting::Open({.root = Root(), .host = "here"},
                                        {.registry = store_,
                                         .fetcher = *fetcher_,
                                         .clock = clock_,
                                         .look = [this](const std::string& model) -> Result<bool> {
                                           looks_.push_back(model);
                                           return ++tries_ % 2 == 0;  // Busy every other time.
                                         }});
    ASSERT_TRUE(hosting.ok()) << hosting.error().ToString();
    hosting_ = *std::move(hosting);
    const auto restored = hosting_->Restore(Soon());
    ASSERT_TRUE(restored.ok()) << restored.error().ToString();
  }

  std::int64_t Push(const Files& files) {
    for (const auto& [path, content] : files) {
      EXPECT_TRUE(storage::WriteBlob(contents_, VersionUploads::KeyOf(Sha256Hex(content)), AsBytes(content),
                                     {}, Soon())
                      .ok());
    }
    return MakeReady("m", files);
  }
  [[nodiscard]] std::string Root() const { return folder_.path() + "/registry"; }
  std::string Read(const std::string& path) {
    std::ifstream in(Root() + "/" + path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return in ? out.str() : "(none)";
  }

  storage::testing::TempDir folder_;
  storage::testing::MemoryBlobStore contents_{clock_};
  std::unique_ptr<VersionFetcher> fetcher_;
  std::unique_ptr<VersionHosting> hosting_;
  std::vector<std::string> looks_;
  int tries_ = 0;
};

TEST_P(VersionHostingTest, AServedVersionIsAFolderOfItsFiles) {
  Push({{"model.onnx", "one"}, {"model.yaml", "max_batch: 4"}, {"labels.txt", "a"}, {"sub/data.bin", "d"}});
  const auto served = hosting_->Serve("m", 1, Soon());
  ASSERT_TRUE(served.ok()) << served.error().ToString();
  EXPECT_EQ(Read("m/1/model.onnx"), "one");
  EXPECT_EQ(Read("m/1/sub/data.bin"), "d");
  EXPECT_EQ(Read("m/1/model.yaml"), "max_batch: 4");
  EXPECT_EQ(Read("m/1/labels.txt"), "a");
  struct stat s{};
  ASSERT_EQ(::lstat((Root() + "/m/1/model.onnx").c_str(), &s), 0);
  EXPECT_TRUE(S_ISREG(s.st_mode)) << "no symbolic link";
  EXPECT_TRUE(*served);
  EXPECT_FALSE(hosting_->Serve("m", 1, Soon()).value()) << "it was here";
  EXPECT_GE(looks_.size(), 2U) << "asked again while the catalog was busy";
  EXPECT_THAT(store_.At("m", clock_.WallNow(), Soon())->served, IsEmpty());
  ASSERT_TRUE(hosting_->NoteServed("m", 1, Soon()).ok());
  EXPECT_EQ(store_.At("m", clock_.WallNow(), Soon())->served.front().host, "here");
}

TEST_P(VersionHostingTest, EachVersionHasItsOwnConfigurationAndNothingLiesBesideThem) {
  Push({{"model.onnx", "one"}, {"model.yaml", "max_batch: 4"}, {"labels.txt", "a"}});
  Push({{"model.onnx", "two"}, {"model.yaml", "max_batch: 8"}});
  ASSERT_TRUE(hosting_->Serve("m", 2, Soon()).ok());
  ASSERT_TRUE(hosting_->Serve("m", 1, Soon()).ok());
  EXPECT_EQ(Read("m/1/model.yaml"), "max_batch: 4");
  EXPECT_EQ(Read("m/2/model.yaml"), "max_batch: 8");
  EXPECT_EQ(Read("m/model.yaml"), "(none)");
  std::ofstream(Root() + "/m/model.yaml") << "of an older release";
  Open();
  EXPECT_EQ(Read("m/model.yaml"), "(none)");
  ASSERT_TRUE(hosting_->Withdraw("m", 2, Soon()).ok());
  EXPECT_EQ(Read("m/1/model.onnx"), "one");
  EXPECT_EQ(Read("m/2/model.onnx"), "(none)");
  ASSERT_TRUE(hosting_->Withdraw("m", 1, Soon()).ok());
  EXPECT_FALSE(fs::exists(Root() + "/m"));
  EXPECT_EQ(Reason(hosting_->Withdraw("m", 1, Soon())), "version_not_served");
  EXPECT_THAT(store_.At("m", clock_.WallNow(), Soon())->served, IsEmpty());
}

TEST_P(VersionHostingTest, ARestartServesWhatWasServed) {
  Push({{"model.onnx", "one"}});
  Push({{"model.onnx", "two"}});
  ASSERT_TRUE(hosting_->Serve("m", 1, Soon()).ok());
  ASSERT_TRUE(hosting_->Serve("m", 2, Soon()).ok());
  fs::remove_all(Root() + "/m/2");  // As if it had ended in the middle of a withdrawal.
  fs::create_directories(Root() + "/.new-m-3");
  Open();
  const auto served = hosting_->served();
  ASSERT_EQ(served.size(), 1U);
  EXPECT_EQ(served[0].version, 1);
  EXPECT_FALSE(fs::exists(Root() + "/.new-m-3"));
  EXPECT_EQ(Read("m/1/model.onnx"), "one");
  ASSERT_TRUE(hosting_->Serve("m", 1, Soon()).ok()) << "again";
  ASSERT_TRUE(hosting_->Withdraw("m", 1, Soon()).ok());
}

TEST_P(VersionHostingTest, WhatIsNotRightIsNotServed) {
  Push({{"model.onnx", "one"}});
  ASSERT_TRUE(storage::WriteBlob(contents_, VersionUploads::KeyOf(Sha256Hex("one")),
                                 AsBytes(std::string_view("bad")), {}, Soon())
                  .ok());
  EXPECT_EQ(Reason(hosting_->Serve("m", 1, Soon())), "version_corrupt");
  EXPECT_THAT(hosting_->served(), IsEmpty());
  EXPECT_FALSE(fs::exists(Root() + "/m/1"));
  EXPECT_THAT(looks_, IsEmpty()) << "the catalog was not told";
  EXPECT_EQ(Reason(hosting_->Serve("m", 2, Soon())), "registry_version_unknown");
  ASSERT_TRUE(store_.CreateVersion("m", {.manifest = ManifestOf({{"f", "x"}})}, "ann", Soon()).ok());
  EXPECT_EQ(Reason(hosting_->Serve("m", 2, Soon())), "registry_version_not_ready");
  ASSERT_TRUE(store_.CreateVersion("m", {.lineage = {.source = "elsewhere"}}, "ann", Soon()).ok());
  EXPECT_EQ(Reason(hosting_->Serve("m", 3, Soon())), "version_no_files");
}

INSTANTIATE_TEST_SUITE_P(Databases, VersionHostingTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
