// Every call to the disk fails once, in every operation: what is then visible is the old or the new state,
// never a mix, and nothing stays behind.

#include <cerrno>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/drivers/localfs/internal/disk.h"
#include "mezzo/drivers/localfs/local_blob_store.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::drivers {
namespace {

namespace fs = std::filesystem;
using internal::Disk;
using storage::BlobKey;
using storage::BlobPrefix;

/// Which calls fail. Shared by the test and the disk inside the store.
struct Faults {
  std::size_t calls = 0;
  std::size_t first = SIZE_MAX;  ///< The call that fails, counted from 1.
  bool and_all_later = false;    ///< As when the process is killed there.
  int error = EIO;
  bool hit = false;

  [[nodiscard]] bool Fails() {
    ++calls;
    const bool fails = and_all_later ? calls >= first : calls == first;
    hit = hit || fails;
    return fails;
  }
};

class FaultyDisk final : public Disk {
 public:
  explicit FaultyDisk(Faults& faults) : faults_(faults) {}

  Result<Fd> Open(int folder, const std::string& name, int flags) override {
    if (faults_.Fails()) return Failure();
    return Disk::Open(folder, name, flags);
  }
  Result<bool> MakeFolder(int folder, const std::string& name) override {
    if (faults_.Fails()) return Failure();
    return Disk::MakeFolder(folder, name);
  }
  Result<void> Write(int file, BytesView bytes) override {
    if (faults_.Fails()) {
      (void)Disk::Write(file, bytes.first(bytes.size() / 2));  // A full disk takes a part first.
      return Failure();
    }
    return Disk::Write(file, bytes);
  }
  Result<std::size_t> ReadAt(int file, std::span<std::byte> into, ByteCount offset) override {
    if (faults_.Fails()) return Failure();
    return Disk::ReadAt(file, into, offset);
  }
  Result<void> Sync(int file) override {
    (void)file;  // The kernel lives on in these tests: a real fsync(2) would show nothing and takes
                 // milliseconds.
    if (faults_.Fails()) return Failure();
    return {};
  }
  Result<void> Rename(int from_folder, const std::string& from, int to_folder,
                      const std::string& to) override {
    if (faults_.Fails()) return Failure();
    return Disk::Rename(from_folder, from, to_folder, to);
  }
  Result<bool> Remove(int folder, const std::string& name) override {
    if (faults_.Fails()) return Failure();
    return Disk::Remove(folder, name);
  }
  Result<bool> RemoveFolder(int folder, const std::string& name) override {
    if (faults_.Fails()) return Failure();
    return Disk::RemoveFolder(folder, name);
  }
  Result<void> ForEachName(int folder, const std::function<bool(std::string_view)>& visit) override {
    if (faults_.Fails()) return Failure();
    return Disk::ForEachName(folder, visit);
  }
  Result<ByteCount> FreeBytes(int file) override {
    if (faults_.Fails()) return Failure();
    return Disk::FreeBytes(file);
  }

 private:
  [[nodiscard]] Error Failure() const { return internal::DiskError("can't use", "the disk", faults_.error); }
  Faults& faults_;
};

struct Scenario {
  std::string name;
  bool old_object;  ///< The key has the content "old", which expires, before the scenario.
  std::function<Result<void>(storage::BlobStore&, const BlobKey&, WallTime)> run;
  std::vector<std::string> states;  ///< What may be read whatever happened; the last one is success.
};

std::vector<Scenario> Scenarios() {
  const auto write = [](storage::BlobStore& store, const BlobKey& key, WallTime expires) -> Result<void> {
    storage::BlobWriteOptions options{.expires_at = expires};
    MEZZO_TRY_VOID(WriteBlob(store, key, AsBytes("new"), std::move(options), kNever));
    return {};
  };
  return {{"write", false, write, {"[blob_missing]", "new"}},
          {"replace", true, write, {"old", "new"}},
          {"delete",
           true,
           [](storage::BlobStore& store, const BlobKey& key, WallTime) { return store.Delete(key, kNever); },
           {"old", "[blob_missing]"}},
          {"archive",
           true,
           [](storage::BlobStore& store, const BlobKey& key, WallTime) { return store.Archive(key, kNever); },
           {"old"}},
          {"sweep",
           true,
           [](storage::BlobStore& store, const BlobKey&, WallTime expires) -> Result<void> {
             MEZZO_TRY_VOID(store.SweepExpired(expires, 10, kNever));
             return {};
           },
           {"old", "[blob_missing]"}}};
}

class LocalFaultTest : public ::testing::Test {
 protected:
  LocalFaultTest() {
    // Memory where there is some: these are thousands of files.
    const fs::path parent = fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
    std::string pattern = (parent / "mezzo-localfault-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  ~LocalFaultTest() override {
    std::error_code ignored;
    fs::remove_all(dir_, ignored);
  }

  /// With a disk that works, unless given another.
  std::unique_ptr<LocalBlobStore> Open(Faults* faults = nullptr) {
    auto disk = std::make_unique<FaultyDisk>(faults != nullptr ? *faults : no_faults_);
    auto store = LocalBlobStore::Open({.root = root_.string(), .min_free_bytes = 0}, *signer_, clock_,
                                      std::move(disk));
    EXPECT_TRUE(store.ok()) << store.error().ToString();
    return *std::move(store);
  }
  std::string Get(storage::BlobStore& store) {
    auto content = ReadBlob(store, key_, 1 << 20, kNever);
    return content.ok() ? *std::move(content) : "[" + content.error().reason() + "]";
  }
  [[nodiscard]] std::size_t FilesIn(const std::string& part) const {
    std::size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root_ / part))
      files += entry.is_regular_file() ? 1 : 0;
    return files;
  }
  /// A store in a folder of its own, in the scenario's first state.
  void Prepare(const Scenario& scenario) {
    root_ = dir_ / std::to_string(++rounds_);
    if (!scenario.old_object) return;
    storage::BlobWriteOptions options{.expires_at = expires_};
    ASSERT_TRUE(WriteBlob(*Open(), key_, AsBytes("old"), std::move(options), kNever).ok());
  }
  void ExpectWholeState(const Scenario& scenario, storage::BlobStore& store, const std::string& where) {
    EXPECT_THAT(scenario.states, ::testing::Contains(Get(store))) << where;
    EXPECT_LE(store.List(BlobPrefix::All(), "", 10, kNever)->entries.size(), 1U) << where;
    EXPECT_EQ(FilesIn("temp"), 0U) << where;
    const auto again = scenario.run(store, key_, expires_);
    // What was done, but not known to be done, is done: there may be nothing left to archive.
    EXPECT_TRUE(again.ok()) << where << again.error().ToString();
    EXPECT_EQ(Get(store), scenario.states.back()) << where;
  }

  testing::ManualClock clock_;
  Faults no_faults_;
  fs::path dir_;
  fs::path root_;
  int rounds_ = 0;
  const std::unique_ptr<storage::UrlSigner> signer_ =
      *storage::UrlSigner::Create("https://host", {{.id = "k", .secret = std::string(32, 's')}});
  const BlobKey key_ = *BlobKey::Parse("acme/job/1/object");
  const WallTime expires_ = clock_.WallNow() + std::chrono::hours(2);
};

TEST_F(LocalFaultTest, AFailureOfAnyCallLeavesOldOrNew) {
  for (const Scenario& scenario : Scenarios()) {
    bool untouched = false;
    for (std::size_t n = 1; !untouched; ++n) {
      ASSERT_LT(n, 200U) << scenario.name << " does not end";
      Prepare(scenario);
      Faults faults{.error = ENOSPC};
      auto store = Open(&faults);
      faults.first = faults.calls + n;

      const auto result = scenario.run(*store, key_, expires_);

      faults.first = SIZE_MAX;
      untouched = !faults.hit;
      const std::string where = scenario.name + ", call " + std::to_string(n) + ": ";
      if (!result.ok()) EXPECT_EQ(result.error().reason(), "blob_disk_full") << where;
      if (untouched) EXPECT_TRUE(result.ok()) << where;
      if (result.ok()) EXPECT_EQ(Get(*store), scenario.states.back()) << where;
      if (n == 1) EXPECT_TRUE(faults.hit) << scenario.name;
      store = nullptr;  // Its writer's file may have resisted its removal, as the disk failed just then.
      ExpectWholeState(scenario, *Open(), where);
    }
  }
}

TEST_F(LocalFaultTest, BeingKilledAtAnyCallLeavesOldOrNew) {
  for (const Scenario& scenario : Scenarios()) {
    bool untouched = false;
    for (std::size_t n = 1; !untouched; ++n) {
      ASSERT_LT(n, 200U) << scenario.name << " does not end";
      Prepare(scenario);
      Faults faults{.and_all_later = true};
      auto store = Open(&faults);
      faults.first = faults.calls + n;

      const auto result = scenario.run(*store, key_, expires_);

      untouched = !faults.hit;
      const std::string where = scenario.name + ", killed at call " + std::to_string(n) + ": ";
      store = nullptr;  // All its calls fail: whatever it would clean up stays.
      const auto after = Open();
      if (result.ok())
        EXPECT_EQ(Get(*after), scenario.states.back()) << where << "what was acknowledged is gone";
      ExpectWholeState(scenario, *after, where);
    }
  }
}

TEST_F(LocalFaultTest, ReadingReportsADiskThatFails) {
  Prepare(Scenarios()[1]);
  bool untouched = false;
  for (std::size_t n = 1; !untouched; ++n) {
    ASSERT_LT(n, 200U);
    Faults faults{.error = EIO};
    const auto store = Open(&faults);
    faults.first = faults.calls + n;
    const std::string got = Get(*store);
    untouched = !faults.hit;
    EXPECT_EQ(got, untouched ? "old" : "[blob_disk_error]") << n;
  }
}

TEST_F(LocalFaultTest, ListingReportsADiskThatFails) {
  Prepare(Scenarios()[1]);
  bool untouched = false;
  for (std::size_t n = 1; !untouched; ++n) {
    ASSERT_LT(n, 200U);
    Faults faults{.error = EIO};
    const auto store = Open(&faults);
    faults.first = faults.calls + n;
    const auto page = store->List(BlobPrefix::All(), "", 10, kNever);
    untouched = !faults.hit;
    EXPECT_EQ(page.ok(), untouched) << n << ": an incomplete list must not pass for a whole one";
  }
}

}  // namespace
}  // namespace mezzo::drivers
