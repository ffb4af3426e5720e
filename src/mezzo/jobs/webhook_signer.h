#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::jobs {

/// Signs webhooks by Standard Webhooks 1.0.0, scheme "v1": HMAC-SHA256 over `id.timestamp.body` with the
/// bytes that a secret "whsec_<base64>" stands for. While secrets are rotated there are several, and a
/// message carries one signature for each: the receiver accepts it when any of them fits.
///
/// Immutable, so thread-safe.
class WebhookSigner {
 public:
  static constexpr std::size_t kMinKeyBytes = 24;
  static constexpr std::size_t kMaxKeyBytes = 64;
  static constexpr std::size_t kMaxSecrets = 4;

  /// Fails with kFailedPrecondition "webhook_secret_missing" when there is none, or kInvalidArgument
  /// "webhook_secret_invalid", saying which secret is wrong and why. No message holds a secret.
  static Result<WebhookSigner> Create(std::span<const std::string> secrets);

  using Headers = std::vector<std::pair<std::string, std::string>>;
  /// webhook-id, webhook-timestamp (whole seconds since the Unix epoch) and webhook-signature. `id` is the
  /// same at every try and holds no '.'; `at` is the time of this try.
  [[nodiscard]] Headers Sign(const std::string& id, WallTime at, std::string_view body) const;

 private:
  explicit WebhookSigner(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  std::vector<std::string> keys_;
};

}  // namespace mezzo::jobs
