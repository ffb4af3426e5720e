#include "mezzo/jobs/webhook_target.h"

#include <array>
#include <string>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/jobs/webhook_signer.h"
#include "mezzo/net/http_client.h"

namespace mezzo::jobs {
namespace {

constexpr std::size_t kMaxUrl = 2048;
constexpr std::size_t kMaxSecret = 256;

Error Bad(std::string message) { return InvalidArgument("job_request", std::move(message)); }

Error TooLong(const std::string& member, std::size_t size, std::size_t limit) {
  return Bad("'" + member + "' has " + std::to_string(size) + " bytes; the limit is " +
             std::to_string(limit));
}

}  // namespace

Result<void> CheckWebhookTarget(const WebhookTarget& target) {
  if (target.url.size() > kMaxUrl) return TooLong("webhook.url", target.url.size(), kMaxUrl);
  if (target.secret.size() > kMaxSecret) return TooLong("webhook.secret", target.secret.size(), kMaxSecret);
  if (!target.secret.empty()) MEZZO_TRY_VOID(WebhookSigner::Create(std::array{target.secret}));
  if (!net::IsHttpUrl(target.url)) {
    return Bad("'webhook.url' must begin with https:// or http://, got '" + Printable(target.url) + "'");
  }
  return {};
}

}  // namespace mezzo::jobs
