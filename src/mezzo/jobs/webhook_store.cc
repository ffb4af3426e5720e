#include "mezzo/jobs/webhook_store.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/jobs/internal/job_sql.h"
#include "mezzo/jobs/internal/sql_time.h"

namespace mezzo::jobs {
namespace {

using internal::FromMicros;
using internal::IdsOf;
using internal::ToMicros;
using storage::SqlDialect;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlStatement;
using storage::SqlValue;

constexpr std::array<std::string_view, 4> kStateNames = {"pending", "delivered", "failed", "gone"};

/// Rows that a claim looks at of each endpoint: more than it takes, for those whose URLs are gone.
constexpr std::int64_t kRowsOfEndpoint = 32;

/// The endpoints with due events, the longest waiting first; $1 is the time, $2 the closed prefixes, $3 the
/// limit. Jumps from one endpoint to the next in the index ("loose index scan", PostgreSQL wiki), however
/// many events each has.
std::string_view EndpointsSql(SqlDialect dialect) {
  static const auto make = [](std::string_view closed) {
    return "WITH RECURSIVE e(endpoint) AS ("
           "SELECT (SELECT MIN(endpoint) FROM job_outbox WHERE state = 'pending') UNION ALL "
           "SELECT (SELECT MIN(n.endpoint) FROM job_outbox AS n WHERE n.state = 'pending' AND n.endpoint > "
           "e.endpoint) FROM e WHERE e.endpoint IS NOT NULL) "
           "SELECT w.endpoint FROM (SELECT e.endpoint, (SELECT MIN(o.due_us) FROM job_outbox AS o WHERE "
           "o.state = "
           "'pending' AND o.endpoint = e.endpoint) AS due_us FROM e WHERE e.endpoint IS NOT NULL) AS w "
           "WHERE w.due_us <= $1 AND NOT EXISTS (SELECT 1 FROM " +
           std::string(closed) +
           " WHERE substr(w.endpoint, 1, length(c.prefix)) = c.prefix) ORDER BY w.due_us LIMIT $3";
  };
  static const std::string postgres = make("unnest($2::text[]) AS c(prefix)");
  static const std::string sqlite = make("(SELECT value AS prefix FROM json_each($2)) AS c");
  return dialect == SqlDialect::kPostgres ? postgres : sqlite;
}

/// The due events of endpoint $1, at time $2. SQLite has one writer, so nothing needs locks there.
std::string_view HeadSql(SqlDialect dialect) {
  static const std::string sqlite =
      "SELECT o.id, o.tenant, o.url, EXISTS (SELECT 1 FROM job_webhook_gone AS g WHERE g.tenant = o.tenant "
      "AND "
      "g.url = o.url) FROM job_outbox AS o WHERE o.state = 'pending' AND o.endpoint = $1 AND o.due_us <= $2 "
      "ORDER BY o.due_us LIMIT $3";
  static const std::string postgres = sqlite + " FOR UPDATE OF o SKIP LOCKED";
  return dialect == SqlDialect::kPostgres ? postgres : sqlite;
}

/// `update` of the rows whose ids are $1.
std::string OfIds(std::string_view update, SqlDialect dialect) {
  return std::string(update) + (dialect == SqlDialect::kPostgres
                                    ? " WHERE id = ANY($1::text[])"
                                    : " WHERE id IN (SELECT value FROM json_each($1))");
}

constexpr std::string_view kMark =
    "UPDATE job_outbox SET state = $4, due_us = $5, last_answer = $6, host = NULL "
    "WHERE id = $1 AND tries = $2 AND first_try = $3 AND state = 'pending' RETURNING tenant, url";

constexpr std::string_view kAddGone =
    "INSERT INTO job_webhook_gone (tenant, url, since_us) VALUES ($1, $2, $3) "
    "ON CONFLICT (tenant, url) DO UPDATE SET since_us = excluded.since_us";

WebhookState StateAfter(WebhookVerdict verdict) {
  switch (verdict) {
    case WebhookVerdict::kDelivered:
      return WebhookState::kDelivered;
    case WebhookVerdict::kRetry:
      return WebhookState::kPending;
    case WebhookVerdict::kFailed:
      return WebhookState::kFailed;
    case WebhookVerdict::kGone:
      return WebhookState::kGone;
  }
  return WebhookState::kFailed;
}

DueWebhook DueAt(const SqlRows& rows, std::size_t row) {
  return {
      .fence = {.id = WebhookId(rows.Text(row, 0)), .tries = rows.Int(row, 1), .first_try = rows.Int(row, 2)},
      .job = JobId(rows.Text(row, 3)),
      .tenant = TenantId(rows.Text(row, 4)),
      .body = rows.Text(row, 5),
      .url = rows.Text(row, 6),
      .secret = rows.Text(row, 7)};
}

}  // namespace

std::string_view WebhookStateName(WebhookState state) {
  return kStateNames.at(static_cast<std::size_t>(state));
}

Result<WebhookState> ParseWebhookState(std::string_view text) {
  const auto* const found = std::find(kStateNames.begin(), kStateNames.end(), text);
  if (found == kStateNames.end()) {
    return InvalidArgument("webhook_state_unknown",
                           "'" + Printable(text) + "' is not pending, delivered, failed or gone");
  }
  return static_cast<WebhookState>(found - kStateNames.begin());
}

WebhookStore::WebhookStore(Options options, storage::SqlDb& db, const Clock& clock)
    : options_(options), db_(db), clock_(clock) {}

Result<void> WebhookStore::Plan(SqlSession& session, WebhookSlots slots, WallTime now, Claimed& claimed,
                                std::vector<std::string>& taken) const {
  const std::size_t most = slots.free();
  MEZZO_TRY(const SqlRows endpoints,
            session.Run(EndpointsSql(db_.dialect()),
                        {ToMicros(now), slots.Closed(), static_cast<std::int64_t>(most)}));
  std::vector<SqlStatement> heads;
  heads.reserve(endpoints.size());
  for (std::size_t row = 0; row < endpoints.size(); ++row) {
    heads.push_back(
        {.sql = HeadSql(db_.dialect()), .params = {endpoints.Text(row, 0), ToMicros(now), kRowsOfEndpoint}});
  }
  MEZZO_TRY(const std::vector<SqlRows> found, session.RunAll(heads));
  claimed.more = endpoints.size() == most;
  for (const SqlRows& head : found) {
    for (std::size_t row = 0; row < head.size(); ++row) {
      if (head.Int(row, 3) != 0) {
        claimed.gone.emplace_back(head.Text(row, 0));
      } else if (slots.TryTake(TenantId(head.Text(row, 1)), head.Text(row, 2))) {
        taken.push_back(head.Text(row, 0));
      } else {
        claimed.more = true;
      }
    }
    claimed.more = claimed.more || head.size() == static_cast<std::size_t>(kRowsOfEndpoint);
  }
  return {};
}

Result<WebhookStore::Claimed> WebhookStore::Claim(const HostId& host, const WebhookSlots& slots,
                                                  TimePoint deadline) {
  static constexpr std::string_view kLease =
      "UPDATE job_outbox SET tries = tries + 1, host = $2, due_us = $3";
  static constexpr std::string_view kColumns =
      " RETURNING id, tries, first_try, job_id, tenant, body, url, secret";
  static constexpr std::string_view kClose =
      "UPDATE job_outbox SET state = 'gone', last_answer = 'the URL had answered HTTP 410'";
  Claimed claimed;
  if (slots.free() == 0) return claimed;
  const std::string lease = OfIds(kLease, db_.dialect()) + std::string(kColumns);
  const std::string close = OfIds(kClose, db_.dialect());
  const auto work = [&](SqlSession& session) -> Result<void> {
    const WallTime now = clock_.WallNow();
    claimed = {};
    std::vector<std::string> taken;
    MEZZO_TRY_VOID(Plan(session, slots, now, claimed, taken));
    if (!claimed.gone.empty()) {
      std::vector<std::string> ids;
      ids.reserve(claimed.gone.size());
      for (const WebhookId& id : claimed.gone) ids.push_back(id.str());
      MEZZO_TRY_VOID(session.Run(close, {std::move(ids)}));
    }
    if (taken.empty()) return {};
    MEZZO_TRY(const SqlRows leased,
              session.Run(lease, {std::move(taken), host.str(), ToMicros(now + options_.lease)}));
    for (std::size_t row = 0; row < leased.size(); ++row) claimed.due.push_back(DueAt(leased, row));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return claimed;
}

Result<bool> WebhookStore::Mark(const WebhookFence& fence, const WebhookSchedule::Decision& decision,
                                const std::string& answer, TimePoint deadline) {
  bool held = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    const WallTime now = clock_.WallNow();
    MEZZO_TRY(const SqlRows marked,
              session.Run(kMark, {fence.id.str(), fence.tries, fence.first_try,
                                  std::string(WebhookStateName(StateAfter(decision.verdict))),
                                  ToMicros(now + decision.delay), answer}));
    held = !marked.empty();
    if (!held || decision.verdict != WebhookVerdict::kGone) return {};
    MEZZO_TRY_VOID(session.Run(kAddGone, {marked.Text(0, 0), marked.Text(0, 1), ToMicros(now)}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return held;
}

Result<WebhookStore::Page> WebhookStore::List(const ListRequest& request, TimePoint deadline) {
  std::string sql =
      "SELECT id, job_id, event, url, state, created_us, due_us, tries, last_answer FROM job_outbox "
      "WHERE tenant = $1";
  std::vector<SqlValue> params = {request.tenant.str()};
  const auto add = [&](std::string_view condition, std::string value) {
    params.emplace_back(std::move(value));
    sql += std::string(condition) + "$" + std::to_string(params.size());
  };
  if (request.state) add(" AND state = ", std::string(WebhookStateName(*request.state)));
  if (!request.job.empty()) add(" AND job_id = ", request.job.str());
  if (!request.after.empty()) add(" AND id < ", request.after.str());
  params.emplace_back(static_cast<std::int64_t>(request.limit + 1));
  sql += " ORDER BY id DESC LIMIT $" + std::to_string(params.size());
  Page page;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows, session.Run(sql, params));
    page = {};
    page.has_more = rows.size() > request.limit;
    for (std::size_t row = 0; row < std::min(rows.size(), request.limit); ++row) {
      MEZZO_TRY(const WebhookState state, ParseWebhookState(rows.Text(row, 4)));
      WebhookEvent event{.id = WebhookId(rows.Text(row, 0)),
                         .job = JobId(rows.Text(row, 1)),
                         .type = rows.Text(row, 2),
                         .url = rows.Text(row, 3),
                         .state = state,
                         .created = FromMicros(rows.Int(row, 5)),
                         .tries = rows.Int(row, 7),
                         .last_answer = rows.Text(row, 8)};
      if (state == WebhookState::kPending) event.due = FromMicros(rows.Int(row, 6));
      page.events.push_back(std::move(event));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return page;
}

Result<void> WebhookStore::Replay(const TenantId& tenant, const WebhookId& id, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(
        const SqlRows opened,
        session.Run("UPDATE job_outbox SET state = 'pending', due_us = $3, first_try = tries, host = NULL "
                    "WHERE id = $1 AND tenant = $2 RETURNING url",
                    {id.str(), tenant.str(), ToMicros(clock_.WallNow())}));
    if (opened.empty())
      return NotFound("webhook_unknown", "there is no webhook event '" + Printable(id.str()) + "'");
    MEZZO_TRY_VOID(session.Run("DELETE FROM job_webhook_gone WHERE tenant = $1 AND url = $2",
                               {tenant.str(), opened.Text(0, 0)}));
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<WebhookStore::Backlog> WebhookStore::Due(std::size_t limit, TimePoint deadline) {
  Backlog backlog;
  const auto work = [&](SqlSession& session) -> Result<void> {
    const WallTime now = clock_.WallNow();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT COUNT(*), MIN(due_us) FROM (SELECT due_us FROM job_outbox "
                          "WHERE state = 'pending' AND due_us <= $1 ORDER BY due_us LIMIT $2) AS waiting",
                          {ToMicros(now), static_cast<std::int64_t>(limit)}));
    backlog = {.due = static_cast<std::size_t>(rows.Int(0, 0))};
    if (const auto oldest = internal::TimeAt(rows, 0, 1)) backlog.oldest_wait = now - *oldest;
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return backlog;
}

Result<std::size_t> WebhookStore::Prune(Duration age, std::size_t limit, TimePoint deadline) {
  const std::string events =
      "DELETE FROM job_outbox WHERE " +
      IdsOf("SELECT id FROM job_outbox WHERE state <> 'pending' AND created_us < $1 LIMIT $2", db_.dialect());
  std::size_t pruned = 0;
  const auto work = [&](SqlSession& session) -> Result<void> {
    const std::int64_t before = ToMicros(clock_.WallNow() - age);
    MEZZO_TRY(const SqlRows deleted, session.Run(events, {before, static_cast<std::int64_t>(limit)}));
    pruned = static_cast<std::size_t>(deleted.affected());
    MEZZO_TRY_VOID(
        session.Run("DELETE FROM job_webhook_gone WHERE (tenant, url) IN (SELECT tenant, url FROM "
                    "job_webhook_gone WHERE since_us < $1 LIMIT $2)",
                    {before, static_cast<std::int64_t>(limit)}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return pruned;
}

}  // namespace mezzo::jobs
