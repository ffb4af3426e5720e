#pragma once

#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs {

/// An event that is no job's, for a tenant's webhook.
struct OutboxEvent {
  std::string id;       ///< The header webhook-id; never the same for two events.
  std::string subject;  ///< What it is about, in the place of a job's id.
  TenantId tenant;
  std::string type;  ///< "pipeline.run.started".
  std::string body;  ///< JSON by Standard Webhooks.
  std::string url;   ///< That CheckWebhookTarget() takes.
};

/// Puts events into the outbox, in the transaction that makes them true; WebhookSender sends them, signed by
/// the tenant's secrets.
Result<void> AddWebhookEvents(storage::SqlSession& session, const std::vector<OutboxEvent>& events,
                              WallTime now);

}  // namespace mezzo::jobs
