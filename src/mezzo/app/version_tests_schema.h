#pragma once

#include <tuple>

#include "mezzo/app/version_tests_config.h"
#include "mezzo/config/schema.h"

namespace mezzo::config {

template <>
struct Schema<app::VersionTestsConfig> {
  static auto Fields() {
    using C = app::VersionTestsConfig;
    using std::chrono::hours;
    using std::chrono::milliseconds;
    using std::chrono::seconds;
    return std::tuple{
        Field("enabled", &C::enabled,
              "Tests versions that arrive, in a process of their own, before they are ready; otherwise they "
              "are ready "
              "as soon as they are whole."),
        Field("memory", &C::memory, "What a version may take in its test, beside the engine.",
              Range(MiB(16), GiB(4096))),
        Field("cpu_time", &C::cpu_time, "CPU time of a test.", Range(seconds(1), hours(24))),
        Field("time", &C::time, "Time of a test, without fetching the files.", Range(seconds(1), hours(24))),
        Field("runs", &C::runs, "Timed runs; 0: none.", Range(0, 10'000)),
        Field(
            "latency_factor", &C::latency_factor,
            "A version fails whose p50 or p99 is so many times that of the version before; 0: not compared.",
            Range(0.0, 1000.0)),
        Field("latency_slack", &C::latency_slack, "So much more is never too slow.",
              Range(milliseconds(0), seconds(60))),
        Field("memory_factor", &C::memory_factor,
              "A version fails that holds so many times the memory of the version before; 0: not compared.",
              Range(0.0, 1000.0))};
  }
};

}  // namespace mezzo::config
