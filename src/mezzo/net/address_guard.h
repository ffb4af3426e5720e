#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"

struct sockaddr;

namespace mezzo::net {

/// Which addresses outgoing requests may reach: the public internet, unless the operator named the endpoint.
///
/// The check belongs on the address of the socket that is about to connect, never on a name: names resolve
/// differently the next time. Immutable, so thread-safe.
class AddressGuard {
 public:
  enum class Reach : std::uint8_t {
    kPublic,   ///< For endpoints that users name.
    kPrivate,  ///< Also private and loopback networks: for endpoints that the operator configured.
  };
  explicit AddressGuard(Reach reach = Reach::kPublic) : reach_(reach) {}

  /// Fails with kPermissionDenied "address_not_allowed", naming the address and the network it lies in.
  [[nodiscard]] Result<void> Check(const sockaddr* address) const;
  /// The same for a textual address; one that does not parse strictly (octal, decimal, short forms) is
  /// refused.
  [[nodiscard]] Result<void> CheckText(std::string_view address) const;

 private:
  [[nodiscard]] Result<void> CheckV4(std::uint32_t address, const std::string& shown) const;
  [[nodiscard]] Result<void> CheckV6(const std::array<std::uint8_t, 16>& address,
                                     const std::string& shown) const;

  Reach reach_;
};

}  // namespace mezzo::net
