#include "mezzo/app/console.h"

#include <gtest/gtest.h>

namespace mezzo::app {
namespace {

TEST(ArtifactOrigin, IsWhereSignedUrlsLead) {
  ArtifactsConfig config;
  EXPECT_EQ(ArtifactOrigin(config), "");
  config.store = ArtifactsDriver::kS3;
  config.s3.endpoint = "http://minio:9000";
  config.s3.bucket = "made";
  EXPECT_EQ(ArtifactOrigin(config), "http://minio:9000");
  config.s3.url_endpoint = "https://files.example/prefix";
  EXPECT_EQ(ArtifactOrigin(config), "https://files.example");
  config.s3.path_style = false;
  EXPECT_EQ(ArtifactOrigin(config), "https://made.files.example");
}

TEST(MakeConsole, IsNoneWhenItIsOff) {
  ServerConfig config;
  config.http.console = false;
  EXPECT_EQ(MakeConsole(config, "1"), nullptr);
  config.http.console = true;
  EXPECT_EQ(MakeConsole(config, "1") != nullptr, !api::console::ConsoleAssets().empty());
}

}  // namespace
}  // namespace mezzo::app
