#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"
#include "mezzo/storage/blob_key.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::storage {

/// Makes and checks URLs that allow to read one object until a time, for stores that have no such URLs of
/// their own:
///
///     <base>/<tenant>/<job>/<attempt>/<name>?expires=1700003600&key=k2[&name=film.mp4]&signature=<64 hex
///     digits>
///
/// The signature is HMAC-SHA256 over the method GET, the key, the time, the id of the secret and the file
/// name. Secrets rotate: the first one signs, all of them verify. Thread-safe.
class UrlSigner {
 public:
  struct Secret {
    std::string id;      ///< Shown in URLs; a safe name of at most 32 characters.
    std::string secret;  ///< At least 32 bytes; shown nowhere.
  };
  static constexpr std::size_t kMaxSecrets = 8;

  /// `base` is the route's URL without a slash at its end. Fails with kInvalidArgument
  /// "blob_url_secret_invalid".
  static Result<std::unique_ptr<UrlSigner>> Create(std::string base, std::vector<Secret> secrets);

  /// Replaces the secrets; URLs signed with one that is gone are refused from now on. Fails as Create() does
  /// and then changes nothing.
  Result<void> Rotate(std::vector<Secret> secrets) EXCLUDES(mu_);

  /// Fails with kInvalidArgument "blob_url_options_invalid".
  [[nodiscard]] Result<std::string> Sign(const BlobKey& key, const BlobUrlOptions& options,
                                         WallTime now) const EXCLUDES(mu_);

  /// What a valid URL allows: to read this object.
  struct Grant {
    BlobKey key;
    WallTime expires_at;
    std::string file_name;
  };
  /// Checks a request for `<base>/<key>?<query>`; path and query as the server decoded them (once). Fails
  /// with kPermissionDenied "blob_url_invalid" (whatever is wrong, so that nothing can be learned by trying)
  /// or "blob_url_expired".
  [[nodiscard]] Result<Grant> Verify(net::Method method, std::string_view key,
                                     std::span<const net::QueryParameter> query, WallTime now) const
      EXCLUDES(mu_);

 private:
  using Secrets = std::shared_ptr<const std::vector<Secret>>;
  UrlSigner(std::string base, Secrets secrets) : base_(std::move(base)), secrets_(std::move(secrets)) {}
  [[nodiscard]] Secrets secrets() const EXCLUDES(mu_);

  const std::string base_;
  mutable Mutex mu_;
  Secrets secrets_ GUARDED_BY(mu_);
};

}  // namespace mezzo::storage
