#include "mezzo/jobs/webhook_signer.h"

#include <chrono>

#include "mezzo/base/check.h"
#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"

namespace mezzo::jobs {
namespace {

constexpr std::string_view kPrefix = "whsec_";

Result<std::string> KeyOf(std::string_view secret, const std::string& name) {
  if (!secret.starts_with(kPrefix))
    return InvalidArgument("webhook_secret_invalid", name + " does not begin with 'whsec_'");
  Result<std::string> key = Base64Decode(secret.substr(kPrefix.size()));
  if (!key.ok())
    return InvalidArgument("webhook_secret_invalid",
                           name + " is not base64 after 'whsec_': " + key.error().message());
  if (key->size() < WebhookSigner::kMinKeyBytes || key->size() > WebhookSigner::kMaxKeyBytes) {
    return InvalidArgument("webhook_secret_invalid",
                           name + " has " + std::to_string(key->size()) + " bytes, allowed are " +
                               std::to_string(WebhookSigner::kMinKeyBytes) + " to " +
                               std::to_string(WebhookSigner::kMaxKeyBytes));
  }
  return key;
}

}  // namespace

Result<WebhookSigner> WebhookSigner::Create(std::span<const std::string> secrets) {
  if (secrets.empty()) return FailedPrecondition("webhook_secret_missing", "there is no webhook secret");
  if (secrets.size() > kMaxSecrets) {
    return InvalidArgument("webhook_secret_invalid",
                           "there are " + std::to_string(secrets.size()) + " webhook secrets, at most " +
                               std::to_string(kMaxSecrets) + " can be used at once");
  }
  std::vector<std::string> keys;
  for (const std::string& secret : secrets) {
    const std::string name =
        secrets.size() == 1 ? "the webhook secret" : "webhook secret " + std::to_string(keys.size() + 1);
    MEZZO_TRY(std::string key, KeyOf(secret, name));
    keys.push_back(std::move(key));
  }
  return WebhookSigner(std::move(keys));
}

WebhookSigner::Headers WebhookSigner::Sign(const std::string& id, WallTime at, std::string_view body) const {
  MEZZO_CHECK(!id.empty() && id.find('.') == std::string::npos);
  const std::string timestamp =
      std::to_string(std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count());
  const std::string content = id + "." + timestamp + "." + std::string(body);
  std::string signatures;
  for (const std::string& key : keys_) {
    if (!signatures.empty()) signatures += ' ';
    signatures += "v1," + Base64Encode(AsText(HmacSha256(key, content)));
  }
  return {{"webhook-id", id}, {"webhook-timestamp", timestamp}, {"webhook-signature", std::move(signatures)}};
}

}  // namespace mezzo::jobs
