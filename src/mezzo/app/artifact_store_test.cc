#include "mezzo/app/artifact_store.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/app/artifacts_schema.h"
#include "mezzo/config/load.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::app {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using storage::BlobKey;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ArtifactStoreTest : public ::testing::Test {
 protected:
  static ArtifactsConfig Parse(const std::string& yaml) {
    auto config = config::ParseYaml<ArtifactsConfig>(yaml, "mezzo.yaml");
    EXPECT_TRUE(config.ok()) << config.error().ToString();
    config->min_free = config::ByteSize(0);
    return *std::move(config);
  }
  Result<std::unique_ptr<ArtifactStore>> Open(const std::string& yaml) { return Open(Parse(yaml)); }
  Result<std::unique_ptr<ArtifactStore>> Open(const ArtifactsConfig& config) {
    return ArtifactStore::Open(config, folder_.path(), {.clock = clock_, .log = log_, .registry = registry_});
  }
  static ArtifactsConfig WithKeys(const std::string& yaml) {
    ArtifactsConfig config = Parse(yaml);
    config.s3.access_key = config::Secret("env:ID", "id");
    config.s3.secret_key = config::Secret("env:KEY", "key");
    return config;
  }
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + seconds(20); }

  const RealClock clock_;
  const storage::testing::TempDir folder_;
  observe::Registry registry_;
  observe::Logger log_{{.level = observe::LogLevel::kOff}, clock_};
  const BlobKey key_ = *BlobKey::Parse("acme/job/1/a.png");
};

TEST_F(ArtifactStoreTest, KeepsObjectsInTheDataFolderForTheirTime) {
  const auto opened = Open("{retention_days: 2}");
  ASSERT_TRUE(opened.ok()) << opened.error().ToString();
  ASSERT_TRUE(WriteBlob((*opened)->store(), key_, AsBytes("a"), {}, Soon()).ok());
  EXPECT_TRUE(std::filesystem::exists(folder_.path() + "/artifacts/objects/acme"));
  const auto facts = (*opened)->store().Stat(key_, Soon());
  ASSERT_TRUE(facts.ok());
  ASSERT_TRUE(facts->expires_at);
  EXPECT_NEAR(static_cast<double>((*facts->expires_at - facts->stored_at).count()),
              static_cast<double>(Duration(hours(48)).count()), 1e9);
}

TEST_F(ArtifactStoreTest, WithoutARetentionNothingExpires) {
  const auto opened = Open("{retention_days: 0}");
  ASSERT_TRUE(WriteBlob((*opened)->store(), key_, AsBytes("a"), {}, Soon()).ok());
  EXPECT_FALSE((*opened)->store().Stat(key_, Soon())->expires_at);
}

TEST_F(ArtifactStoreTest, ItsSecretStaysAndIsItsOwnersAlone) {
  std::string first;
  {
    const auto opened = Open("{}");
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    first = *(*opened)->store().SignUrl(key_, {});
  }
  const std::string file = folder_.path() + "/artifact-url.key";
  struct stat facts{};
  ASSERT_EQ(::stat(file.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  const std::string secret_id = first.substr(first.find("&key="), 17);
  EXPECT_THAT(*(*Open("{}"))->store().SignUrl(key_, {}), HasSubstr(secret_id));

  std::ofstream(file, std::ios::trunc) << "short";
  const auto refused = Open("{}");
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("is not complete"));
}

TEST_F(ArtifactStoreTest, UrlsBeginWithTheServersName) {
  EXPECT_THAT(*(*Open("{}"))->store().SignUrl(key_, {}), StartsWith("/v1/artifacts/acme/job/1/a.png?"));
  EXPECT_THAT(*(*Open("{public_url: 'https://mezzo.example.org'}"))->store().SignUrl(key_, {}),
              StartsWith("https://mezzo.example.org/v1/artifacts/acme/job/1/a.png?"));
  EXPECT_EQ(Open("{public_url: 'mezzo.example.org'}").error().reason(), "config_invalid_value");
  EXPECT_EQ(Open("{public_url: 'https://a/'}").error().reason(), "config_invalid_value");
}

TEST_F(ArtifactStoreTest, ABucketNeedsItsOptions) {
  EXPECT_THAT(Open("{store: s3}").error().message(), HasSubstr("access_key"));
  EXPECT_EQ(Open(WithKeys("{store: s3}")).error().reason(), "blob_store_options_invalid");
  EXPECT_TRUE(Open(WithKeys("{store: s3, s3: {endpoint: 'https://s3.example.org', bucket: mezzo}}")).ok());
}

TEST_F(ArtifactStoreTest, WithABucketThatCannotBeReachedObjectsAreKeptHere) {
  const auto opened = Open(
      WithKeys("{store: s3, s3: {endpoint: 'http://127.0.0.1:1', private_network: true, bucket: mezzo}}"));
  ASSERT_TRUE(opened.ok()) << opened.error().ToString();
  const auto written = WriteBlob((*opened)->store(), key_, AsBytes("kept"), {}, Soon());
  ASSERT_TRUE(written.ok()) << written.error().ToString();
  EXPECT_EQ(*ReadBlob((*opened)->store(), key_, 100, Soon()), "kept");
  EXPECT_THAT(*(*opened)->store().SignUrl(key_, {}), StartsWith("/v1/artifacts/")) << "this server serves it";
}

TEST_F(ArtifactStoreTest, RemovesWhatHasExpiredWhileItRuns) {
  const auto opened = Open("{}");
  ArtifactStore& artifacts = **opened;
  ASSERT_TRUE(
      WriteBlob(artifacts.store(), key_, AsBytes("a"), {.expires_at = clock_.WallNow() - hours(2)}, Soon())
          .ok());
  artifacts.Start();
  const TimePoint end = clock_.Now() + seconds(10);
  while (artifacts.store().Stat(key_, Soon()).ok() && clock_.Now() < end) std::this_thread::yield();
  EXPECT_EQ(artifacts.store().Stat(key_, Soon()).error().reason(), "blob_missing");
  artifacts.Stop();
}

}  // namespace
}  // namespace mezzo::app
