#pragma once

#include <tuple>

#include "mezzo/app/pipelines_config.h"
#include "mezzo/config/schema.h"

/// The documentation and bounds of the section `pipelines` of mezzo.yaml.
namespace mezzo::config {

template <>
struct Schema<app::PipelineCommandConfig> {
  static auto Fields() {
    using C = app::PipelineCommandConfig;
    using std::chrono::hours;
    using std::chrono::seconds;
    return std::tuple{
        Field("argv", &C::argv,
              "The program's absolute path and what always stands behind it. No shell reads it.", Required{},
              Length(1, 64)),
        Field("max_arguments", &C::max_arguments, "How many arguments a pipeline may add behind these.",
              Range(0, 64)),
        Field("set", &C::set, "Variables that are always set.", Length(0, 64)),
        Field("environment", &C::environment, "Variables that a pipeline may set.", Length(0, 64)),
        Field("read", &C::read,
              "Files and folders that it may read, beside the system's programs, its own folder and what "
              "`argv` "
              "names.",
              Length(0, 64)),
        Field("memory", &C::memory, "Private memory of each of its processes.", Range(MiB(16), GiB(4096))),
        Field("max_time", &C::max_time, "Longest time_limit that a stage may give it.",
              Range(seconds(1), hours(24 * 30))),
        Field("confine", &C::confine,
              "Run it where it can write only its own folder and read only what is named here, which needs "
              "Landlock (Linux 5.13). Otherwise it may read and write what the server may."),
        Field("network", &C::network,
              "Let it use the network. Otherwise it gets no socket, loopback's and Unix ones neither.")};
  }
  static std::optional<std::string> Validate(const app::PipelineCommandConfig& c) {
    if (!c.argv.empty() && !c.argv.front().starts_with('/'))
      return "needs the program's absolute path as the first of argv, not '" + c.argv.front() + "'";
    return std::nullopt;
  }
};

template <>
struct Schema<app::PipelineDatasetConfig> {
  static auto Fields() {
    using C = app::PipelineDatasetConfig;
    return std::tuple{
        Field("folder", &C::folder, "Absolute path, the same data on all hosts.", Required{}),
        Field("max_files", &C::max_files,
              "Files and folders below a watched prefix; with more it is not watched, and says so.",
              Range(1, 1'000'000))};
  }
  static std::optional<std::string> Validate(const app::PipelineDatasetConfig& c) {
    if (!c.folder.starts_with('/')) return "needs an absolute path as its folder, not '" + c.folder + "'";
    return std::nullopt;
  }
};

template <>
struct Schema<app::PipelinesConfig> {
  static auto Fields() {
    using C = app::PipelinesConfig;
    return std::tuple{
        Field("max_commands", &C::max_commands,
              "Commands of pipelines that run at the same time, on all hosts together. Each takes a slot of "
              "`jobs.slots` on its host.",
              Range(1, 1000)),
        Field("commands", &C::commands,
              "What the stages train and evaluate may run, by name. Nothing else is run.", Length(0, 256)),
        Field("datasets", &C::datasets,
              "Folders of data that triggers may watch, by name. Nothing else is watched.", Length(0, 256)),
        Field("data_period", &C::data_period, "How often the watched folders are looked at, by one host.",
              Range(std::chrono::milliseconds(100), std::chrono::hours(1)))};
  }
};

}  // namespace mezzo::config
