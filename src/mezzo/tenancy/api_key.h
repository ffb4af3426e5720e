#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"

namespace mezzo::tenancy {

/// The text form of API keys: 56 characters,
///
///     mz_<id>_<secret>_<checksum>
///     mz_[0-9a-hjkmnp-tv-z]{12}_[0-9a-hjkmnp-tv-z]{32}_[0-3][0-9a-hjkmnp-tv-z]{6}
///
/// in the digits of Crockford's base 32, lower case: `id` (60 random bits) is public and names the key in
/// lists and logs, `secret` is 160 random bits, `checksum` is the CRC-32 (IEEE 802.3) of all that stands
/// before its underscore. So a scanner finds leaked keys by their form alone, and a mistyped one is refused
/// without a look-up: CRC-32 sees every changed, dropped and added character and every pair that changed
/// places. A word by double click holds the whole key, and no two spellings mean the same key.
inline constexpr std::string_view kApiKeyPrefix = "mz_";
inline constexpr std::size_t kApiKeyIdSize = 12;
inline constexpr std::size_t kApiKeySize = 56;

/// A new key. `text` is shown once and kept nowhere; what is kept is `digest`.
struct MintedApiKey {
  std::string id;
  std::string text;
  Sha256Digest digest{};  ///< Of the whole text.
};

/// Randomness is getrandom(2). Thread-safe; aborts when the system has no randomness.
MintedApiKey MintApiKey();

/// What a well-formed key text says. Whether the key exists is for whoever keeps the digests.
struct ParsedApiKey {
  std::string id;
  Sha256Digest digest{};  ///< Of the whole text.
};

/// Fails with kUnauthenticated "key_malformed", saying what is wrong but nothing of the text.
Result<ParsedApiKey> ParseApiKey(std::string_view text);

/// In time that does not depend on the digests.
bool SameDigest(const Sha256Digest& a, const Sha256Digest& b);

/// What a credential looks like. A look only: nothing is verified.
enum class CredentialForm : std::uint8_t {
  kApiKey,    ///< Begins as minted keys do. It may still be a typing error, or a free-form key.
  kJwt,       ///< Three parts between two dots, the first a JSON object in base64url (RFC 7519).
  kFreeForm,  ///< Anything else: a key that somebody made up, known by its digest.
};
[[nodiscard]] CredentialForm FormOf(std::string_view credential);

}  // namespace mezzo::tenancy
