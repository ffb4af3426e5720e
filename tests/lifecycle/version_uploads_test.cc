// Uploads on real databases, with contents in memory.

#include "mezzo/lifecycle/version_uploads.h"

#include <random>

#include "registry_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/lifecycle/registry_keeper.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/memory_blob_store.h"

namespace mezzo::lifecycle {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class Tester final : public VersionTester {
 public:
  Result<void> Begin(const VersionRecord& version) override {
    begun.push_back(version.version);
    return {};
  }
  std::vector<std::int64_t> begun;
};

class VersionUploadsTest : public RegistryFixture {
 protected:
  VersionUploadsTest() { MakeModel("m"); }

  VersionUploads::Begun Begin(const Files& files) {
    const auto begun = uploads_.Begin("m", {.manifest = ManifestOf(files)}, "ann", Soon());
    EXPECT_TRUE(begun.ok()) << begun.error().ToString();
    return begun.value();
  }
  Result<VersionUploads::Progress> Put(const std::string& content, std::size_t offset, std::size_t count) {
    return PutAs(Sha256Hex(content), content, offset, count);
  }
  Result<VersionUploads::Progress> PutAs(const std::string& sha256, const std::string& content,
                                         std::size_t offset, std::size_t count) {
    return uploads_.Put({.sha256 = sha256,
                         .offset = offset,
                         .total = content.size(),
                         .bytes = AsBytes(std::string_view(content).substr(offset, count))},
                        Soon());
  }
  std::size_t Objects() {
    return contents_.List(storage::BlobPrefix::All(), "", 1000, Soon())->entries.size();
  }
  std::string ContentOf(const std::string& content) {
    return storage::ReadBlob(contents_, VersionUploads::KeyOf(Sha256Hex(content)), 1 << 20, Soon()).value();
  }

  storage::testing::MemoryBlobStore contents_{clock_};
  VersionUploads uploads_{{.lifetime = std::chrono::hours(1), .min_piece = 4},
                          {.registry = store_, .contents = contents_, .clock = clock_}};
};

TEST_P(VersionUploadsTest, AVersionIsReadyWhenAllIsThere) {
  const auto begun = Begin({{"a", "first"}, {"b", "second"}, {"c", "first"}});
  EXPECT_THAT(begun.missing, UnorderedElementsAre(Sha256Hex("first"), Sha256Hex("second")));
  ASSERT_TRUE(Put("first", 0, 5)->complete);
  const auto early = uploads_.Complete("m", 1, "ann", Soon());
  EXPECT_EQ(Reason(early), "registry_blobs_missing");
  EXPECT_EQ(store_.GetVersion("m", 1, Soon())->state, VersionState::kUploading) << "nothing changed";
  ASSERT_TRUE(Put("second", 0, 6)->complete);
  const auto done = uploads_.Complete("m", 1, "ann", Soon());
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(done->state, VersionState::kReady);
  EXPECT_EQ(uploads_.Complete("m", 1, "ann", Soon())->state, VersionState::kReady) << "again";

  EXPECT_THAT(Begin({{"x", "second"}}).missing, IsEmpty()) << "one copy per content";
  EXPECT_EQ(Objects(), 2U);
}

/// Answers Stat() only when `together` callers wait in it, or when that takes too long; fails for one key.
class SlowStore final : public storage::testing::MemoryBlobStore {
 public:
  SlowStore(const Clock& clock, std::size_t together) : MemoryBlobStore(clock), together_(together) {}
  Result<storage::BlobFacts> Stat(const storage::BlobKey& key, TimePoint deadline) override {
    {
      const MutexLock lock(mu_);
      ++asked[key.text()];
      most = std::max(most, ++in_);
      come_.NotifyAll();
      const TimePoint limit = clock_.Now() + std::chrono::seconds(10);
      while (!met_ && in_ < together_ && clock_.Now() < limit) come_.WaitUntil(mu_, limit);
      met_ = true;
      --in_;
    }
    if (key.text() == broken) return Unavailable("blob_store_unavailable", "it is away");
    return MemoryBlobStore::Stat(key, deadline);
  }
  std::map<std::string, int> asked;
  std::size_t most = 0;
  std::string broken;

 private:
  const std::size_t together_;
  RealClock clock_;
  Mutex mu_;
  CondVar come_;
  std::size_t in_ = 0;
  bool met_ = false;
};

TEST_P(VersionUploadsTest, AStoreThatIsFarAwayIsAskedForManyContentsAtOnce) {
  SlowStore store(clock_, 4);
  VersionUploads uploads({.min_piece = 1}, {.registry = store_, .contents = store, .clock = clock_});
  Files files;
  for (int i = 0; i < 300; ++i)
    files.emplace_back("f" + std::to_string(i), "content " + std::to_string(i % 200));
  const auto begun = uploads.Begin("m", {.manifest = ManifestOf(files)}, "ann", Soon());
  ASSERT_TRUE(begun.ok()) << begun.error().ToString();
  EXPECT_THAT(begun->missing, SizeIs(200));
  EXPECT_TRUE(std::is_sorted(begun->missing.begin(), begun->missing.end()));
  EXPECT_THAT(store.asked, SizeIs(200));
  for (const auto& [key, times] : store.asked) EXPECT_EQ(times, 1) << key;
  EXPECT_GE(store.most, 4U);
  EXPECT_LE(store.most, 16U) << "and no more";

  store.broken = VersionUploads::KeyOf(Sha256Hex("content 7")).text();
  EXPECT_EQ(Reason(uploads.Complete("m", 1, "ann", Soon())), "blob_store_unavailable");
  EXPECT_EQ(store_.GetVersion("m", 1, Soon())->state, VersionState::kUploading);
}

TEST_P(VersionUploadsTest, WithATesterItIsTestedFirst) {
  Tester tester;
  VersionUploads tested({.min_piece = 1},
                        {.registry = store_, .contents = contents_, .tester = &tester, .clock = clock_});
  Begin({{"a", "first"}});
  ASSERT_TRUE(Put("first", 0, 5).ok());
  EXPECT_EQ(tested.Complete("m", 1, "ann", Soon())->state, VersionState::kTesting);
  EXPECT_THAT(tester.begun, ElementsAre(1));
}

TEST_P(VersionUploadsTest, PiecesComeInOrderAndAreGoneOnFrom) {
  const std::string content = "0123456789abcdef!";
  Begin({{"a", content}});
  EXPECT_EQ(Put(content, 0, 8)->received, 8U);
  EXPECT_EQ(uploads_.StatusOf(Sha256Hex(content), Soon())->received, 8U);
  EXPECT_EQ(Put(content, 0, 8)->received, 8U) << "a piece that is there changes nothing";
  EXPECT_EQ(Reason(Put(content, 12, 5)), "registry_blob_range");
  EXPECT_EQ(Reason(Put(content, 4, 8)), "registry_blob_range");
  EXPECT_EQ(Reason(Put(content, 8, 2)), "registry_blob_size") << "too small a piece";
  EXPECT_EQ(Put(content, 8, 8)->received, 16U);
  const auto done = Put(content, 16, 1);
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_TRUE(done->complete);
  EXPECT_EQ(ContentOf(content), content);
  EXPECT_EQ(Objects(), 1U) << "its pieces are gone";
  EXPECT_TRUE(Put(content, 0, 8)->complete) << "it is there already";
}

TEST_P(VersionUploadsTest, AnyCutOfAContentMakesIt) {
  std::minstd_rand random(3);
  for (int round = 0; round < 20; ++round) {
    std::string content;
    for (int i = 0; i < 60; ++i) content += static_cast<char>('a' + random() % 26);
    Begin({{"a", content}});
    std::size_t at = 0;
    while (at < content.size()) {
      const std::size_t count = std::min<std::size_t>(content.size() - at, 4 + random() % 20);
      const auto put = Put(content, at, count);
      ASSERT_TRUE(put.ok()) << put.error().ToString();
      at = put->received;
    }
    ASSERT_EQ(ContentOf(content), content);
  }
}

TEST_P(VersionUploadsTest, AnotherContentIsRefusedAndLeavesNothing) {
  const std::string content = "0123456789";
  const std::string wrong = "012345678X";
  Begin({{"a", content}});
  EXPECT_EQ(Reason(PutAs(Sha256Hex(content), wrong, 0, 10)), "registry_blob_digest");
  ASSERT_TRUE(PutAs(Sha256Hex(content), wrong, 0, 5).ok());
  EXPECT_EQ(Reason(PutAs(Sha256Hex(content), wrong, 5, 5)), "registry_blob_digest");
  EXPECT_EQ(Objects(), 0U);
  EXPECT_EQ(uploads_.StatusOf(Sha256Hex(content), Soon())->received, 0U);
  EXPECT_EQ(Reason(PutAs(Sha256Hex(content), content + "x", 0, 5)), "registry_blob_size");
  EXPECT_EQ(Reason(PutAs(std::string(64, '0'), content, 0, 10)), "registry_blob_unexpected");
  EXPECT_EQ(Reason(PutAs("..", content, 0, 10)), "registry_blob_digest");
  EXPECT_EQ(Reason(uploads_.StatusOf(std::string(64, '0'), Soon())), "registry_blob_unknown");
  EXPECT_TRUE(Put(content, 0, 10)->complete);
}

TEST_P(VersionUploadsTest, AnEmptyFileIsAFile) {
  EXPECT_THAT(Begin({{"a", ""}}).missing, SizeIs(1));
  EXPECT_TRUE(Put("", 0, 0)->complete);
  EXPECT_EQ(uploads_.Complete("m", 1, "ann", Soon())->state, VersionState::kReady);
}

class RegistryKeeperTest : public VersionUploadsTest {
 protected:
  observe::Logger log_{{.level = observe::LogLevel::kOff}, clock_};
  RegistryKeeper keeper_{{.upload_lifetime = std::chrono::hours(24), .content_grace = std::chrono::hours(1)},
                         {.registry = store_, .uploads = uploads_, .clock = clock_, .log = log_}};
};

TEST_P(RegistryKeeperTest, HalfAnUploadGoesAfterItsTime) {
  Begin({{"a", "first"}, {"b", "second"}});
  ASSERT_TRUE(Put("first", 0, 5).ok());
  clock_.Advance(std::chrono::hours(23));
  ASSERT_TRUE(Put("second", 0, 4).ok()) << "a sign of life";
  clock_.Advance(std::chrono::hours(23));
  EXPECT_EQ(keeper_.RunOnce()->uploads, 0U);
  clock_.Advance(std::chrono::hours(2));
  EXPECT_EQ(keeper_.RunOnce()->uploads, 1U);
  EXPECT_EQ(Reason(store_.GetVersion("m", 1, Soon())), "registry_version_unknown");
  EXPECT_EQ(store_.History("m", {}, 1, Soon())->front().by, "housekeeper");
  clock_.Advance(std::chrono::hours(2));
  EXPECT_EQ(keeper_.RunOnce()->contents, 2U);
  ASSERT_TRUE(contents_.SweepExpired(clock_.WallNow(), 100, Soon()).ok());
  EXPECT_EQ(Objects(), 0U);
}

TEST_P(RegistryKeeperTest, AContentGoesWithItsLastVersionOnly) {
  MakeReady("m", {{"a", "shared"}, {"b", "own"}});
  MakeReady("m", {{"a", "shared"}});
  for (const char* content : {"shared", "own"}) {
    ASSERT_TRUE(storage::WriteBlob(contents_, VersionUploads::KeyOf(Sha256Hex(content)),
                                   AsBytes(std::string_view(content)), {}, Soon())
                    .ok());
  }
  ASSERT_TRUE(store_.DeleteVersion("m", 1, "ann", Soon()).ok());
  EXPECT_EQ(keeper_.RunOnce()->contents, 0U) << "not at once";
  clock_.Advance(std::chrono::hours(2));
  EXPECT_EQ(keeper_.RunOnce()->contents, 1U);
  EXPECT_EQ(ContentOf("shared"), "shared");
  EXPECT_EQ(Objects(), 1U);

  ASSERT_TRUE(store_.DeleteVersion("m", 2, "ann", Soon()).ok());
  EXPECT_THAT(Begin({{"z", "shared"}}).missing, IsEmpty()) << "wanted again before it was collected";
  clock_.Advance(std::chrono::hours(2));
  EXPECT_EQ(keeper_.RunOnce()->contents, 0U);
  EXPECT_EQ(ContentOf("shared"), "shared");
}

INSTANTIATE_TEST_SUITE_P(Databases, VersionUploadsTest, tenancy::BothDatabases(), tenancy::DatabaseName);
INSTANTIATE_TEST_SUITE_P(Databases, RegistryKeeperTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
