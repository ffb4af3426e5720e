#pragma once

#include <chrono>
#include <tuple>

#include "mezzo/app/cache_config.h"
#include "mezzo/config/schema.h"

/// The documentation and bounds of the section `cache` of mezzo.yaml.
namespace mezzo::config {

template <>
struct Schema<app::CacheConfig> {
  static auto Fields() {
    using C = app::CacheConfig;
    return std::tuple{
        Field("max_bytes", &C::max_bytes, "What kept answers may take of this host's memory."),
        Field("recent_bytes", &C::recent_bytes,
              "What ended jobs and signed URLs read lately may take of this host's memory; 0: none is kept."),
        Field(
            "max_staleness", &C::max_staleness,
            "How long after a purge or a release another host may serve what it had; a host that can't read "
            "the database for that long computes every answer.",
            Range(std::chrono::milliseconds(100), std::chrono::hours(1))),
        Field("poll_interval", &C::poll_interval,
              "How often the database is asked, beside its notifications; well below max_staleness.",
              Range(std::chrono::milliseconds(10), std::chrono::minutes(10))),
        Field("shared_timeout", &C::shared_timeout,
              "What a call to Redis may take of a miss, for models whose results hosts share (`cache.shared` "
              "of model.yaml); a host that waits no longer computes by itself.",
              Range(std::chrono::milliseconds(1), std::chrono::seconds(10)))};
  }
};

}  // namespace mezzo::config
