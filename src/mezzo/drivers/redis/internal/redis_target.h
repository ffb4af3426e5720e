#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"

namespace mezzo::drivers::internal {

/// Where a Redis is, and as whom to connect.
struct RedisTarget {
  std::string host;
  std::uint16_t port = 6379;
  std::string user;
  std::string password;
  std::uint32_t database = 0;

  /// Reads redis://[[user]:password@]host[:port][/database], with %XX in user and password, and IPv6
  /// addresses in brackets. Fails with kInvalidArgument "kv_bad_url"; no message holds any part of the URL.
  static Result<RedisTarget> Parse(std::string_view url);
  /// "host:port", for messages.
  [[nodiscard]] std::string Place() const;
};

}  // namespace mezzo::drivers::internal
