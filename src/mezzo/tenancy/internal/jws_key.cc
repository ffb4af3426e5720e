#include "mezzo/tenancy/internal/jws_key.h"

#include <array>
#include <cstddef>
#include <utility>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

namespace mezzo::tenancy::internal {
namespace {

constexpr std::array<std::pair<std::string_view, JwsAlgorithm>, 7> kAlgorithms = {
    {{"RS256", JwsAlgorithm::kRs256},
     {"RS384", JwsAlgorithm::kRs384},
     {"RS512", JwsAlgorithm::kRs512},
     {"PS256", JwsAlgorithm::kPs256},
     {"ES256", JwsAlgorithm::kEs256},
     {"ES384", JwsAlgorithm::kEs384},
     {"EdDSA", JwsAlgorithm::kEdDsa}}};

constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;  // Larger ones make a verification slow.
constexpr std::size_t kEd25519Size = 32;

struct Free {
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }
  void operator()(OSSL_PARAM* params) const { OSSL_PARAM_free(params); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Owned<BIGNUM> Number(std::string_view bytes) {
  return Owned<BIGNUM>(BN_bin2bn(Bytes(bytes), static_cast<int>(bytes.size()), nullptr));
}

Error Unusable(const char* what) {
  ERR_clear_error();
  return InvalidArgument("jwks_invalid", std::string("a public key can't be used: ") + what);
}

std::shared_ptr<EVP_PKEY> Shared(EVP_PKEY* key) { return {key, EVP_PKEY_free}; }

std::shared_ptr<EVP_PKEY> FromParams(const char* type, OSSL_PARAM_BLD* builder) {
  const Owned<OSSL_PARAM> params(OSSL_PARAM_BLD_to_param(builder));
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return nullptr;
  }
  return Shared(key);
}

std::size_t CoordinateSize(JwsKey::Type type) { return type == JwsKey::Type::kEcP256 ? 32 : 48; }

/// r and s side by side, as ASN.1; empty when it has not the size.
std::string DerOf(std::string_view signature, std::size_t size) {
  if (signature.size() != 2 * size) return {};
  const Owned<ECDSA_SIG> pair(ECDSA_SIG_new());
  Owned<BIGNUM> r = Number(signature.substr(0, size));
  Owned<BIGNUM> s = Number(signature.substr(size));
  if (pair == nullptr || r == nullptr || s == nullptr) return {};
  // The pair has them now; it refuses nothing but null.
  if (ECDSA_SIG_set0(pair.get(), r.release(), s.release()) != 1) return {};
  unsigned char* out = nullptr;
  const int length = i2d_ECDSA_SIG(pair.get(), &out);
  if (length <= 0) return {};
  std::string der(reinterpret_cast<const char*>(out), static_cast<std::size_t>(length));
  OPENSSL_free(out);
  return der;
}

const EVP_MD* DigestOf(JwsAlgorithm algorithm) {
  switch (algorithm) {
    case JwsAlgorithm::kRs256:
    case JwsAlgorithm::kPs256:
    case JwsAlgorithm::kEs256:
      return EVP_sha256();
    case JwsAlgorithm::kRs384:
    case JwsAlgorithm::kEs384:
      return EVP_sha384();
    case JwsAlgorithm::kRs512:
      return EVP_sha512();
    case JwsAlgorithm::kEdDsa:
      return nullptr;  // Hashes by itself.
  }
  return nullptr;
}

}  // namespace

std::optional<JwsAlgorithm> ParseJwsAlgorithm(std::string_view name) {
  for (const auto& [known, algorithm] : kAlgorithms) {
    if (known == name) return algorithm;
  }
  return std::nullopt;
}

Result<JwsKey> JwsKey::Rsa(std::string_view modulus, std::string_view exponent) {
  if (modulus.empty() || modulus.size() > std::size_t{kMaxRsaBits} / 8 + 1 || exponent.empty() ||
      exponent.size() > 4) {
    return Unusable("an RSA key of this size");
  }
  const Owned<BIGNUM> n = Number(modulus);
  const Owned<BIGNUM> e = Number(exponent);
  const Owned<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  if (n == nullptr || e == nullptr || builder == nullptr) return Unusable("out of memory");
  const int bits = BN_num_bits(n.get());
  if (bits < kMinRsaBits || bits > kMaxRsaBits || BN_is_odd(n.get()) == 0) {
    return Unusable("an RSA modulus must be odd and have 2048 to 8192 bits");
  }
  if (BN_is_odd(e.get()) == 0 || BN_is_one(e.get()) != 0)
    return Unusable("an RSA exponent must be odd, not 1");
  if (OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return Unusable("out of memory");
  }
  auto key = FromParams("RSA", builder.get());
  if (key == nullptr) return Unusable("not an RSA key");
  return JwsKey(Type::kRsa, std::move(key));
}

Result<JwsKey> JwsKey::Ec(Type type, std::string_view x, std::string_view y) {
  const std::size_t size = CoordinateSize(type);
  if (x.size() != size || y.size() != size) return Unusable("a coordinate has not the curve's size");
  const std::string point = "\x04" + std::string(x) + std::string(y);  // SEC 1 section 2.3.3, uncompressed.
  const Owned<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  const char* curve = type == Type::kEcP256 ? "P-256" : "P-384";
  if (builder == nullptr ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve, 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) !=
          1) {
    return Unusable("out of memory");
  }
  auto key = FromParams("EC", builder.get());
  if (key == nullptr) return Unusable("the point is not on the curve");
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (context == nullptr || EVP_PKEY_public_check(context.get()) != 1) {
    return Unusable("the point is not on the curve");
  }
  return JwsKey(type, std::move(key));
}

Result<JwsKey> JwsKey::Ed25519(std::string_view x) {
  if (x.size() != kEd25519Size) return Unusable("an Ed25519 key has 32 bytes");
  auto key = Shared(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(x), x.size()));
  if (key == nullptr) return Unusable("not an Ed25519 key");
  return JwsKey(Type::kEd25519, std::move(key));
}

bool JwsKey::Allows(JwsAlgorithm wanted) const {
  if (algorithm && *algorithm != wanted) return false;
  switch (wanted) {
    case JwsAlgorithm::kRs256:
    case JwsAlgorithm::kRs384:
    case JwsAlgorithm::kRs512:
    case JwsAlgorithm::kPs256:
      return type_ == Type::kRsa;
    case JwsAlgorithm::kEs256:
      return type_ == Type::kEcP256;
    case JwsAlgorithm::kEs384:
      return type_ == Type::kEcP384;
    case JwsAlgorithm::kEdDsa:
      return type_ == Type::kEd25519;
  }
  return false;
}

bool JwsKey::Verifies(JwsAlgorithm wanted, std::string_view text, std::string_view signature) const {
  if (!Allows(wanted)) return false;
  std::string der;
  if (type_ == Type::kEcP256 || type_ == Type::kEcP384) {
    der = DerOf(signature, CoordinateSize(type_));
    if (der.empty()) return false;
    signature = der;
  }
  const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* settings = nullptr;  // The context's.
  bool good = context != nullptr &&
              EVP_DigestVerifyInit(context.get(), &settings, DigestOf(wanted), nullptr, key_.get()) == 1;
  if (good && wanted == JwsAlgorithm::kPs256) {
    good = EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) == 1;
  }
  good = good &&
         EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(text), text.size()) == 1;
  if (!good) ERR_clear_error();
  return good;
}

}  // namespace mezzo::tenancy::internal
