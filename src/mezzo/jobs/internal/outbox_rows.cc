#include "mezzo/jobs/internal/outbox_rows.h"

#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/jobs/internal/bulk.h"
#include "mezzo/jobs/internal/sql_time.h"
#include "mezzo/jobs/webhook_slots.h"

namespace mezzo::jobs::internal {
namespace {

constexpr std::size_t kMaxResultBytes = std::size_t{16} << 10;

const BulkStatement& InsertEvents() {
  static const BulkStatement statement(
      "INSERT INTO job_outbox (id, job_id, tenant, event, body, url, endpoint, secret, state, created_us, "
      "due_us, tries, last_answer) SELECT {id}, {job}, {tenant}, {event}, {body}, {url}, {endpoint}, "
      "{secret}, "
      "'pending', $1, $1, 0, '' {rows}",
      1, {{"id"}, {"job"}, {"tenant"}, {"event"}, {"body"}, {"url"}, {"endpoint"}, {"secret"}});
  return statement;
}

}  // namespace

std::string Iso8601(WallTime time) {
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(millis / 1000)),
                     millis % 1000);
}

std::string WebhookBody(const EndedJob& job, WallTime now) {
  nlohmann::ordered_json data = {{"id", job.id.str()},
                                 {"kind", job.kind},
                                 {"model", job.model},
                                 {"status", StateName(job.state)},
                                 {"attempt", job.attempt}};
  if (job.error) data["error"] = {{"code", job.error->reason}, {"message", job.error->message}};
  if (job.state == JobState::kSucceeded) {
    auto result = nlohmann::ordered_json::parse(job.result, nullptr, false);
    const bool fits = !result.is_discarded() && job.result.size() <= kMaxResultBytes;
    if (fits) {
      data["result"] = std::move(result);
    } else {
      data["result_omitted"] = true;
    }
  }
  const nlohmann::ordered_json body = {{"type", "job." + std::string(StateName(job.state))},
                                       {"timestamp", Iso8601(now)},
                                       {"data", std::move(data)}};
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<void> AddWebhooks(storage::SqlSession& session, storage::SqlDialect dialect,
                         const std::vector<EndedJob>& jobs, WallTime now) {
  std::vector<std::string> ids;
  std::vector<std::string> job_ids;
  std::vector<std::string> tenants;
  std::vector<std::string> events;
  std::vector<std::string> bodies;
  std::vector<std::string> urls;
  std::vector<std::string> endpoints;
  std::vector<std::string> secrets;
  for (const EndedJob& job : jobs) {
    if (job.webhook_url.empty()) continue;
    ids.push_back("evt_" + job.id.str() + "_" + std::string(StateName(job.state)));
    job_ids.push_back(job.id.str());
    tenants.push_back(job.tenant.str());
    events.push_back("job." + std::string(StateName(job.state)));
    bodies.push_back(WebhookBody(job, now));
    urls.push_back(job.webhook_url);
    endpoints.push_back(EndpointKey(job.tenant, job.webhook_url));
    secrets.push_back(job.webhook_secret);
  }
  if (ids.empty()) return {};
  MEZZO_TRY(
      const storage::SqlRows inserted,
      InsertEvents().Run(session, dialect, {ToMicros(now)},
                         {std::move(ids), std::move(job_ids), std::move(tenants), std::move(events),
                          std::move(bodies), std::move(urls), std::move(endpoints), std::move(secrets)}));
  static_cast<void>(inserted);
  return {};
}

}  // namespace mezzo::jobs::internal
