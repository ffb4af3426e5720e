#include "mezzo/storage/url_signer.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_checks.h"

namespace mezzo::storage {
namespace {

using std::chrono::seconds;

constexpr std::size_t kMinSecretBytes = 32;
constexpr std::size_t kMaxIdBytes = 32;
constexpr std::uint64_t kLastSecond = 9'000'000'000;  // Of the year 2255: fits in WallTime's nanoseconds.

Error InvalidUrl() {
  return PermissionDenied("blob_url_invalid", "the URL is not one that this server has signed");
}

Result<void> CheckSecrets(const std::vector<UrlSigner::Secret>& secrets) {
  if (secrets.empty() || secrets.size() > UrlSigner::kMaxSecrets) {
    return InvalidArgument("blob_url_secret_invalid",
                           "URLs need 1 to " + std::to_string(UrlSigner::kMaxSecrets) +
                               " secrets, there are " + std::to_string(secrets.size()));
  }
  for (auto it = secrets.begin(); it != secrets.end(); ++it) {
    if (!IsSafeName(it->id) || it->id.size() > kMaxIdBytes) {
      return InvalidArgument(
          "blob_url_secret_invalid",
          "the id '" + Printable(it->id) + "' of a URL secret must be a plain name of at most 32 bytes");
    }
    if (std::any_of(secrets.begin(), it, [&](const auto& other) { return other.id == it->id; })) {
      return InvalidArgument("blob_url_secret_invalid", "two URL secrets have the id '" + it->id + "'");
    }
    if (it->secret.size() < kMinSecretBytes) {
      return InvalidArgument("blob_url_secret_invalid",
                             "the URL secret '" + it->id + "' has " + std::to_string(it->secret.size()) +
                                 " bytes, it needs " + std::to_string(kMinSecretBytes));
    }
  }
  return {};
}

/// What is signed holds no line break inside a part, so no other set of parts gives the same text.
std::string Signature(const UrlSigner::Secret& secret, std::string_view key, std::string_view expires,
                      std::string_view file_name) {
  std::string text = "mezzo-blob-url/1\nGET\n";
  for (const std::string_view part : {key, expires, std::string_view(secret.id), file_name}) {
    text.append(part).append("\n");
  }
  return HexEncode(HmacSha256(secret.secret, text));
}

struct Parameters {
  std::string_view expires;
  std::string_view key;
  std::string_view name;
  std::string_view signature;
};

/// Every parameter at most once, and no other.
std::optional<Parameters> ReadParameters(std::span<const net::QueryParameter> query) {
  Parameters parameters;
  for (const net::QueryParameter& given : query) {
    std::string_view* const place = given.name == "expires"     ? &parameters.expires
                                    : given.name == "key"       ? &parameters.key
                                    : given.name == "name"      ? &parameters.name
                                    : given.name == "signature" ? &parameters.signature
                                                                : nullptr;
    if (place == nullptr || !place->empty() || given.value.empty()) return std::nullopt;
    *place = given.value;
  }
  return parameters;
}

}  // namespace

Result<std::unique_ptr<UrlSigner>> UrlSigner::Create(std::string base, std::vector<Secret> secrets) {
  MEZZO_TRY_VOID(CheckSecrets(secrets));
  auto shared = std::make_shared<const std::vector<Secret>>(std::move(secrets));
  return std::unique_ptr<UrlSigner>(
      new UrlSigner(std::move(base), std::move(shared)));  // A private constructor.
}

Result<void> UrlSigner::Rotate(std::vector<Secret> secrets) {
  MEZZO_TRY_VOID(CheckSecrets(secrets));
  auto shared = std::make_shared<const std::vector<Secret>>(std::move(secrets));
  MutexLock lock(mu_);
  secrets_ = std::move(shared);
  return {};
}

UrlSigner::Secrets UrlSigner::secrets() const {
  MutexLock lock(mu_);
  return secrets_;
}

Result<std::string> UrlSigner::Sign(const BlobKey& key, const BlobUrlOptions& options, WallTime now) const {
  MEZZO_TRY_VOID(CheckUrlOptions(options));
  const Secrets current = secrets();
  const Secret& secret = current->front();
  const auto expires_at = std::chrono::ceil<seconds>((now + options.lifetime).time_since_epoch());
  const std::string expires = std::to_string(expires_at.count());
  std::string url = base_ + "/" + key.text() + "?expires=" + expires + "&key=" + secret.id;
  if (!options.file_name.empty()) url += "&name=" + PercentEncode(options.file_name);
  return url + "&signature=" + Signature(secret, key.text(), expires, options.file_name);
}

Result<UrlSigner::Grant> UrlSigner::Verify(net::Method method, std::string_view key,
                                           std::span<const net::QueryParameter> query, WallTime now) const {
  if (method != net::Method::kGet) return InvalidUrl();
  const auto parameters = ReadParameters(query);
  auto parsed = BlobKey::Parse(key);
  if (!parameters || !parsed.ok()) return InvalidUrl();
  const Secrets current = secrets();
  const auto secret = std::find_if(current->begin(), current->end(),
                                   [&](const Secret& s) { return s.id == parameters->key; });
  if (secret == current->end()) return InvalidUrl();
  const std::string expected = Signature(*secret, key, parameters->expires, parameters->name);
  if (!ConstantTimeEquals(expected, parameters->signature)) return InvalidUrl();

  const auto expires = ParseUint(parameters->expires);
  if (!expires || *expires > kLastSecond) return InvalidUrl();
  const WallTime expires_at{seconds(static_cast<std::int64_t>(*expires))};
  if (now >= expires_at) return PermissionDenied("blob_url_expired", "the URL has expired");
  return Grant{
      .key = *std::move(parsed), .expires_at = expires_at, .file_name = std::string(parameters->name)};
}

}  // namespace mezzo::storage
