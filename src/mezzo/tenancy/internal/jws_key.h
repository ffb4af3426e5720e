#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"

struct evp_pkey_st;

namespace mezzo::tenancy::internal {

/// The signatures that are accepted (RFC 7518 section 3.1, RFC 8037): those that need the issuer's private
/// key. "none" and HS* are not among them, so no public key can be taken for a shared secret.
enum class JwsAlgorithm : std::uint8_t { kRs256, kRs384, kRs512, kPs256, kEs256, kEs384, kEdDsa };

/// "RS256" and so on, exactly; nothing for any other text.
std::optional<JwsAlgorithm> ParseJwsAlgorithm(std::string_view name);

/// A public key of an issuer. Immutable, so thread-safe; copies share the key.
class JwsKey {
 public:
  enum class Type : std::uint8_t { kRsa, kEcP256, kEcP384, kEd25519 };

  // Numbers are big-endian bytes, as RFC 7518 section 6 has them after base64url. All fail with
  // kInvalidArgument "jwks_invalid".

  /// A modulus of 2048 to 8192 bits, an odd exponent of at most 32.
  static Result<JwsKey> Rsa(std::string_view modulus, std::string_view exponent);
  /// `type` is one of the curves; the coordinates have its full size, and the point must lie on it.
  static Result<JwsKey> Ec(Type type, std::string_view x, std::string_view y);
  /// 32 bytes.
  static Result<JwsKey> Ed25519(std::string_view x);

  [[nodiscard]] Type type() const { return type_; }
  /// Whether keys of this type make such signatures and this one may be used for them.
  [[nodiscard]] bool Allows(JwsAlgorithm algorithm) const;
  /// Whether `signature` (as it stands in a JWS: ECDSA's is r and s, RFC 7518 section 3.4) is this key's over
  /// `text`. False when Allows() is.
  [[nodiscard]] bool Verifies(JwsAlgorithm algorithm, std::string_view text,
                              std::string_view signature) const;

  std::string id;                         ///< `kid`; empty: none.
  std::optional<JwsAlgorithm> algorithm;  ///< `alg`: the only one; nothing: any that fits the type.

 private:
  JwsKey(Type type, std::shared_ptr<evp_pkey_st> key) : type_(type), key_(std::move(key)) {}

  Type type_;
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace mezzo::tenancy::internal
