#include "mezzo/lifecycle/version_fetcher.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/version_uploads.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/faulty_blob_store.h"
#include "mezzo/storage/testing/memory_blob_store.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::lifecycle {
namespace {

namespace fs = std::filesystem;

class VersionFetcherTest : public ::testing::Test {
 protected:
  TimePoint Soon() const { return clock_.Now() + std::chrono::seconds(60); }

  void Open(ByteCount max_bytes = 1000) {
    fetcher_.reset();
    auto opened = VersionFetcher::Open({.folder = folder_.path() + "/versions", .max_bytes = max_bytes},
                                       {.contents = faulty_, .clock = clock_});
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    fetcher_ = *std::move(opened);
  }

  /// A version whose contents are in the store.
  Manifest Put(const std::vector<std::pair<std::string, std::string>>& files) {
    std::vector<ManifestFile> list;
    for (const auto& [path, content] : files) {
      list.push_back({.path = path, .sha256 = Sha256Hex(content), .bytes = content.size()});
      const auto put =
          storage::WriteBlob(store_, VersionUploads::KeyOf(list.back().sha256), AsBytes(content), {}, Soon());
      EXPECT_TRUE(put.ok());
    }
    return Manifest::Make(list, {}).value();
  }

  static std::string ReadAll(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }

  RealClock clock_;
  storage::testing::TempDir folder_;
  storage::testing::MemoryBlobStore store_{clock_};
  storage::testing::BlobFaults faults_;
  storage::testing::FaultyBlobStore faulty_{store_, faults_};
  std::unique_ptr<VersionFetcher> fetcher_;
};

TEST_F(VersionFetcherTest, AVersionComesOnceAndIsTheManifests) {
  Open();
  const Manifest manifest = Put({{"model.onnx", "weights"}, {"deep/er/labels.txt", "a\nb\n"}, {"empty", ""}});
  {
    const auto pin = fetcher_->Fetch(manifest, Soon());
    ASSERT_TRUE(pin.ok()) << pin.error().ToString();
    EXPECT_EQ(ReadAll(pin->folder() + "/model.onnx"), "weights");
    EXPECT_EQ(ReadAll(pin->folder() + "/deep/er/labels.txt"), "a\nb\n");
    EXPECT_TRUE(fs::exists(pin->folder() + "/empty"));
    EXPECT_EQ(fetcher_->bytes_fetched(), 11U);
  }
  ASSERT_TRUE(fetcher_->Fetch(manifest, Soon()).ok());
  EXPECT_EQ(fetcher_->bytes_fetched(), 11U);
  EXPECT_EQ(fetcher_->bytes(), 11U);

  Open();  // As after a restart.
  EXPECT_TRUE(fetcher_->Has(manifest.Digest()));
  ASSERT_TRUE(fetcher_->Fetch(manifest, Soon()).ok());
  EXPECT_EQ(fetcher_->bytes_fetched(), 0U);
}

TEST_F(VersionFetcherTest, ManyAtOnceShareOneTransfer) {
  Open(1 << 20);
  const Manifest manifest = Put({{"a", std::string(100'000, 'a')}, {"b", std::string(50'000, 'b')}});
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const auto pin = fetcher_->Fetch(manifest, Soon());
      if (pin.ok() && ReadAll(pin->folder() + "/b") == std::string(50'000, 'b')) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good.load(), 8);
  EXPECT_EQ(fetcher_->bytes_fetched(), 150'000U);
}

TEST_F(VersionFetcherTest, AContentThatIsNotTheManifestsIsNeverSeen) {
  Open();
  const Manifest manifest = Put({{"good", "good"}, {"model.onnx", "weights"}});
  const auto key = VersionUploads::KeyOf(Sha256Hex("weights"));
  for (const char* tampered : {"Weights", "weight", "weights!"}) {
    ASSERT_TRUE(storage::WriteBlob(store_, key, AsBytes(std::string_view(tampered)), {}, Soon()).ok());
    const auto pin = fetcher_->Fetch(manifest, Soon());
    ASSERT_FALSE(pin.ok()) << tampered;
    EXPECT_EQ(pin.error().reason(), "version_corrupt");
    EXPECT_NE(pin.error().message().find("'model.onnx'"), std::string::npos) << pin.error().message();
    EXPECT_FALSE(fetcher_->Has(manifest.Digest()));
    EXPECT_TRUE(fs::is_empty(folder_.path() + "/versions/ready"));
  }
  ASSERT_TRUE(storage::WriteBlob(store_, key, AsBytes(std::string_view("weights")), {}, Soon()).ok());
  EXPECT_TRUE(fetcher_->Fetch(manifest, Soon()).ok()) << "the right content mends it";
  EXPECT_EQ(fetcher_->bytes(), 11U);
}

TEST_F(VersionFetcherTest, AnyFailureIsGoneOnFrom) {
  const Manifest manifest = Put({{"a", "aaaa"}, {"b", "bbbb"}, {"c", "cccc"}});
  for (std::size_t call = 1; call < 20; ++call) {
    fs::remove_all(folder_.path() + "/versions");
    Open();
    faults_.FailFrom(call);
    const bool came = fetcher_->Fetch(manifest, Soon()).ok();
    const bool hit = faults_.hit();
    faults_.FailNone();
    EXPECT_EQ(came, !hit);
    if (call % 2 == 0) Open();  // As after a crash there.
    const auto pin = fetcher_->Fetch(manifest, Soon());
    ASSERT_TRUE(pin.ok()) << call << ": " << pin.error().ToString();
    for (const char* name : {"a", "b", "c"}) {
      EXPECT_EQ(ReadAll(pin->folder() + "/" + name), std::string(4, *name));
    }
    EXPECT_EQ(fetcher_->bytes(), 12U);
    if (!hit) break;
    EXPECT_LT(call, 19U) << "a fetch makes fewer calls than that";
  }
}

TEST_F(VersionFetcherTest, WhatACrashLeftIsVerifiedAgain) {
  Open();
  const Manifest manifest = Put({{"a", "aaaa"}, {"b", "bbbb"}});
  const std::string incoming = folder_.path() + "/versions/incoming/" + manifest.Digest();
  fs::create_directories(incoming);
  std::ofstream(incoming + "/a") << "aaXa";  // Finished, but not what reached the disk.
  std::ofstream(incoming + "/." + Sha256Hex("bbbb") + ".part") << "bb";
  Open();
  const auto pin = fetcher_->Fetch(manifest, Soon());
  ASSERT_TRUE(pin.ok()) << pin.error().ToString();
  EXPECT_EQ(ReadAll(pin->folder() + "/a"), "aaaa");
  EXPECT_EQ(ReadAll(pin->folder() + "/b"), "bbbb");
  EXPECT_EQ(fetcher_->bytes_fetched(), 6U) << "half of b was there";
}

TEST_F(VersionFetcherTest, TheDiskIsBoundedAndWhatIsUsedStays) {
  Open(100);
  const Manifest one = Put({{"f", std::string(40, '1')}});
  const Manifest two = Put({{"f", std::string(40, '2')}});
  const Manifest three = Put({{"f", std::string(40, '3')}});
  auto pinned = fetcher_->Fetch(one, Soon());
  ASSERT_TRUE(pinned.ok());
  ASSERT_TRUE(fetcher_->Fetch(two, Soon()).ok());
  ASSERT_TRUE(fetcher_->Fetch(three, Soon()).ok());
  EXPECT_TRUE(fetcher_->Has(one.Digest())) << "pinned";
  EXPECT_FALSE(fetcher_->Has(two.Digest()));
  EXPECT_LE(fetcher_->bytes(), 100U);

  const auto held = fetcher_->Fetch(three, Soon());
  const auto refused = fetcher_->Fetch(two, Soon());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason(), "version_no_room");
  EXPECT_EQ(fetcher_->Fetch(Put({{"f", std::string(101, 'x')}}), Soon()).error().reason(), "version_no_room");

  {
    const VersionFetcher::Pin gone = *std::move(pinned);
  }
  EXPECT_TRUE(fetcher_->Fetch(two, Soon()).ok());
  EXPECT_FALSE(fetcher_->Has(one.Digest()));
}

TEST_F(VersionFetcherTest, TheLeastRecentlyUsedGoesFirst) {
  Open(100);
  const Manifest one = Put({{"f", std::string(40, '1')}});
  const Manifest two = Put({{"f", std::string(40, '2')}});
  ASSERT_TRUE(fetcher_->Fetch(one, Soon()).ok());
  ASSERT_TRUE(fetcher_->Fetch(two, Soon()).ok());
  ASSERT_TRUE(fetcher_->Fetch(one, Soon()).ok());
  ASSERT_TRUE(fetcher_->Fetch(Put({{"f", std::string(40, '3')}}), Soon()).ok());
  EXPECT_TRUE(fetcher_->Has(one.Digest()));
  EXPECT_FALSE(fetcher_->Has(two.Digest()));
}

TEST_F(VersionFetcherTest, AContentThatIsMissingIsSaid) {
  Open();
  const auto pin = fetcher_->Fetch(
      Manifest::Make({{.path = "a", .sha256 = Sha256Hex("?"), .bytes = 1}}, {}).value(), Soon());
  ASSERT_FALSE(pin.ok());
  EXPECT_EQ(pin.error().reason(), "blob_missing");
}

}  // namespace
}  // namespace mezzo::lifecycle
