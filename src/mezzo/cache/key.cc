#include "mezzo/cache/key.h"

#include <xxhash.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h>  // The same functions, by what the processor can do.
#endif

#include <algorithm>
#include <array>

#include "mezzo/base/uuid.h"

namespace mezzo::cache {
namespace {

constexpr char kPurpose = 'P';
constexpr char kText = 'T';
constexpr char kBytes = 'B';
constexpr char kInteger = 'I';
constexpr char kMembers = 'M';

void AppendNumber(std::uint64_t number, std::string& out) {
  std::array<char, sizeof(number)> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(number >> (8 * i));
  out.append(bytes.data(), bytes.size());
}

/// As long as XXH3's own secret (XXH_SECRET_DEFAULT_SIZE, which xxhash.h does not say outside).
constexpr std::size_t kSecretBytes = 192;
static_assert(kSecretBytes >= XXH3_SECRET_SIZE_MIN);
using Secret = std::array<std::uint8_t, kSecretBytes>;

Secret RandomSecret() {
  Secret secret;
  RandomBytes(secret.data(), secret.size());
  return secret;
}

Fingerprint FingerprintOf(std::string_view text) {
  static const Secret first = RandomSecret();
  static const Secret second = RandomSecret();
  const XXH128_hash_t a = XXH3_128bits_withSecret(text.data(), text.size(), first.data(), first.size());
  const XXH128_hash_t b = XXH3_128bits_withSecret(text.data(), text.size(), second.data(), second.size());
  return {a.low64, a.high64, b.low64, b.high64};
}

}  // namespace

KeyBuilder::KeyBuilder(std::string_view purpose, std::size_t expected) {
  text_.reserve(expected);
  Length(kPurpose, purpose.size());
  text_ += purpose;
}

KeyBuilder& KeyBuilder::Text(std::string_view text) {
  Length(kText, text.size());
  text_ += text;
  return *this;
}

KeyBuilder& KeyBuilder::Bytes(BytesView bytes) {
  Length(kBytes, bytes.size());
  text_ += AsText(bytes);
  return *this;
}

KeyBuilder& KeyBuilder::Integer(std::int64_t number) {
  text_.push_back(kInteger);
  AppendNumber(static_cast<std::uint64_t>(number), text_);
  return *this;
}

KeyBuilder& KeyBuilder::Members(std::vector<std::pair<std::string, std::string>> members) {
  std::sort(members.begin(), members.end());
  Length(kMembers, members.size());
  for (const auto& [name, value] : members) Text(name).Text(value);
  return *this;
}

CacheKey KeyBuilder::Finish() {
  const Fingerprint fingerprint = FingerprintOf(text_);
  return {fingerprint, std::make_shared<const std::string>(std::move(text_))};
}

void KeyBuilder::Length(char type, std::size_t length) {
  text_.push_back(type);
  AppendNumber(length, text_);
}

}  // namespace mezzo::cache
