#pragma once

#include <tuple>

#include "mezzo/app/redis_config.h"
#include "mezzo/config/schema.h"

/// The documentation and bounds of the section `redis` of mezzo.yaml.
namespace mezzo::config {

template <>
struct Schema<app::RedisConfig> {
  static auto Fields() {
    using C = app::RedisConfig;
    return std::tuple{
        Field("url", &C::url,
              "Redis that hosts share (redis://user:password@host:port/database); limits hold over all of "
              "them. "
              "Empty: this host's memory, and limits of its own."),
        Field("prefix", &C::prefix, "Before every key: for installations that share one Redis."),
        Field("connections", &C::connections, "Connections for commands; one more listens.", Range(1, 16)),
        Field("connect_timeout", &C::connect_timeout, "How long connecting may take.",
              Range(std::chrono::milliseconds(10), std::chrono::seconds(30))),
        Field("command_timeout", &C::command_timeout, "How long a command may take.",
              Range(std::chrono::milliseconds(5), std::chrono::seconds(30)))};
  }
};

}  // namespace mezzo::config
