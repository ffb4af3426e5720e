#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/config/value.h"

namespace mezzo::app {

struct PipelineCommandConfig {
  std::vector<std::string> argv;
  std::size_t max_arguments = 0;
  std::map<std::string, std::string> set;
  std::vector<std::string> environment;
  std::vector<std::string> read;
  config::ByteSize memory = config::GiB(4);
  Duration max_time = std::chrono::hours(24);
  bool confine = true;
  bool network = false;
};

struct PipelineDatasetConfig {
  std::string folder;
  std::size_t max_files = 20'000;
};

/// The section `pipelines` of mezzo.yaml; see pipelines_schema.h.
struct PipelinesConfig {
  std::size_t max_commands = 2;
  std::map<std::string, PipelineCommandConfig> commands;
  std::map<std::string, PipelineDatasetConfig> datasets;
  Duration data_period = std::chrono::seconds(10);
};

}  // namespace mezzo::app
