#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/base/bytes.h"

namespace mezzo {

using Sha256Digest = std::array<std::uint8_t, 32>;

/// SHA-256 (FIPS 180-4) of bytes that come in pieces. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&& other) noexcept;
  Sha256& operator=(Sha256&& other) noexcept;

  void Update(BytesView bytes);
  /// The digest of all that came. Afterwards the object is as new.
  Sha256Digest Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256Digest Sha256Of(BytesView bytes);
/// HMAC-SHA256 (RFC 2104). Keys of any length.
Sha256Digest HmacSha256(std::string_view key, std::string_view text);

/// A digest from 64 lower-case hex digits; nothing when `hex` is anything else.
std::optional<Sha256Digest> ParseSha256(std::string_view hex);

/// A digest as bytes in a string, as keys of the next HMAC need it.
inline std::string_view AsText(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace mezzo
