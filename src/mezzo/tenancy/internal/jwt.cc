#include "mezzo/tenancy/internal/jwt.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

#include "mezzo/base/strings.h"

namespace mezzo::tenancy::internal {
namespace {

using Json = nlohmann::json;

constexpr int kMaxTokenDepth = 16;
constexpr int kMaxSetDepth = 8;
constexpr std::size_t kMaxKeys = 64;
constexpr std::size_t kMaxName = 256;
constexpr std::size_t kMaxStrings = 256;
constexpr double kLatestSecond = 9e9;  // The year 2255; beyond it nanoseconds would overflow.

constexpr std::array<std::int8_t, 256> MakeValues() {
  std::array<std::int8_t, 256> values{};
  for (auto& value : values) value = -1;
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values.at(static_cast<unsigned char>(kAlphabet[i])) = static_cast<std::int8_t>(i);
  }
  return values;
}
constexpr std::array<std::int8_t, 256> kValues = MakeValues();

int ValueOf(char c) { return kValues.at(static_cast<unsigned char>(c)); }

Error Malformed(const char* what) {
  return Unauthenticated("token_malformed", std::string("the token can't be read: ") + what);
}

/// Empty when there is none, nothing when it is no string or too long.
std::optional<std::string> TextAt(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return std::string();
  if (!found->is_string()) return std::nullopt;
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() > kMaxName) return std::nullopt;
  return text;
}

/// RFC 7519's NumericDate: seconds since the epoch, with or without a fraction.
std::optional<WallTime> TimeAt(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const double seconds = found->get<double>();
  if (!std::isfinite(seconds) || seconds < 0 || seconds > kLatestSecond) return std::nullopt;
  const double whole = std::floor(seconds);
  return WallTime(std::chrono::seconds(static_cast<std::int64_t>(whole)) + FromSeconds(seconds - whole));
}

/// Whether an optional time is missing or good.
bool ReadTime(const Json& object, const char* name, std::optional<WallTime>& time) {
  time = TimeAt(object, name);
  return time.has_value() || !object.contains(name);
}

bool IsTokenType(std::string_view type) {
  constexpr std::string_view kApplication = "application/";
  const std::string lower = ToLower(type);
  std::string_view rest = lower;
  if (rest.starts_with(kApplication)) rest.remove_prefix(kApplication.size());
  return rest == "jwt" || rest == "at+jwt";
}

Result<void> ReadHeader(const Json& header, Jwt& token) {
  // Extensions that must be understood: none is.
  if (header.contains("crit") || header.contains("b64")) return Malformed("its header asks for an extension");
  if (header.contains("zip") || header.contains("enc")) return Malformed("it is encrypted or compressed");
  if (const auto type = header.find("typ"); type != header.end()) {
    if (!type->is_string() || !IsTokenType(type->get_ref<const std::string&>())) {
      return Malformed("its type is neither JWT nor at+jwt");
    }
  }
  const auto key_id = TextAt(header, "kid");
  const auto algorithm = TextAt(header, "alg");
  if (!key_id || !algorithm || algorithm->empty()) return Malformed("its header has no alg, or a wrong kid");
  token.key_id = *key_id;
  token.algorithm = ParseJwsAlgorithm(*algorithm);
  return {};
}

Result<void> ReadClaims(Jwt& token) {
  const Json& claims = token.claims;
  const auto issuer = TextAt(claims, "iss");
  const auto subject = TextAt(claims, "sub");
  if (!issuer || issuer->empty()) return Malformed("it has no iss");
  if (!subject || subject->empty()) return Malformed("it has no sub");
  token.issuer = *issuer;
  token.subject = *subject;
  if (const auto audience = claims.find("aud"); audience != claims.end()) {
    const bool good =
        audience->is_string() || (audience->is_array() && audience->size() <= kMaxStrings &&
                                  std::all_of(audience->begin(), audience->end(),
                                              [](const Json& entry) { return entry.is_string(); }));
    if (!good) return Malformed("its aud is no string or list of strings");
    if (audience->is_string()) {
      token.audiences.push_back(audience->get<std::string>());
    } else {
      for (const Json& entry : *audience) token.audiences.push_back(entry.get<std::string>());
    }
  }
  const auto expires = TimeAt(claims, "exp");
  if (!expires) return Malformed("it has no exp, or one that is no time");
  token.expires = *expires;
  if (!ReadTime(claims, "nbf", token.not_before)) return Malformed("its nbf is no time");
  if (!ReadTime(claims, "iat", token.issued)) return Malformed("its iat is no time");
  return {};
}

const Json* Descend(const Json& claims, std::string_view path, int depth) {
  if (!claims.is_object() || depth > kMaxTokenDepth) return nullptr;
  if (const auto whole = claims.find(std::string(path)); whole != claims.end()) return &*whole;
  for (std::size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.', dot + 1)) {
    const auto inner = claims.find(std::string(path.substr(0, dot)));
    if (inner == claims.end()) continue;
    if (const Json* found = Descend(*inner, path.substr(dot + 1), depth + 1)) return found;
  }
  return nullptr;
}

std::optional<std::string> BytesAt(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return DecodeBase64Url(found->get_ref<const std::string&>());
}

Result<JwsKey> MakeKey(const Json& jwk, const std::string& type, const std::string& curve) {
  const Error incomplete = InvalidArgument("jwks_invalid", "a public key can't be used: it is incomplete");
  if (type == "RSA") {
    const auto n = BytesAt(jwk, "n");
    const auto e = BytesAt(jwk, "e");
    if (!n || !e) return incomplete;
    return JwsKey::Rsa(*n, *e);
  }
  const auto x = BytesAt(jwk, "x");
  if (!x) return incomplete;
  if (type == "OKP" && curve == "Ed25519") return JwsKey::Ed25519(*x);
  const auto y = BytesAt(jwk, "y");
  if (type != "EC" || !y) return incomplete;
  if (curve == "P-256") return JwsKey::Ec(JwsKey::Type::kEcP256, *x, *y);
  if (curve == "P-384") return JwsKey::Ec(JwsKey::Type::kEcP384, *x, *y);
  return incomplete;
}

/// Nothing when the key is not for verifying what we accept.
std::optional<JwsKey> ReadKey(const Json& jwk) {
  if (!jwk.is_object()) return std::nullopt;
  const auto type = TextAt(jwk, "kty");
  const auto curve = TextAt(jwk, "crv");
  const auto use = TextAt(jwk, "use");
  const auto id = TextAt(jwk, "kid");
  const auto algorithm = TextAt(jwk, "alg");
  if (!type || !curve || !use || !id || !algorithm) return std::nullopt;
  if (!use->empty() && *use != "sig") return std::nullopt;
  if (const auto operations = jwk.find("key_ops"); operations != jwk.end()) {
    if (!operations->is_array()) return std::nullopt;
    if (std::find(operations->begin(), operations->end(), Json("verify")) == operations->end()) {
      return std::nullopt;
    }
  }
  auto key = MakeKey(jwk, *type, *curve);
  if (!key.ok()) return std::nullopt;
  key->id = *id;
  if (!algorithm->empty()) {
    key->algorithm = ParseJwsAlgorithm(*algorithm);
    if (!key->algorithm || !key->Allows(*key->algorithm)) return std::nullopt;
  }
  return *std::move(key);
}

}  // namespace

std::optional<std::string> DecodeBase64Url(std::string_view text) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = ValueOf(c);
    if (value < 0) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>((bits >> count) & 0xff));
      bits &= (1U << count) - 1;
    }
  }
  if (bits != 0) return std::nullopt;
  return out;
}

std::optional<Json> ParseStrictObject(std::string_view text, int max_depth) {
  // Nothing is built of what lies deeper than allowed: the callback leaves it out.
  std::vector<std::set<std::string>> names;
  bool good = true;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      if (depth >= max_depth) good = false;
      names.emplace_back();
    } else if (event == Json::parse_event_t::object_end || event == Json::parse_event_t::array_end) {
      if (!names.empty()) names.pop_back();
    } else if (event == Json::parse_event_t::key && good) {
      if (!names.empty() && !names.back().insert(parsed.get<std::string>()).second) good = false;
    }
    return good;
  };
  Json json = Json::parse(text, check, /*allow_exceptions=*/false);
  if (!good || !json.is_object()) return std::nullopt;
  return json;
}

bool LooksLikeJwt(std::string_view text) {
  const std::size_t first = text.find('.');
  if (first == 0 || first == std::string_view::npos) return false;
  const std::size_t second = text.find('.', first + 1);
  if (second == first + 1 || second == std::string_view::npos) return false;
  if (text.find('.', second + 1) != std::string_view::npos) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '.' || ValueOf(c) >= 0; });
}

Result<Jwt> ParseJwt(std::string_view text) {
  if (text.size() > kMaxToken) return Malformed("it has more than 8192 bytes");
  const std::vector<std::string_view> parts = Split(text, '.');
  if (parts.size() != 3) return Malformed("it has not three parts");
  const auto header_text = DecodeBase64Url(parts[0]);
  const auto claims_text = DecodeBase64Url(parts[1]);
  auto signature = DecodeBase64Url(parts[2]);
  if (!header_text || !claims_text || !signature) return Malformed("a part is not base64url");
  const auto header = ParseStrictObject(*header_text, kMaxTokenDepth);
  auto claims = ParseStrictObject(*claims_text, kMaxTokenDepth);
  if (!header || !claims) return Malformed("a part is no JSON object, nested too deep, or has a name twice");
  Jwt token;
  token.claims = *std::move(claims);
  token.signed_text = text.substr(0, parts[0].size() + 1 + parts[1].size());
  token.signature = *std::move(signature);
  MEZZO_TRY_VOID(ReadHeader(*header, token));
  MEZZO_TRY_VOID(ReadClaims(token));
  return token;
}

std::vector<std::string> StringsAt(const Json& claims, std::string_view path) {
  std::vector<std::string> strings;
  if (path.empty()) return strings;
  const Json* found = Descend(claims, path, 0);
  if (found == nullptr) return strings;
  if (found->is_string()) strings.push_back(found->get<std::string>());
  if (!found->is_array()) return strings;
  for (const Json& entry : *found) {
    if (strings.size() == kMaxStrings) break;
    if (entry.is_string()) strings.push_back(entry.get<std::string>());
  }
  return strings;
}

Result<std::vector<JwsKey>> ParseJwks(std::string_view text) {
  const auto set = ParseStrictObject(text, kMaxSetDepth);
  if (!set) return InvalidArgument("jwks_invalid", "the key set is no JSON object, or has a name twice");
  const auto listed = set->find("keys");
  if (listed == set->end() || !listed->is_array()) {
    return InvalidArgument("jwks_invalid", "the key set has no list 'keys'");
  }
  if (listed->size() > kMaxKeys) return InvalidArgument("jwks_invalid", "the key set has more than 64 keys");
  std::vector<JwsKey> keys;
  for (const Json& entry : *listed) {
    if (auto key = ReadKey(entry)) keys.push_back(*std::move(key));
  }
  return keys;
}

}  // namespace mezzo::tenancy::internal
