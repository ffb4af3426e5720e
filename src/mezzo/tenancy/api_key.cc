#include "mezzo/tenancy/api_key.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "mezzo/base/bytes.h"
#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"

namespace mezzo::tenancy {
namespace {

constexpr std::string_view kDigits = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::size_t kDigitBits = 5;
constexpr std::size_t kSecretBytes = 20;
constexpr std::size_t kSecretSize = 32;
constexpr std::size_t kChecksumSize = 7;
constexpr std::size_t kSecretAt = kApiKeyPrefix.size() + kApiKeyIdSize + 1;
constexpr std::size_t kChecksumAt = kSecretAt + kSecretSize + 1;
static_assert(kSecretBytes * 8 == kSecretSize * kDigitBits);
static_assert(kChecksumAt + kChecksumSize == kApiKeySize);

/// Of CRC-32 as IEEE 802.3 has it: polynomial 0x04c11db7, reflected.
constexpr std::array<std::uint32_t, 256> MakeCrcTable() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320U : 0U);
    table[i] = value;
  }
  return table;
}

std::uint32_t Crc32(std::string_view text) {
  static constexpr auto kTable = MakeCrcTable();
  std::uint32_t crc = 0xffffffffU;
  for (const char c : text) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 255];
  return ~crc;
}

/// The lowest `count` digits of `value`, highest first.
std::string Base32(std::uint64_t value, std::size_t count) {
  std::string digits(count, '0');
  for (std::size_t i = count; i-- > 0; value >>= kDigitBits) digits[i] = kDigits[value & 31];
  return digits;
}

/// Five bytes are eight digits, so nothing is left over.
std::string Base32(std::span<const std::uint8_t, kSecretBytes> bytes) {
  std::string digits;
  for (std::size_t i = 0; i < bytes.size(); i += 5) {
    std::uint64_t group = 0;
    for (const std::uint8_t byte : bytes.subspan(i, 5)) group = group << 8 | byte;
    digits += Base32(group, 8);
  }
  return digits;
}

bool AllDigits(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return kDigits.find(c) != std::string_view::npos; });
}

std::string Checksum(std::string_view text) { return Base32(Crc32(text), kChecksumSize); }

Error Malformed(std::string_view what) {
  return Unauthenticated("key_malformed", "the API key " + std::string(what));
}

Sha256Digest DigestOf(std::string_view text) { return Sha256Of(AsBytes(text)); }

/// The start of '{"' in base64url: how every JWT in use begins.
constexpr std::string_view kJsonObjectStart = "eyJ";

}  // namespace

MintedApiKey MintApiKey() {
  std::array<std::uint8_t, kSecretBytes> secret{};
  RandomBytes(secret.data(), secret.size());
  MintedApiKey key;
  key.id = Base32(RandomUint64(), kApiKeyIdSize);
  key.text = std::string(kApiKeyPrefix) + key.id + "_" + Base32(secret);
  key.text += "_" + Checksum(key.text);
  key.digest = DigestOf(key.text);
  return key;
}

Result<ParsedApiKey> ParseApiKey(std::string_view text) {
  if (!text.starts_with(kApiKeyPrefix)) return Malformed("does not begin with 'mz_'");
  if (text.size() != kApiKeySize) {
    return Malformed("has " + std::to_string(text.size()) + " characters instead of " +
                     std::to_string(kApiKeySize));
  }
  const std::string_view id = text.substr(kApiKeyPrefix.size(), kApiKeyIdSize);
  const std::string_view secret = text.substr(kSecretAt, kSecretSize);
  if (text[kSecretAt - 1] != '_' || text[kChecksumAt - 1] != '_' || !AllDigits(id) || !AllDigits(secret)) {
    return Malformed("has a character that no key has");
  }
  if (text.substr(kChecksumAt) != Checksum(text.substr(0, kChecksumAt - 1))) {
    return Malformed("has a typing error: its checksum does not fit");
  }
  return ParsedApiKey{.id = std::string(id), .digest = DigestOf(text)};
}

bool SameDigest(const Sha256Digest& a, const Sha256Digest& b) {
  return ConstantTimeEquals(AsText(a), AsText(b));
}

CredentialForm FormOf(std::string_view credential) {
  if (credential.starts_with(kApiKeyPrefix)) return CredentialForm::kApiKey;
  const bool three_parts = std::count(credential.begin(), credential.end(), '.') == 2;
  return three_parts && credential.starts_with(kJsonObjectStart) ? CredentialForm::kJwt
                                                                 : CredentialForm::kFreeForm;
}

}  // namespace mezzo::tenancy
