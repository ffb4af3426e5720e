// What anybody sends as a token, and what an issuer answers as its keys: whatever is read keeps within its
// bounds and has one text only.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/tenancy/internal/jwt.h"

namespace {

using mezzo::tenancy::internal::DecodeBase64Url;
using mezzo::tenancy::internal::JwsAlgorithm;
using mezzo::tenancy::internal::kMaxToken;
using mezzo::tenancy::internal::LooksLikeJwt;
using mezzo::tenancy::internal::ParseJwks;
using mezzo::tenancy::internal::ParseJwt;
using mezzo::tenancy::internal::StringsAt;

std::string Encode(std::string_view bytes) {
  std::string text = mezzo::Base64Encode(bytes);
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) {
    if (c == '+') c = '-';
    if (c == '/') c = '_';
  }
  return text;
}

void ReadToken(std::string_view text) {
  const auto token = ParseJwt(text);
  if (!token.ok()) {
    MEZZO_CHECK(token.error().reason() == "token_malformed");
    return;
  }
  MEZZO_CHECK(text.size() <= kMaxToken && LooksLikeJwt(text));
  MEZZO_CHECK(!token->issuer.empty() && !token->subject.empty());
  MEZZO_CHECK(text.starts_with(token->signed_text));
  MEZZO_CHECK(text.substr(token->signed_text.size() + 1) == Encode(token->signature));
  for (const auto& [name, value] : token->claims.items()) {
    MEZZO_CHECK(StringsAt(token->claims, name).size() <= text.size());
  }
}

void ReadKeys(std::string_view text) {
  const auto keys = ParseJwks(text);
  if (!keys.ok()) {
    MEZZO_CHECK(keys.error().reason() == "jwks_invalid");
    return;
  }
  for (const auto& key : *keys) {
    MEZZO_CHECK(!key.algorithm || key.Allows(*key.algorithm));
    MEZZO_CHECK(!key.Verifies(JwsAlgorithm::kEs256, "text", std::string(64, '\0')));
    MEZZO_CHECK(!key.Verifies(JwsAlgorithm::kEdDsa, "text", "short"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto bytes = DecodeBase64Url(text)) MEZZO_CHECK(Encode(*bytes) == text);
  ReadToken(text);
  ReadKeys(text);
  // The first line as a header, the rest as claims: so that JSON is mutated, not base64.
  const std::size_t line = text.find('\n');
  if (line != std::string_view::npos) {
    ReadToken(Encode(text.substr(0, line)) + "." + Encode(text.substr(line + 1)) + ".c2ln");
  }
  return 0;
}
