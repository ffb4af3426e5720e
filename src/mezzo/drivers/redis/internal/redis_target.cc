#include "mezzo/drivers/redis/internal/redis_target.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "mezzo/base/strings.h"

namespace mezzo::drivers::internal {
namespace {

Error BadUrl(const std::string& why) {
  return InvalidArgument("kv_bad_url",
                         "the URL of Redis " + why + " (redis://user:password@host:port/database)");
}

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const auto high = HexDigit(text[i + 1]);
    const auto low = HexDigit(text[i + 2]);
    if (!high || !low) return std::nullopt;
    plain += static_cast<char>(*high * 16 + *low);
    i += 2;
  }
  return plain;
}

bool IsHostCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view(".-_:").find(c) != std::string_view::npos;
}

Result<void> ReadIdentity(std::string_view text, RedisTarget& target) {
  const std::size_t colon = text.find(':');
  const auto user = PercentDecode(text.substr(0, colon));
  const auto password =
      colon == std::string_view::npos ? std::optional<std::string>() : PercentDecode(text.substr(colon + 1));
  if (!user || !password || password->empty()) return BadUrl("has a user without a readable password");
  target.user = *user;
  target.password = *password;
  return {};
}

}  // namespace

Result<RedisTarget> RedisTarget::Parse(std::string_view url) {
  if (url.starts_with("rediss://")) {
    return BadUrl(
        "begins with rediss://: TLS is not supported, use redis:// on a network that is trusted "
        "or through a tunnel");
  }
  constexpr std::string_view kScheme = "redis://";
  if (!url.starts_with(kScheme)) return BadUrl("does not begin with redis://");
  std::string_view rest = url.substr(kScheme.size());
  RedisTarget target;
  if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
    const std::string_view database = rest.substr(slash + 1);
    const auto number = database.empty() ? std::optional<std::uint64_t>(0) : ParseUint(database);
    constexpr std::uint64_t kMaxDatabase = 1'000'000;
    if (!number || *number > kMaxDatabase) return BadUrl("has no number as its database");
    target.database = static_cast<std::uint32_t>(*number);
    rest = rest.substr(0, slash);
  }
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    MEZZO_TRY_VOID(ReadIdentity(rest.substr(0, at), target));
    rest = rest.substr(at + 1);
  }
  std::string_view port;
  bool has_port = false;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return BadUrl("has no readable host");
    target.host = rest.substr(1, end - 1);
    rest = rest.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return BadUrl("has no readable host");
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else {
    const std::size_t colon = rest.find(':');
    target.host = rest.substr(0, colon);
    has_port = colon != std::string_view::npos;
    if (has_port) port = rest.substr(colon + 1);
  }
  constexpr std::size_t kMaxHostBytes = 253;
  if (target.host.empty() || target.host.size() > kMaxHostBytes ||
      !std::all_of(target.host.begin(), target.host.end(), IsHostCharacter)) {
    return BadUrl("has no readable host");
  }
  if (has_port) {
    const auto number = ParseUint(port);
    if (!number || *number == 0 || *number > std::numeric_limits<std::uint16_t>::max()) {
      return BadUrl("has no readable port");
    }
    target.port = static_cast<std::uint16_t>(*number);
  }
  return target;
}

std::string RedisTarget::Place() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace mezzo::drivers::internal
