#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/jobs/internal/outbox_rows.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs::internal {

/// "id is among those that `select` finds", for an UPDATE of jobs. On PostgreSQL the rows are locked, those
/// that others have locked are left out, and the list is made once (a subquery under IN may run again and
/// again).
std::string IdsOf(std::string_view select, storage::SqlDialect dialect);

/// Tells listeners of `channel` about these jobs when the transaction commits; nothing when there are none.
Result<void> Tell(storage::SqlSession& session, std::string_view channel,
                  const std::vector<std::string>& ids);

/// What RETURNING gives of jobs that end, and the rows as such.
inline constexpr std::string_view kEndedColumns =
    "jobs.id, jobs.tenant, jobs.kind, jobs.model, jobs.state, jobs.attempt, jobs.result, jobs.error_reason, "
    "jobs.error_message, jobs.webhook_url, jobs.webhook_secret, COALESCE(jobs.project, ''), "
    "COALESCE(jobs.key_id, '')";
EndedJob EndedAt(const storage::SqlRows& rows, std::size_t row);

}  // namespace mezzo::jobs::internal
