#include "mezzo/lifecycle/artifact_manifest.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "mezzo/base/strings.h"

namespace mezzo::lifecycle {
namespace {

ManifestFile File(std::string path, std::string_view content = "x") {
  return {.path = std::move(path), .sha256 = Sha256Hex(content), .bytes = content.size()};
}

std::string ReasonOf(std::vector<ManifestFile> files, ManifestLimits limits = {}) {
  const auto made = Manifest::Make(std::move(files), limits);
  return made.ok() ? "ok" : std::string(made.error().reason());
}

TEST(Manifest, TheDigestIsOfTheContentWhateverTheOrder) {
  std::vector<ManifestFile> files = {File("model.onnx", "weights"), File("a/b.txt", "1"), File("a-b", "2"),
                                     File("a/a", "3")};
  const std::string digest = Manifest::Make(files, {})->Digest();
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::shuffle(files.begin(), files.end(), std::minstd_rand(seed));
    EXPECT_EQ(Manifest::Make(files, {})->Digest(), digest);
  }
  EXPECT_EQ(Manifest::Make(files, {})->CanonicalText(), Sha256Hex("2") + " 1 a-b\n" + Sha256Hex("3") +
                                                            " 1 a/a\n" + Sha256Hex("1") + " 1 a/b.txt\n" +
                                                            Sha256Hex("weights") + " 7 model.onnx\n");
  files[0].bytes += 1;
  EXPECT_NE(Manifest::Make(files, {})->Digest(), digest);
}

TEST(Manifest, FilesAreFoundByPath) {
  const auto manifest = Manifest::Make({File("b"), File("a/c", "four")}, {}).value();
  EXPECT_EQ(manifest.bytes(), 5U);
  ASSERT_NE(manifest.Find("a/c"), nullptr);
  EXPECT_EQ(manifest.Find("a/c")->bytes, 4U);
  EXPECT_EQ(manifest.Find("a"), nullptr);
}

TEST(Manifest, PathsThatAreNotSafeAreRefused) {
  for (const char* path : {"",
                           "/etc/passwd",
                           "../up",
                           "a/../b",
                           "a/..",
                           "..",
                           ".",
                           "./a",
                           "a//b",
                           "a/",
                           "/",
                           "a\\b",
                           "..\\up",
                           "a\nb",
                           "a\x7f",
                           "\xc3\xa9.bin",
                           "\xff",
                           ".hidden",
                           "a/.hidden/b",
                           "a ",
                           "a./b",
                           "C:\\x",
                           "a/b/c/d/e/f/g/h/i"}) {
    EXPECT_EQ(ReasonOf({File(path)}), "manifest_path") << path;
  }
  EXPECT_EQ(ReasonOf({File(std::string("a\0b", 3))}), "manifest_path");
  EXPECT_EQ(ReasonOf({File(std::string(201, 'a'))}), "manifest_path");
  EXPECT_EQ(ReasonOf({File(std::string(200, 'a'))}), "ok");
  EXPECT_EQ(ReasonOf({File("a b/c..d/e (1).bin")}), "ok");
}

TEST(Manifest, FilesThatWouldMeetAreRefused) {
  EXPECT_EQ(ReasonOf({File("a"), File("a")}), "manifest_duplicate");
  EXPECT_EQ(ReasonOf({File("Model.onnx"), File("model.onnx")}), "manifest_duplicate");
  EXPECT_EQ(ReasonOf({File("a"), File("a/b")}), "manifest_duplicate");
  EXPECT_EQ(ReasonOf({File("A"), File("a/b")}), "manifest_duplicate");
  EXPECT_EQ(ReasonOf({File("Data/x"), File("data/y")}), "manifest_duplicate");
  EXPECT_EQ(ReasonOf({File("data/x"), File("data/y"), File("dat")}), "ok");
}

TEST(Manifest, DigestsAndSizesAreChecked) {
  ManifestFile bad = File("a");
  bad.sha256 = "00";
  EXPECT_EQ(ReasonOf({bad}), "manifest_digest");
  bad.sha256 = std::string(64, 'G');
  EXPECT_EQ(ReasonOf({bad}), "manifest_digest");
  bad = File("a");
  std::transform(bad.sha256.begin(), bad.sha256.end(), bad.sha256.begin(), ::toupper);
  EXPECT_EQ(ReasonOf({bad}), "manifest_digest");
  ManifestFile other = File("b");
  other.bytes = 7;
  EXPECT_EQ(ReasonOf({File("a"), other}), "manifest_digest") << "one content with two sizes";

  EXPECT_EQ(ReasonOf({}), "manifest_empty");
  EXPECT_EQ(ReasonOf({File("a"), File("b")}, {.max_files = 1}), "manifest_limits");
  EXPECT_EQ(ReasonOf({File("a", "12345")}, {.max_file_bytes = 4}), "manifest_limits");
  EXPECT_EQ(ReasonOf({File("a", "12345"), File("b", "123456")}, {.max_bytes = 10}), "manifest_limits");
}

}  // namespace
}  // namespace mezzo::lifecycle
