#include "mezzo/net/address_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "mezzo/base/strings.h"

namespace mezzo::net {
namespace {

struct V4Network {
  std::uint32_t base;
  int bits;
  const char* name;
  bool operator_may;  // Reachable when the operator configured the endpoint.
};

constexpr std::uint32_t V4(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}

// The IANA special-purpose registry, and what cloud providers put into it; the first match counts.
constexpr V4Network kV4Networks[] = {
    {V4(0, 0, 0, 0), 8, "0.0.0.0/8 (this network)", false},
    {V4(10, 0, 0, 0), 8, "10.0.0.0/8 (private)", true},
    {V4(100, 100, 100, 200), 32, "100.100.100.200 (cloud metadata)", false},
    {V4(100, 64, 0, 0), 10, "100.64.0.0/10 (carrier-grade NAT)", true},
    {V4(127, 0, 0, 0), 8, "127.0.0.0/8 (loopback)", true},
    {V4(169, 254, 0, 0), 16, "169.254.0.0/16 (link-local)", false},
    {V4(172, 16, 0, 0), 12, "172.16.0.0/12 (private)", true},
    {V4(192, 0, 0, 0), 24, "192.0.0.0/24 (protocol assignments)", false},
    {V4(192, 0, 2, 0), 24, "192.0.2.0/24 (documentation)", false},
    {V4(192, 31, 196, 0), 24, "192.31.196.0/24 (AS112)", false},
    {V4(192, 52, 193, 0), 24, "192.52.193.0/24 (AMT)", false},
    {V4(192, 88, 99, 0), 24, "192.88.99.0/24 (6to4 relays)", false},
    {V4(192, 168, 0, 0), 16, "192.168.0.0/16 (private)", true},
    {V4(192, 175, 48, 0), 24, "192.175.48.0/24 (AS112)", false},
    {V4(198, 18, 0, 0), 15, "198.18.0.0/15 (benchmarking)", false},
    {V4(198, 51, 100, 0), 24, "198.51.100.0/24 (documentation)", false},
    {V4(203, 0, 113, 0), 24, "203.0.113.0/24 (documentation)", false},
    {V4(224, 0, 0, 0), 4, "224.0.0.0/4 (multicast)", false},
    {V4(240, 0, 0, 0), 4, "240.0.0.0/4 (reserved)", false},
};

struct V6Network {
  std::array<std::uint8_t, 16> base;
  int bits;
  const char* name;
  bool operator_may;
};

constexpr V6Network kV6Networks[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, "::1 (loopback)", true},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 96, "::/96 (unspecified and IPv4-compatible)", false},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0}, 96, "::ffff:0:0:0/96 (IPv4-translated)", false},
    {{0x00, 0x64, 0xff, 0x9b}, 96, "64:ff9b::/96 (NAT64)", false},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, "64:ff9b:1::/48 (local NAT64)", false},
    {{0x01, 0x00}, 64, "100::/64 (discard)", false},
    {{0x20, 0x01, 0x00, 0x00}, 23, "2001::/23 (protocol assignments, Teredo)", false},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "2001:db8::/32 (documentation)", false},
    {{0x20, 0x02}, 16, "2002::/16 (6to4)", false},
    {{0x3f, 0xff}, 20, "3fff::/20 (documentation)", false},
    {{0x5f, 0x00}, 16, "5f00::/16 (segment routing)", false},
    {{0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54},
     128,
     "fd00:ec2::254 (cloud metadata)",
     false},
    {{0xfc, 0x00}, 7, "fc00::/7 (unique local)", true},
    {{0xfe, 0x80}, 10, "fe80::/10 (link-local)", false},
    {{0xfe, 0xc0}, 10, "fec0::/10 (site-local)", false},
    {{0xff, 0x00}, 8, "ff00::/8 (multicast)", false},
};

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool SharesBits(const std::uint8_t* a, const std::uint8_t* b, int bits) {
  const auto whole = static_cast<std::size_t>(bits / 8);
  if (std::memcmp(a, b, whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const int mask = 0xff << (8 - bits % 8) & 0xff;
  return (a[whole] & mask) == (b[whole] & mask);
}

Error Refused(const std::string& shown, const char* network) {
  return PermissionDenied("address_not_allowed",
                          "address " + shown + " lies in " + network + ", which is not allowed");
}

}  // namespace

Result<void> AddressGuard::CheckV4(std::uint32_t address, const std::string& shown) const {
  for (const V4Network& network : kV4Networks) {
    const std::uint32_t mask = ~std::uint32_t{0} << (32 - network.bits);
    if ((address & mask) != network.base) continue;
    if (reach_ == Reach::kPrivate && network.operator_may) return {};
    return Refused(shown, network.name);
  }
  return {};
}

Result<void> AddressGuard::CheckV6(const std::array<std::uint8_t, 16>& address,
                                   const std::string& shown) const {
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), address.begin())) {
    // A socket that connects to ::ffff:a.b.c.d reaches a.b.c.d. Only an operator has a reason to write it so.
    if (reach_ == Reach::kPublic) return Refused(shown, "::ffff:0:0/96 (IPv4-mapped)");
    return CheckV4(V4(address[12], address[13], address[14], address[15]), shown);
  }
  for (const V6Network& network : kV6Networks) {
    if (!SharesBits(address.data(), network.base.data(), network.bits)) continue;
    if (reach_ == Reach::kPrivate && network.operator_may) return {};
    return Refused(shown, network.name);
  }
  // Outside 2000::/3 nothing is assigned to the public internet, but for the unique local addresses above.
  if ((address[0] & 0xe0) != 0x20) return Refused(shown, "space that is not global unicast");
  return {};
}

Result<void> AddressGuard::Check(const sockaddr* address) const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof(v4));
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return CheckV4(ntohl(v4.sin_addr.s_addr), text.data());
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof(v6));
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return CheckV6(bytes, text.data());
  }
  return PermissionDenied("address_not_allowed",
                          "address family " + std::to_string(address->sa_family) + " is not allowed");
}

Result<void> AddressGuard::CheckText(std::string_view address) const {
  const std::string text(address);
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  // inet_pton takes dotted decimal only, unlike inet_aton and getaddrinfo.
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1 && text.size() == std::strlen(text.c_str())) {
    return Check(reinterpret_cast<const sockaddr*>(&v4));
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  if (::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1 && text.size() == std::strlen(text.c_str())) {
    return Check(reinterpret_cast<const sockaddr*>(&v6));
  }
  return PermissionDenied("address_not_allowed",
                          "'" + Printable(address) + "' is not an address in plain notation");
}

}  // namespace mezzo::net
