#pragma once

#include <cstddef>
#include <string>

#include "mezzo/app/version_tests_config.h"
#include "mezzo/base/clock.h"
#include "mezzo/config/value.h"

namespace mezzo::app {

struct RetireConfig {
  Duration after{};
  Duration warning = std::chrono::hours(24 * 7);
  Duration drain = std::chrono::minutes(2);
};

struct RegistryConfig {
  std::string host;
  std::size_t max_files = 2000;
  config::ByteSize max_file = config::GiB(64);
  config::ByteSize max_version = config::GiB(256);
  config::ByteSize max_artifacts = config::GiB(256);
  config::ByteSize disk = config::GiB(64);
  Duration upload_lifetime = std::chrono::hours(24);
  Duration content_grace = std::chrono::hours(1);
  Duration fetch_timeout = std::chrono::minutes(30);
  Duration linger = std::chrono::minutes(5);
  RetireConfig retire;
  VersionTestsConfig tests;
};

}  // namespace mezzo::app
