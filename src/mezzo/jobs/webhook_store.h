#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/jobs/job.h"
#include "mezzo/jobs/webhook_schedule.h"
#include "mezzo/jobs/webhook_slots.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs {

/// Of an event: the header webhook-id, the same at every try.
using WebhookId = StrongId<struct WebhookIdTag>;

/// Longer URLs are never sent to: a URL is a key of the database where it is gone.
inline constexpr std::size_t kMaxWebhookUrlBytes = 2048;

/// Legal transitions:
///
///     pending → delivered | failed | gone
///     delivered, failed, gone → pending   by Replay()
enum class WebhookState : std::uint8_t { kPending, kDelivered, kFailed, kGone };
/// "pending", "delivered", "failed", "gone".
std::string_view WebhookStateName(WebhookState state);
/// Fails with kInvalidArgument "webhook_state_unknown".
Result<WebhookState> ParseWebhookState(std::string_view text);

/// What a write must hold to count: the event, pending, at this very try of this very round.
struct WebhookFence {
  WebhookId id;
  std::int64_t tries = 0;      ///< Begun ever, this one included.
  std::int64_t first_try = 0;  ///< Tries before the newest replay.
};

/// An event that this host sends now.
struct DueWebhook {
  WebhookFence fence;
  JobId job;
  TenantId tenant;
  std::string body;
  std::string url;
  std::string secret;  ///< Empty: the tenant's.
  /// 1 for the first try of the round.
  [[nodiscard]] std::int64_t round_tries() const { return fence.tries - fence.first_try; }
};

/// An event as its tenant sees it.
struct WebhookEvent {
  WebhookId id;
  JobId job;
  std::string type;  ///< "job.succeeded" and so on.
  std::string url;
  WebhookState state = WebhookState::kPending;
  WallTime created;
  std::optional<WallTime> due;  ///< Of a pending one: the next try, or the end of the lease of this one.
  std::int64_t tries = 0;
  std::string last_answer;  ///< "HTTP 503" or why none came; empty before the first try.
};

/// The outbox of webhooks, as the queue has filled it (internal/outbox_rows.h). Each method is one
/// transaction. Blocks. Thread-safe; many hosts share one database.
///
/// Errors beyond those named: SqlDb's.
class WebhookStore {
 public:
  struct Options {
    /// A claimed event that is not marked by then is sent again. Longer than a send and its mark may take.
    Duration lease = std::chrono::seconds(60);
  };
  /// `db` and `clock` outlive the store. Hosts' wall clocks should agree to well within a lease.
  WebhookStore(Options options, storage::SqlDb& db, const Clock& clock);

  struct Claimed {
    std::vector<DueWebhook> due;
    std::vector<WebhookId> gone;  ///< Closed unsent: their URLs had answered 410.
    bool more = false;            ///< There may be others that are due and not closed.
  };
  /// Leases events whose time has come, as many as `slots` has room for, each with a new try: from endpoint
  /// to endpoint, the one that has waited longest first.
  Result<Claimed> Claim(const HostId& host, const WebhookSlots& slots, TimePoint deadline);

  /// How a try ended. False when the fence did not hold: nothing was changed. Again with the same fence and
  /// outcome it has no further effect. `answer` is shown to the tenant.
  Result<bool> Mark(const WebhookFence& fence, const WebhookSchedule::Decision& decision,
                    const std::string& answer, TimePoint deadline);

  struct ListRequest {
    TenantId tenant;
    std::optional<WebhookState> state;
    JobId job;        ///< Empty: any.
    WebhookId after;  ///< The last id of the page before; empty: the first page.
    std::size_t limit = 20;
  };
  struct Page {
    std::vector<WebhookEvent> events;  ///< Newest first.
    bool has_more = false;
  };
  Result<Page> List(const ListRequest& request, TimePoint deadline);

  /// Sends an event once more, from the first try of the schedule on and with the same id, whatever became of
  /// it; also opens its URL when that was gone. kNotFound "webhook_unknown" also for another tenant's event.
  Result<void> Replay(const TenantId& tenant, const WebhookId& id, TimePoint deadline);

  struct Backlog {
    std::size_t due = 0;        ///< Waiting for a sender, at most the limit.
    Duration oldest_wait = {};  ///< Since the oldest of them became due.
  };
  Result<Backlog> Due(std::size_t limit, TimePoint deadline);

  /// Deletes up to `limit` events that ended and are older than `age`, and forgets up to `limit` URLs that
  /// have been gone for so long. How many events it deleted.
  Result<std::size_t> Prune(Duration age, std::size_t limit, TimePoint deadline);

  [[nodiscard]] const Options& options() const { return options_; }

 private:
  Result<void> Plan(storage::SqlSession& session, WebhookSlots slots, WallTime now, Claimed& claimed,
                    std::vector<std::string>& taken) const;

  const Options options_;
  storage::SqlDb& db_;
  const Clock& clock_;
};

}  // namespace mezzo::jobs
