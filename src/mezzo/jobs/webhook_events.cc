#include "mezzo/jobs/webhook_events.h"

#include "mezzo/jobs/internal/sql_time.h"
#include "mezzo/jobs/webhook_slots.h"

namespace mezzo::jobs {

Result<void> AddWebhookEvents(storage::SqlSession& session, const std::vector<OutboxEvent>& events,
                              WallTime now) {
  for (const OutboxEvent& event : events) {
    MEZZO_TRY_VOID(
        session.Run("INSERT INTO job_outbox (id, job_id, tenant, event, body, url, endpoint, secret, state, "
                    "created_us, due_us, "
                    "tries, last_answer) VALUES ($1, $2, $3, $4, $5, $6, $7, '', 'pending', $8, $8, 0, '')",
                    {event.id, event.subject, event.tenant.str(), event.type, event.body, event.url,
                     EndpointKey(event.tenant, event.url), internal::ToMicros(now)}));
  }
  return {};
}

}  // namespace mezzo::jobs
