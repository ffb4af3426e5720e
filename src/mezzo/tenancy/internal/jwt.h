#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/tenancy/internal/jws_key.h"

namespace mezzo::tenancy::internal {

inline constexpr std::size_t kMaxToken = 8192;

/// RFC 4648 section 5 without padding, as RFC 7515 wants it: no other character, and no bits left over that
/// are not zero, so that there is one text for every value. Nothing for any other text.
std::optional<std::string> DecodeBase64Url(std::string_view text);

/// A JSON object, read strictly: nothing when a name stands twice in one object, when it is nested deeper
/// than `max_depth`, or when anything follows it.
std::optional<nlohmann::json> ParseStrictObject(std::string_view text, int max_depth);

/// Whether `text` has the form of a signed token: three parts of base64url with dots between them, the first
/// two not empty.
bool LooksLikeJwt(std::string_view text);

/// A token that nobody has vouched for yet.
struct Jwt {
  std::string key_id;                     ///< `kid`; empty: none.
  std::optional<JwsAlgorithm> algorithm;  ///< Nothing: one that is not accepted.
  std::string issuer;
  std::string subject;
  std::vector<std::string> audiences;
  WallTime expires;
  std::optional<WallTime> not_before;
  std::optional<WallTime> issued;
  nlohmann::json claims;
  std::string_view signed_text;  ///< Of the token's text.
  std::string signature;
};

/// A compact JWS (RFC 7515 section 3.1) whose payload is a set of claims (RFC 7519). `text` outlives the
/// result. Fails with kUnauthenticated "token_malformed", which names no part of the token.
Result<Jwt> ParseJwt(std::string_view text);

/// The strings at a dotted path of the claims ("realm_access.roles"): a string is one, a list gives those of
/// its members that are strings, at most 256. A name that has dots itself is found too ("https://a.b/roles").
std::vector<std::string> StringsAt(const nlohmann::json& claims, std::string_view path);

/// The keys of a JWK set (RFC 7517 section 5) that can verify; others are left out. Fails with
/// kInvalidArgument "jwks_invalid" when it is none, or has more than 64 keys.
Result<std::vector<JwsKey>> ParseJwks(std::string_view text);

}  // namespace mezzo::tenancy::internal
