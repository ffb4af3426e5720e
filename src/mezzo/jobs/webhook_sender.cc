#include "mezzo/jobs/webhook_sender.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/jobs/job_store.h"
#include "mezzo/jobs/webhook_signer.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::jobs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kStoreTimeout = seconds(10);
constexpr Duration kMarkPause = milliseconds(500);  // After a mark that the database did not take.
constexpr Duration kLeastClaimPause = milliseconds(1);
constexpr Duration kCountInterval = seconds(10);
constexpr std::size_t kCountLimit = 100'000;
constexpr Duration kPruneInterval = std::chrono::minutes(10);
constexpr std::size_t kPruneLimit = 1000;
constexpr std::size_t kMaxAnswerBytes = 256;
constexpr std::size_t kMaxResponseBytes = std::size_t{1} << 20;

/// Uniform in [0, 1).
double Random() { return static_cast<double>(RandomUint64() >> 11) * 0x1p-53; }

net::HttpClient::Options ClientOptions(const WebhookSender::Options& options) {
  return {.reach = options.reach,
          .allow_http = options.allow_http,
          .total_timeout = options.timeout,
          .max_response_bytes = kMaxResponseBytes,
          .max_idle_handles = options.slots.total,
          .ca_file = options.ca_file,
          .user_agent = "mezzo-webhooks"};
}

/// "http_4xx".
std::string StatusClass(int status) { return "http_" + std::to_string(status / 100) + "xx"; }

bool MayPass(const Error& error) { return error.IsRetryable() || error.code() == Code::kDeadlineExceeded; }

}  // namespace

WebhookSender::WebhookSender(Options options, HostId host, Ports ports)
    : options_(std::move(options)),
      host_(std::move(host)),
      ports_(std::move(ports)),
      client_(ClientOptions(options_), ports_.clock),
      slots_(options_.slots),
      pool_({.name = "webhooks", .threads = options_.slots.total, .max_queued = options_.slots.total}) {
  MEZZO_CHECK(ports_.store.options().lease >= 2 * options_.timeout);
}

WebhookSender::~WebhookSender() { Stop(Duration::zero()); }

void WebhookSender::Start() {
  subscription_ = ports_.db.Listen(std::string(kChangedChannel), [this](std::string_view) { Poke(); });
  claim_thread_ = std::thread([this] { ClaimLoop(); });
}

void WebhookSender::Poke() {
  MutexLock lock(mu_);
  poked_ = true;
  changed_.NotifyAll();
}

bool WebhookSender::Stop(Duration limit) {
  {
    MutexLock lock(mu_);
    if (!stopping_) give_up_ = AddSaturating(ports_.clock.Now(), limit);
    stopping_ = true;
    changed_.NotifyAll();
  }
  subscription_.reset();
  if (claim_thread_.joinable()) claim_thread_.join();
  MutexLock lock(mu_);
  while (slots_.taken() > 0 && ports_.clock.Now() < give_up_) changed_.WaitUntil(mu_, give_up_);
  return slots_.taken() == 0;
}

bool WebhookSender::stopping() const {
  MutexLock lock(mu_);
  return stopping_;
}

void WebhookSender::ClaimLoop() {
  runtime::SetThreadName("webhook-claims");
  while (!stopping()) {
    const TimePoint begin = ports_.clock.Now();
    const bool answered = ClaimOnce();
    // At most a fifth of the time goes into claims, however slow they are.
    const Duration pause =
        std::clamp<Duration>(4 * (ports_.clock.Now() - begin), kLeastClaimPause, options_.poll);
    KeepHouse();
    Await(answered ? pause : options_.poll);
  }
}

bool WebhookSender::ClaimOnce() {
  std::optional<WebhookSlots> slots;
  {
    MutexLock lock(mu_);
    poked_ = false;
    slots_.EndPauses(ports_.clock.Now());
    slots.emplace(slots_);
  }
  auto claimed = ports_.store.Claim(host_, *slots, ports_.clock.Now() + kStoreTimeout);
  if (!claimed.ok()) {
    ports_.metrics.store_failures.Add();
    ports_.log.Limited("webhook_claim")
        .Warn("webhooks could not be claimed", {{"reason", claimed.error().message()}});
    return false;
  }
  for (const WebhookId& id : claimed->gone) {
    ports_.metrics.closed_unsent.Add();
    ports_.log.Info("webhook closed unsent: its URL is gone", {{"webhook", id}});
  }
  {
    MutexLock lock(mu_);
    left_behind_ = claimed->more || slots->free() == 0 || !slots->Closed().empty();
    poked_ = poked_ || claimed->more;
    for (const DueWebhook& due : claimed->due) MEZZO_CHECK(slots_.TryTake(due.tenant, due.url));
    ports_.metrics.in_flight.Set(static_cast<double>(slots_.taken()));
  }
  for (DueWebhook& due : claimed->due)
    MEZZO_CHECK(pool_.TrySubmit([this, due = std::move(due)] { Deliver(due); }));
  return true;
}

void WebhookSender::Await(Duration pause) {
  const TimePoint now = ports_.clock.Now();
  const TimePoint earliest = now + pause;
  MutexLock lock(mu_);
  while (!stopping_ && ports_.clock.Now() < earliest) changed_.WaitUntil(mu_, earliest);
  while (!stopping_ && ports_.clock.Now() < now + options_.poll && !(poked_ && slots_.free() > 0))
    changed_.WaitUntil(mu_, now + options_.poll);
}

void WebhookSender::KeepHouse() {
  const TimePoint now = ports_.clock.Now();
  if (now >= next_count_) {
    next_count_ = now + kCountInterval;
    if (const auto backlog = ports_.store.Due(kCountLimit, now + kStoreTimeout); backlog.ok()) {
      ports_.metrics.due.Set(static_cast<double>(backlog->due));
      ports_.metrics.oldest_wait.Set(Seconds(backlog->oldest_wait));
    } else {
      ports_.metrics.store_failures.Add();
    }
  }
  if (now < next_prune_) return;
  next_prune_ = now + kPruneInterval;
  Prune();
}

void WebhookSender::Prune() {
  std::size_t pruned = kPruneLimit;
  while (pruned == kPruneLimit && !stopping()) {
    const auto done = ports_.store.Prune(options_.retention, kPruneLimit, ports_.clock.Now() + kStoreTimeout);
    if (!done.ok()) {
      ports_.metrics.store_failures.Add();
      ports_.log.Limited("webhook_prune")
          .Warn("old webhooks could not be deleted", {{"reason", done.error().message()}});
      return;
    }
    pruned = *done;
    ports_.metrics.pruned.Add(pruned);
  }
}

void WebhookSender::Deliver(const DueWebhook& due) {
  const TimePoint begin = ports_.clock.Now();
  const auto response = Try(due, begin + options_.timeout);
  ports_.metrics.send_seconds.Observe(ports_.clock.Now() - begin);
  const Outcome outcome = Judge(due, response);
  if (outcome.decision.verdict != WebhookVerdict::kDelivered) ports_.metrics.Failed(outcome.reason);
  Mark(due, outcome, begin + ports_.store.options().lease);

  MutexLock lock(mu_);
  slots_.GiveBack(due.tenant, due.url);
  if (outcome.decision.pause > Duration::zero())
    slots_.Pause(due.tenant, due.url, ports_.clock.Now() + outcome.decision.pause);
  ports_.metrics.in_flight.Set(static_cast<double>(slots_.taken()));
  poked_ = poked_ || left_behind_;
  changed_.NotifyAll();
}

WebhookSender::Outcome WebhookSender::Judge(const DueWebhook& due,
                                            const Result<net::ClientResponse>& response) const {
  if (response.ok()) {
    const auto wait = ParseRetryAfter(response->Header("retry-after"), ports_.clock.WallNow());
    return {.decision = options_.schedule.OnStatus(response->status, wait, due.round_tries(), Random()),
            .reason = StatusClass(response->status),
            .answer = "HTTP " + std::to_string(response->status)};
  }
  const Error& error = response.error();
  return {.decision = options_.schedule.OnError(error, due.round_tries(), Random()),
          .reason = error.reason(),
          .answer = Printable(error.reason() + ": " + error.message(), kMaxAnswerBytes)};
}

Result<net::ClientResponse> WebhookSender::Try(const DueWebhook& due, TimePoint deadline) {
  // The senders of the last tries have gone without a mark.
  if (due.round_tries() > WebhookSchedule::kMaxTries)
    return ResourceExhausted("webhook_tries_used", "no try was left");
  MEZZO_TRY(const net::ClientRequest request, MakeRequest(due));
  return client_.Send(request, deadline);
}

Result<net::ClientRequest> WebhookSender::MakeRequest(const DueWebhook& due) const {
  if (due.url.size() > kMaxWebhookUrlBytes) {
    return InvalidArgument("webhook_url_too_long", "the URL has " + std::to_string(due.url.size()) +
                                                       " bytes, allowed are " +
                                                       std::to_string(kMaxWebhookUrlBytes));
  }
  if (due.body.size() > kMaxBodyBytes) {
    return InvalidArgument("webhook_body_too_large", "the body has " + std::to_string(due.body.size()) +
                                                         " bytes, allowed are " +
                                                         std::to_string(kMaxBodyBytes));
  }
  const std::vector<std::string> secrets =
      due.secret.empty() ? ports_.secrets_of(due.tenant) : std::vector<std::string>{due.secret};
  Result<WebhookSigner> signer = WebhookSigner::Create(secrets);
  if (!signer.ok()) {
    // A tenant can mend its secrets while there are tries; an event can't change its own.
    if (due.secret.empty()) return FailedPrecondition(signer.error().reason(), signer.error().message());
    return std::move(signer).error();
  }
  net::ClientRequest request{.method = "POST", .url = due.url, .body = due.body};
  request.headers = signer->Sign(due.fence.id.str(), ports_.clock.WallNow(), due.body);
  request.headers.emplace_back("content-type", "application/json");
  return request;
}

void WebhookSender::Mark(const DueWebhook& due, const Outcome& outcome, TimePoint lease_end) {
  while (true) {
    const auto held =
        ports_.store.Mark(due.fence, outcome.decision, outcome.answer, ports_.clock.Now() + kStoreTimeout);
    if (held.ok() && *held) {
      ports_.metrics.Tried(outcome.decision.verdict);
      Log(due, outcome);
      return;
    }
    if (held.ok()) {
      ports_.metrics.fences_lost.Add();
      return;
    }
    ports_.metrics.store_failures.Add();
    if (MayPass(held.error()) && Pause(kMarkPause, lease_end)) continue;
    ports_.log.Limited("webhook_mark")
        .Error("a webhook's outcome could not be written; it is sent again",
               {{"webhook", due.fence.id}, {"reason", held.error().message()}});
    return;
  }
}

bool WebhookSender::Pause(Duration pause, TimePoint end) {
  const TimePoint next = ports_.clock.Now() + pause;
  MutexLock lock(mu_);
  while (ports_.clock.Now() < next && next < std::min(end, give_up_)) changed_.WaitUntil(mu_, next);
  return next < std::min(end, give_up_);
}

void WebhookSender::Log(const DueWebhook& due, const Outcome& outcome) const {
  const WebhookVerdict verdict = outcome.decision.verdict;
  const bool calm = verdict == WebhookVerdict::kDelivered || verdict == WebhookVerdict::kRetry;
  // Neither the whole URL nor the answer, which may quote it: its path may be what keeps others out.
  ports_.log.Log(calm ? observe::LogLevel::kInfo : observe::LogLevel::kWarn, "webhook tried",
                 {{"outcome", VerdictName(verdict)},
                  {"webhook", due.fence.id},
                  {"tenant", due.tenant},
                  {"endpoint", EndpointOf(due.url)},
                  {"try", due.round_tries()},
                  {"answer", outcome.reason},
                  {"next", outcome.decision.delay}});
}

}  // namespace mezzo::jobs
