#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "mezzo/base/check.h"
#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"

namespace mezzo::tenancy::testing {

/// RFC 4648 section 5 without padding.
inline std::string EncodeBase64Url(std::string_view bytes) {
  std::string text = Base64Encode(bytes);
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) {
    if (c == '+') c = '-';
    if (c == '/') c = '_';
  }
  return text;
}

/// An issuer's key pair, made by OpenSSL, which signs tokens and shows its public half as a JWK.
class TokenMint {
 public:
  /// `algorithm` is RS256, RS384, RS512, PS256, ES256, ES384 or EdDSA. RSA keys of 2048 bits are made once
  /// for a process (`which` of them), since that is slow.
  TokenMint(std::string algorithm, std::string key_id, int which = 0)
      : algorithm_(std::move(algorithm)), key_id_(std::move(key_id)), key_(Make(algorithm_, which)) {}

  [[nodiscard]] const std::string& algorithm() const { return algorithm_; }
  [[nodiscard]] const std::string& key_id() const { return key_id_; }

  /// `extra` are members besides, with a comma before each: ,"use":"sig".
  [[nodiscard]] std::string Jwk(const std::string& extra = R"(,"use":"sig")") const {
    std::string jwk = R"({"kid":")" + key_id_ + "\"" + extra;
    if (algorithm_ == "EdDSA") {
      std::string raw(32, '\0');
      std::size_t size = raw.size();
      MEZZO_CHECK(EVP_PKEY_get_raw_public_key(key_.get(), Writable(raw), &size) == 1);
      return jwk + R"(,"kty":"OKP","crv":"Ed25519","x":")" + EncodeBase64Url(raw) + "\"}";
    }
    if (IsEc()) {
      const bool small = algorithm_ == "ES256";
      const std::size_t width = small ? 32 : 48;
      return jwk + R"(,"kty":"EC","crv":")" + (small ? "P-256" : "P-384") + R"(","x":")" +
             EncodeBase64Url(Number(OSSL_PKEY_PARAM_EC_PUB_X, width)) + R"(","y":")" +
             EncodeBase64Url(Number(OSSL_PKEY_PARAM_EC_PUB_Y, width)) + "\"}";
    }
    return jwk + R"(,"kty":"RSA","n":")" + EncodeBase64Url(Number(OSSL_PKEY_PARAM_RSA_N, 0)) + R"(","e":")" +
           EncodeBase64Url(Number(OSSL_PKEY_PARAM_RSA_E, 0)) + "\"}";
  }

  /// A token with these parts, whatever they say, signed with this key by its algorithm.
  [[nodiscard]] std::string Sign(const std::string& header, const std::string& claims) const {
    const std::string text = EncodeBase64Url(header) + "." + EncodeBase64Url(claims);
    return text + "." + EncodeBase64Url(Signature(text));
  }
  [[nodiscard]] std::string Sign(const std::string& claims) const {
    return Sign(R"({"alg":")" + algorithm_ + R"(","kid":")" + key_id_ + R"(","typ":"JWT"})", claims);
  }

 private:
  using Key = std::shared_ptr<EVP_PKEY>;

  static unsigned char* Writable(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
  [[nodiscard]] bool IsEc() const { return algorithm_.starts_with("ES"); }

  static Key Own(EVP_PKEY* key) {
    MEZZO_CHECK(key != nullptr);
    return {key, EVP_PKEY_free};
  }
  static Key Make(const std::string& algorithm, int which) {
    if (algorithm == "EdDSA") return Own(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    if (algorithm == "ES256") return Own(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    if (algorithm == "ES384") return Own(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
    static std::vector<Key> made;
    while (made.size() <= static_cast<std::size_t>(which)) {
      made.push_back(Own(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048})));
    }
    return made[static_cast<std::size_t>(which)];
  }

  [[nodiscard]] std::string Number(const char* name, std::size_t width) const {
    BIGNUM* number = nullptr;
    MEZZO_CHECK(EVP_PKEY_get_bn_param(key_.get(), name, &number) == 1);
    std::string bytes(width > 0 ? width : static_cast<std::size_t>(BN_num_bytes(number)), '\0');
    MEZZO_CHECK(BN_bn2binpad(number, Writable(bytes), static_cast<int>(bytes.size())) >= 0);
    BN_free(number);
    return bytes;
  }

  [[nodiscard]] std::string Signature(const std::string& text) const {
    const EVP_MD* digest = EVP_sha256();
    if (algorithm_ == "RS384" || algorithm_ == "ES384") digest = EVP_sha384();
    if (algorithm_ == "RS512") digest = EVP_sha512();
    if (algorithm_ == "EdDSA") digest = nullptr;
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_PKEY_CTX* settings = nullptr;
    MEZZO_CHECK(EVP_DigestSignInit(context, &settings, digest, nullptr, key_.get()) == 1);
    if (algorithm_ == "PS256") {
      MEZZO_CHECK(EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1);
      MEZZO_CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) == 1);
    }
    std::size_t size = 1024;
    std::string signature(size, '\0');
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    MEZZO_CHECK(EVP_DigestSign(context, Writable(signature), &size, bytes, text.size()) == 1);
    EVP_MD_CTX_free(context);
    signature.resize(size);
    return IsEc() ? SideBySide(signature, algorithm_ == "ES256" ? 32 : 48) : signature;
  }

  /// ASN.1 to r and s.
  static std::string SideBySide(const std::string& der, int width) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    MEZZO_CHECK(pair != nullptr);
    std::string out(2 * static_cast<std::size_t>(width), '\0');
    MEZZO_CHECK(BN_bn2binpad(ECDSA_SIG_get0_r(pair), Writable(out), width) == width);
    MEZZO_CHECK(BN_bn2binpad(ECDSA_SIG_get0_s(pair), Writable(out) + width, width) == width);
    ECDSA_SIG_free(pair);
    return out;
  }

  std::string algorithm_;
  std::string key_id_;
  Key key_;
};

/// A token whose signature is an HMAC over `secret`: what an attacker makes who hopes that a public key is
/// taken for a shared one.
inline std::string SignByHmac(const std::string& header, const std::string& claims, std::string_view secret) {
  const std::string text = EncodeBase64Url(header) + "." + EncodeBase64Url(claims);
  return text + "." + EncodeBase64Url(AsText(HmacSha256(secret, text)));
}

}  // namespace mezzo::tenancy::testing
