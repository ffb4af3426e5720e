#include "mezzo/jobs/internal/job_sql.h"

#include "mezzo/base/check.h"
#include "mezzo/jobs/internal/sql_time.h"

namespace mezzo::jobs::internal {
namespace {

/// A notification carries at most this; a longer list becomes "look at all".
constexpr std::size_t kMaxPayload = 3900;

std::string Payload(const std::vector<std::string>& ids) {
  std::string text;
  for (const std::string& id : ids) {
    if (text.size() + id.size() + 1 > kMaxPayload) return {};
    if (!text.empty()) text += ' ';
    text += id;
  }
  return text;
}

}  // namespace

std::string IdsOf(std::string_view select, storage::SqlDialect dialect) {
  if (dialect == storage::SqlDialect::kPostgres) {
    return "id = ANY(ARRAY(" + std::string(select) + " FOR UPDATE SKIP LOCKED))";
  }
  return "id IN (" + std::string(select) + ")";
}

Result<void> Tell(storage::SqlSession& session, std::string_view channel,
                  const std::vector<std::string>& ids) {
  if (ids.empty()) return {};
  const std::string payload = Payload(ids);
  return session.Notify({.channel = channel, .payload = payload});
}

EndedJob EndedAt(const storage::SqlRows& rows, std::size_t row) {
  EndedJob job;
  job.id = JobId(rows.Text(row, 0));
  job.tenant = TenantId(rows.Text(row, 1));
  job.kind = rows.Text(row, 2);
  job.model = rows.Text(row, 3);
  const Result<JobState> state = ParseState(rows.Text(row, 4));
  MEZZO_CHECK(state.ok());
  job.state = *state;
  job.attempt = rows.Int(row, 5);
  job.result = rows.Text(row, 6);
  if (!rows.IsNull(row, 7))
    job.error = JobError{.reason = rows.Text(row, 7), .message = TextAt(rows, row, 8)};
  job.webhook_url = TextAt(rows, row, 9);
  job.webhook_secret = TextAt(rows, row, 10);
  job.project = ProjectId(rows.Text(row, 11));
  job.key = KeyId(rows.Text(row, 12));
  return job;
}

}  // namespace mezzo::jobs::internal
