#pragma once

#include "mezzo/app/server_config.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/version_events.h"

namespace mezzo::app {

/// What puts versions' events into the jobs' outbox, once for each of `events.webhooks` that wants them; null
/// when there are none. Thread-safe. Fails with kInvalidArgument "config_invalid_value" naming the webhook: a
/// URL that can't be sent to, a tenant without webhook_secrets, no database (`jobs.enabled: false`).
Result<lifecycle::VersionOutbox> MakeVersionOutbox(const ServerConfig& config, const WebhookSecrets& secrets);

}  // namespace mezzo::app
