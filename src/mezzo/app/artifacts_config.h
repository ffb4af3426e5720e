#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/config/value.h"

namespace mezzo::app {

enum class ArtifactsDriver : std::uint8_t { kLocal, kS3 };

struct S3Config {
  std::string endpoint;
  std::string url_endpoint;
  std::string region = "us-east-1";
  std::string bucket;
  std::string prefix;
  bool path_style = true;
  bool private_network = false;
  config::Secret access_key;
  config::Secret secret_key;
  config::Secret session_token;
  std::string storage_class;
  std::string archive_class = "STANDARD_IA";
  std::string ca_file;
  std::string spool_dir = "/tmp";
  config::ByteSize multipart_threshold = config::MiB(100);
  config::ByteSize spill = config::GiB(20);
};

struct ArtifactsConfig {
  ArtifactsDriver store = ArtifactsDriver::kLocal;
  std::string dir;
  config::ByteSize min_free = config::GiB(1);
  S3Config s3;
  std::string public_url;
  config::Secret url_secret;
  config::Secret previous_url_secret;
  Duration url_ttl = std::chrono::hours(1);
  std::size_t retention_days = 365;
  std::size_t archive_days = 90;
  std::size_t max_downloads = 64;
};

}  // namespace mezzo::app
