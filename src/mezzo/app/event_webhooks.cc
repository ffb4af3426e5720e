#include "mezzo/app/event_webhooks.h"

#include <algorithm>
#include <string>
#include <vector>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/jobs/webhook_events.h"
#include "mezzo/jobs/webhook_target.h"

namespace mezzo::app {
namespace {

Error Wrong(std::size_t index, const std::string& why) {
  return InvalidArgument("config_invalid_value", "events.webhooks[" + std::to_string(index) + "]: " + why);
}

bool Wants(const EventWebhookConfig& webhook, std::string_view type) {
  const auto is = [&](EventKind kind) {
    return type.starts_with(kind == EventKind::kDrift ? "version.drift." : "version.retirement.");
  };
  return webhook.kinds.empty() || std::any_of(webhook.kinds.begin(), webhook.kinds.end(), is);
}

}  // namespace

Result<lifecycle::VersionOutbox> MakeVersionOutbox(const ServerConfig& config,
                                                   const WebhookSecrets& secrets) {
  const std::vector<EventWebhookConfig>& webhooks = config.events.webhooks;
  for (std::size_t i = 0; i < webhooks.size(); ++i) {
    const EventWebhookConfig& one = webhooks[i];
    if (!config.jobs.enabled) return Wrong(i, "needs the outbox, which needs jobs.enabled");
    const auto target = jobs::CheckWebhookTarget({.url = one.url, .secret = ""});
    if (!target.ok()) return Wrong(i, target.error().message());
    if (!secrets.contains(TenantId(one.tenant)))
      return Wrong(i, "tenant '" + Printable(one.tenant, 64) + "' has no webhook_secrets to sign it with");
  }
  if (webhooks.empty()) return lifecycle::VersionOutbox();
  return lifecycle::VersionOutbox(
      [webhooks](storage::SqlSession& session, const lifecycle::VersionEvent& event) -> Result<void> {
        std::vector<jobs::OutboxEvent> events;
        for (const EventWebhookConfig& webhook : webhooks) {
          if (!Wants(webhook, event.type)) continue;
          events.push_back({.id = "evt_" + NewUuidV7(event.at),
                            .subject = event.model + "/" + std::to_string(event.version),
                            .tenant = TenantId(webhook.tenant),
                            .type = event.type,
                            .body = event.Body(),
                            .url = webhook.url});
        }
        return jobs::AddWebhookEvents(session, events, event.at);
      });
}

}  // namespace mezzo::app
