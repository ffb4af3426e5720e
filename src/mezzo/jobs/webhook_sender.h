#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/jobs/webhook_metrics.h"
#include "mezzo/jobs/webhook_schedule.h"
#include "mezzo/jobs/webhook_slots.h"
#include "mezzo/jobs/webhook_store.h"
#include "mezzo/net/http_client.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs {

/// Sends the webhooks that are due, as every host does: at least once each, with the same webhook-id at every
/// try, so that receivers can tell.
///
/// Threads of its own: one that claims, woken by the ends of jobs and by a poll, and one for each event that
/// is being sent. No claimed event waits for a thread. Thread-safe.
class WebhookSender {
 public:
  struct Options {
    WebhookSlots::Options slots;
    WebhookSchedule schedule;
    Duration timeout = std::chrono::seconds(20);       ///< Of one try, from the name's look-up to the answer.
    Duration poll = std::chrono::seconds(1);           ///< Looks for due events without being told.
    Duration retention = std::chrono::hours(24 * 30);  ///< Then events that have ended are deleted.
    net::AddressGuard::Reach reach = net::AddressGuard::Reach::kPublic;
    bool allow_http = false;  ///< Otherwise https only.
    std::string ca_file;      ///< Instead of the system's trust store.
  };
  /// A body must stay below the 20 kB of Standard Webhooks.
  static constexpr std::size_t kMaxBodyBytes = 20'000;

  /// A tenant's secrets, the newest first; several while they are rotated, none when there are none. Called
  /// on many threads at once.
  using SecretsOf = std::function<std::vector<std::string>(const TenantId&)>;
  /// All outlive the sender. `clock` is real; the lease of `store` must be at least twice the timeout.
  struct Ports {
    WebhookStore& store;
    storage::SqlDb& db;
    const Clock& clock;
    observe::Logger& log;
    WebhookMetrics& metrics;
    SecretsOf secrets_of;  ///< For events that carry no secret of their own.
  };
  WebhookSender(Options options, HostId host, Ports ports);
  /// Calls Stop() without patience, then waits for the tries that still run: Options::timeout at most.
  ~WebhookSender();
  WebhookSender(const WebhookSender&) = delete;
  WebhookSender& operator=(const WebhookSender&) = delete;

  void Start() EXCLUDES(mu_);
  /// There may be due events: look now.
  void Poke() EXCLUDES(mu_);
  /// Claims no more and waits up to `limit` for running tries to end and be marked. False when some still
  /// run; an event whose try is not marked is sent again after its lease.
  bool Stop(Duration limit) EXCLUDES(mu_);

 private:
  /// How a try ended.
  struct Outcome {
    WebhookSchedule::Decision decision;
    std::string reason;  ///< "http_4xx" or the slug of an error: for metrics and logs.
    std::string answer;  ///< For the tenant.
  };

  void ClaimLoop() EXCLUDES(mu_);
  /// False when the database did not answer.
  bool ClaimOnce() EXCLUDES(mu_);
  void KeepHouse() EXCLUDES(mu_);
  void Prune() EXCLUDES(mu_);
  /// At least for `pause`, then until there may be something to claim.
  void Await(Duration pause) EXCLUDES(mu_);

  void Deliver(const DueWebhook& due) EXCLUDES(mu_);
  Result<net::ClientResponse> Try(const DueWebhook& due, TimePoint deadline);
  [[nodiscard]] Result<net::ClientRequest> MakeRequest(const DueWebhook& due) const;
  [[nodiscard]] Outcome Judge(const DueWebhook& due, const Result<net::ClientResponse>& response) const;
  /// Until the database takes it, the lease ends, or Stop()'s patience does.
  void Mark(const DueWebhook& due, const Outcome& outcome, TimePoint lease_end) EXCLUDES(mu_);
  void Log(const DueWebhook& due, const Outcome& outcome) const;
  /// False, at once, when `end` or the end of Stop()'s patience comes first.
  bool Pause(Duration pause, TimePoint end) EXCLUDES(mu_);
  [[nodiscard]] bool stopping() const EXCLUDES(mu_);

  const Options options_;
  const HostId host_;
  const Ports ports_;
  net::HttpClient client_;
  TimePoint next_count_{};  // Of KeepHouse(): the claiming thread's, like the next.
  TimePoint next_prune_{};

  mutable Mutex mu_;
  CondVar changed_;
  WebhookSlots slots_ GUARDED_BY(mu_);
  bool poked_ GUARDED_BY(mu_) = false;
  bool left_behind_ GUARDED_BY(mu_) = false;  // The last claim left events for want of slots.
  bool stopping_ GUARDED_BY(mu_) = false;
  TimePoint give_up_ GUARDED_BY(mu_) = kNever;

  std::shared_ptr<void> subscription_;
  runtime::BlockingPool pool_;
  std::thread claim_thread_;  // Last: it uses everything above.
};

}  // namespace mezzo::jobs
