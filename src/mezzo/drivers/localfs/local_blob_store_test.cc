#include "mezzo/drivers/localfs/local_blob_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/blob_store_suite.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::drivers {

namespace fs = std::filesystem;

/// A folder that goes with the test.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (fs::temp_directory_path() / "mezzo-localfs-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::unique_ptr<storage::UrlSigner> MakeSigner() {
  return *storage::UrlSigner::Create("https://host/v1/artifacts",
                                     {{.id = "k", .secret = std::string(32, 's')}});
}

/// The driver on a folder of its own; URLs are answered as the server's route does.
class LocalHarness {
 public:
  storage::BlobStore& store() { return *store_; }
  std::string Fetch(const std::string& url) {
    const std::string base = "https://host/v1/artifacts/";
    const std::size_t question = url.find('?');
    std::vector<net::QueryParameter> query;
    const std::string_view parameters = std::string_view(url).substr(question + 1);
    for (const std::string_view pair : Split(parameters, '&')) {
      const std::size_t equals = pair.find('=');
      std::string value;
      for (std::size_t i = equals + 1; i < pair.size(); ++i) {
        if (pair[i] == '%') {
          value += static_cast<char>(std::stoi(std::string(pair.substr(i + 1, 2)), nullptr, 16));
          i += 2;
        } else {
          value += pair[i];
        }
      }
      query.push_back({std::string(pair.substr(0, equals)), std::move(value)});
    }
    const auto grant = signer_->Verify(net::Method::kGet, url.substr(base.size(), question - base.size()),
                                       query, clock_.WallNow());
    if (!grant.ok()) return "";
    auto content = ReadBlob(*store_, grant->key, 1 << 20, clock_.Now() + std::chrono::seconds(10));
    return content.ok() ? *std::move(content) : "";
  }

 private:
  const RealClock clock_;
  TempDir dir_;
  const std::unique_ptr<storage::UrlSigner> signer_ = MakeSigner();
  const std::unique_ptr<LocalBlobStore> store_ = *LocalBlobStore::Open(
      {.root = (dir_.path() / "store").string(), .min_free_bytes = 0}, *signer_, clock_);
};

namespace {

using std::chrono::hours;
using std::chrono::seconds;
using storage::BlobFacts;
using storage::BlobKey;
using storage::BlobPrefix;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LocalBlobStoreTest : public ::testing::Test {
 protected:
  LocalBlobStoreTest() { store_ = Open(); }

  std::unique_ptr<LocalBlobStore> Open(ByteCount min_free = 0) {
    auto store = LocalBlobStore::Open(
        {.root = root().string(), .min_free_bytes = min_free, .max_object_bytes = 1 << 20}, *signer_, clock_);
    EXPECT_TRUE(store.ok()) << store.error().ToString();
    return *std::move(store);
  }
  [[nodiscard]] fs::path root() const { return dir_.path() / "store"; }
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + seconds(10); }
  void Put(const BlobKey& key, const std::string& content, storage::BlobWriteOptions options = {}) {
    const auto facts = WriteBlob(*store_, key, AsBytes(content), std::move(options), Soon());
    ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  }
  std::string Get(const BlobKey& key) {
    auto content = ReadBlob(*store_, key, 1 << 20, Soon());
    return content.ok() ? *std::move(content) : "[" + content.error().reason() + "]";
  }
  /// The only file below `part` of the store.
  [[nodiscard]] fs::path OnlyFile(const std::string& part = "objects") const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(root() / part)) {
      if (!entry.is_directory()) files.push_back(entry.path());
    }
    EXPECT_EQ(files.size(), 1U);
    return files.empty() ? fs::path() : files[0];
  }
  [[nodiscard]] std::vector<std::string> NamesIn(const std::string& part) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(root() / part)) {
      names.push_back(fs::relative(entry.path(), root() / part).string());
    }
    return names;
  }
  static std::string ReadFile(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  static void WriteFile(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  static mode_t ModeOf(const fs::path& path) {
    struct ::stat status{};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777;
  }

  testing::ManualClock clock_;
  TempDir dir_;
  const std::unique_ptr<storage::UrlSigner> signer_ = MakeSigner();
  std::unique_ptr<LocalBlobStore> store_;
  const BlobKey key_ = *BlobKey::Parse("acme/job-1/3/film.mp4");
};

TEST_F(LocalBlobStoreTest, FilesAndFoldersBelongToTheirOwnerAlone) {
  Put(key_, "content");
  const fs::path file = OnlyFile();
  EXPECT_EQ(ModeOf(file), 0600U);
  for (fs::path folder = file.parent_path(); folder != root().parent_path(); folder = folder.parent_path()) {
    EXPECT_EQ(ModeOf(folder), 0700U) << folder;
  }
}

TEST_F(LocalBlobStoreTest, TheContentStandsAtTheStartOfTheFile) {
  Put(key_, "content");
  const fs::path file = OnlyFile();
  EXPECT_THAT(file.string(), ::testing::EndsWith("/job-1/3/film.mp4"));
  EXPECT_THAT(ReadFile(file),
              ::testing::StartsWith("contentmezzo-blob 1\nkey=acme/job-1/3/film.mp4\nsize=7\n"));
}

TEST_F(LocalBlobStoreTest, ObjectsOutliveTheStore) {
  Put(key_, "content", {.content_type = "video/mp4"});
  store_ = nullptr;
  store_ = Open();
  EXPECT_EQ(Get(key_), "content");
  EXPECT_EQ(store_->Stat(key_, Soon())->content_type, "video/mp4");
}

TEST_F(LocalBlobStoreTest, DeletingLeavesNoEmptyFolders) {
  Put(key_, "content");
  Put(*BlobKey::Parse("acme/job-1/4/other"), "content");
  ASSERT_TRUE(store_->Delete(key_, Soon()).ok());
  EXPECT_EQ(NamesIn("objects").size(), 5U) << "the other object with its four folders";
  ASSERT_TRUE(store_->Delete(*BlobKey::Parse("acme/job-1/4/other"), Soon()).ok());
  EXPECT_THAT(NamesIn("objects"), IsEmpty());
}

TEST_F(LocalBlobStoreTest, AWriterThatDiesLeavesNoFile) {
  {
    auto writer = store_->Write(key_, {}, Soon());
    ASSERT_TRUE((*writer)->Append(AsBytes("half"), Soon()).ok());
    EXPECT_EQ(NamesIn("temp").size(), 2U) << "the store's folder with the file";
  }
  EXPECT_EQ(NamesIn("temp").size(), 1U);
  EXPECT_THAT(NamesIn("objects"), IsEmpty());
}

TEST_F(LocalBlobStoreTest, RemovesWhatAKilledProcessLeftAndNothingElse) {
  fs::create_directories(root() / "temp" / "p123");
  WriteFile(root() / "temp" / "p123" / "w1", "half an object");
  auto writer = store_->Write(key_, {}, Soon());
  ASSERT_TRUE((*writer)->Append(AsBytes("alive"), Soon()).ok());

  const auto second = Open();

  EXPECT_FALSE(fs::exists(root() / "temp" / "p123"));
  EXPECT_TRUE((*writer)->Commit(Soon()).ok()) << "the other store's folder was in use";
  EXPECT_EQ(Get(key_), "alive");
}

TEST_F(LocalBlobStoreTest, TwoStoresOnOneFolderSeeEachOthersObjects) {
  const auto second = Open();
  Put(key_, "content");
  EXPECT_EQ(*ReadBlob(*second, key_, 100, Soon()), "content");
}

TEST_F(LocalBlobStoreTest, RefusesARootThatEverybodyMayWriteTo) {
  const fs::path open = dir_.path() / "open";
  fs::create_directory(open);
  ASSERT_EQ(::chmod(open.c_str(), 0777), 0);
  const auto store = LocalBlobStore::Open({.root = open.string()}, *signer_, clock_);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().reason(), "blob_folder_unsafe");
}

TEST_F(LocalBlobStoreTest, RefusesARootThatIsAFile) {
  WriteFile(dir_.path() / "file", "x");
  const auto store = LocalBlobStore::Open({.root = (dir_.path() / "file").string()}, *signer_, clock_);
  EXPECT_EQ(store.error().reason(), "blob_folder_unsafe");
}

// Links: CVE-2024-27318, CVE-2026-34446 and their kind. Whoever may write into one tenant's folder must not
// lead the store out of it.
TEST_F(LocalBlobStoreTest, AnObjectThatIsALinkIsNotFollowed) {
  WriteFile(dir_.path() / "secret", "secret");
  Put(key_, "content");
  const fs::path file = OnlyFile();
  fs::remove(file);
  fs::create_symlink(dir_.path() / "secret", file);

  EXPECT_EQ(Get(key_), "[blob_folder_unsafe]");
  EXPECT_EQ(store_->List(BlobPrefix::All(), "", 10, Soon())->entries.size(), 0U);
  Put(key_, "new");
  EXPECT_EQ(ReadFile(dir_.path() / "secret"), "secret") << "writing replaces the link, not what it points to";
  EXPECT_EQ(Get(key_), "new");
}

TEST_F(LocalBlobStoreTest, AFolderThatIsALinkIsNotFollowed) {
  Put(key_, "content");
  const fs::path attempt = OnlyFile().parent_path();
  fs::path folder = attempt;
  for (int level = 0; level < 4; ++level, folder = folder.parent_path()) {
    const fs::path aside = dir_.path() / ("aside" + std::to_string(level));
    fs::rename(folder, aside);
    fs::create_directory_symlink(aside, folder);
    EXPECT_EQ(Get(key_), "[blob_folder_unsafe]") << folder;
    EXPECT_EQ(WriteBlob(*store_, key_, AsBytes("x"), {}, Soon()).error().reason(), "blob_folder_unsafe")
        << folder;
    EXPECT_EQ(store_->Delete(key_, Soon()).error().reason(), "blob_folder_unsafe") << folder;
    EXPECT_EQ(store_->List(BlobPrefix::All(), "", 10, Soon()).ok() &&
                  !store_->List(BlobPrefix::All(), "", 10, Soon())->entries.empty(),
              false)
        << folder;
    fs::remove(folder);
    fs::rename(aside, folder);
  }
  EXPECT_EQ(Get(key_), "content");
}

TEST_F(LocalBlobStoreTest, AnObjectWithASecondLinkIsRefused) {
  Put(key_, "content");
  fs::create_hard_link(OnlyFile(), dir_.path() / "second");
  EXPECT_EQ(Get(key_), "[blob_folder_unsafe]");
}

TEST_F(LocalBlobStoreTest, APipeInTheObjectsPlaceStopsNobody) {
  Put(key_, "content");
  const fs::path file = OnlyFile();
  fs::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  EXPECT_EQ(Get(key_), "[blob_folder_unsafe]");
}

TEST_F(LocalBlobStoreTest, AFileMovedToAnotherTenantIsNotItsObject) {
  const BlobKey other = *BlobKey::Parse("evil/job-1/3/film.mp4");
  Put(other, "other");
  const fs::path theirs = OnlyFile();
  Put(key_, "content");
  for (const auto& entry : fs::recursive_directory_iterator(root() / "objects")) {
    if (entry.is_regular_file() && entry.path() != theirs) {
      fs::copy_file(entry.path(), theirs, fs::copy_options::overwrite_existing);
    }
  }
  EXPECT_EQ(Get(other), "[blob_corrupt]");
}

TEST_F(LocalBlobStoreTest, ReadingNoticesEveryDamage) {
  const std::string content(1000, 'c');
  Put(key_, content);
  const fs::path file = OnlyFile();
  const std::string whole = ReadFile(file);
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{999}, std::size_t{1000}, std::size_t{1020}, whole.size() - 1}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    WriteFile(file, damaged);
    EXPECT_EQ(Get(key_), "[blob_corrupt]") << at;
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{10}, whole.size() - 1, whole.size() - 1000}) {
    WriteFile(file, whole.substr(0, size));
    EXPECT_EQ(Get(key_), "[blob_corrupt]") << size;
  }
  WriteFile(file, "x" + whole);
  EXPECT_EQ(Get(key_), "[blob_corrupt]");
  WriteFile(file, whole);
  EXPECT_EQ(Get(key_), content);
}

TEST_F(LocalBlobStoreTest, WritesStopAtTheFreeSpaceFloor) {
  store_ = Open(ByteCount{1} << 60);
  const auto facts = WriteBlob(*store_, key_, AsBytes("x"), {}, Soon());
  ASSERT_FALSE(facts.ok());
  EXPECT_EQ(facts.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(facts.error().reason(), "blob_disk_full");
  EXPECT_EQ(NamesIn("temp").size(), 1U);
  EXPECT_EQ(Get(key_), "[blob_missing]");
}

TEST_F(LocalBlobStoreTest, RefusesObjectsOverTheLimit) {
  auto writer = store_->Write(key_, {}, Soon());
  ASSERT_TRUE((*writer)->Append(AsBytes(std::string(1 << 20, 'x')), Soon()).ok());
  EXPECT_EQ((*writer)->Append(AsBytes("y"), Soon()).error().reason(), "blob_too_large");
  EXPECT_EQ((*writer)->Commit(Soon()).error().reason(), "blob_writer_closed");
}

TEST_F(LocalBlobStoreTest, ForeignFilesAreNotListed) {
  Put(key_, "content");
  const fs::path folder = OnlyFile().parent_path();
  WriteFile(folder / "short", "x");
  WriteFile(folder / ".hidden", std::string(2000, 'x'));
  WriteFile(folder / "bad name", std::string(2000, 'x'));
  fs::create_directory(folder / "folder");
  WriteFile(root() / "objects" / "stray", "x");
  const auto page = store_->List(*BlobPrefix::Of(TenantId("acme")), "", 10, Soon());
  ASSERT_TRUE(page.ok()) << page.error().ToString();
  ASSERT_EQ(page->entries.size(), 1U);
  EXPECT_EQ(page->entries[0].key, key_);
}

TEST_F(LocalBlobStoreTest, ArchivingMovesTheFile) {
  Put(key_, "content");
  ASSERT_TRUE(store_->Archive(key_, Soon()).ok());
  EXPECT_THAT(NamesIn("objects"), IsEmpty());
  EXPECT_THAT(
      OnlyFile("archive").string(),
      ::testing::EndsWith(
          "/acme/" +
          fs::path(OnlyFile("archive")).parent_path().parent_path().parent_path().filename().string() +
          "/job-1/3/film.mp4"));
}

TEST_F(LocalBlobStoreTest, MarksOfWhatIsGoneAreForgottenADayLater) {
  const WallTime expires = clock_.WallNow() + hours(5);
  Put(key_, "content", {.expires_at = expires});
  ASSERT_TRUE(store_->Delete(key_, Soon()).ok());
  ASSERT_EQ(NamesIn("expiry").size(), 2U);

  EXPECT_EQ(store_->SweepExpired(expires, 10, Soon())->removed, 0U);
  EXPECT_EQ(NamesIn("expiry").size(), 2U) << "it could belong to a write that has not ended";
  EXPECT_EQ(store_->SweepExpired(expires + hours(26), 10, Soon())->removed, 0U);
  EXPECT_THAT(NamesIn("expiry"), IsEmpty());
}

TEST_F(LocalBlobStoreTest, AnUnreadableObjectDoesNotStopASweep) {
  const WallTime expires = clock_.WallNow() + hours(5);
  Put(key_, "content", {.expires_at = expires});
  WriteFile(OnlyFile(), "damaged");
  Put(*BlobKey::Parse("acme/job-2/3/x"), "content", {.expires_at = expires});
  EXPECT_EQ(store_->SweepExpired(expires, 10, Soon())->removed, 1U);
}

}  // namespace
}  // namespace mezzo::drivers

namespace mezzo::storage::testing {
MEZZO_BLOB_STORE_SUITE(LocalFs, drivers::LocalHarness);
}  // namespace mezzo::storage::testing
