#include "mezzo/drivers/postgres/internal/pg_listener.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/retry.h"

namespace mezzo::drivers::internal {
namespace {

using std::chrono::seconds;

constexpr Duration kPingInterval =
    seconds(30);  // Also keeps servers with idle_session_timeout from hanging up.
constexpr Duration kCommandLimit = seconds(5);

constexpr runtime::Backoff::Options kBackoff{.first = std::chrono::milliseconds(100), .longest = seconds(10)};

}  // namespace

PgListener::PgListener(PgShared& shared)
    : shared_(shared),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      listeners_([this] { Wake(); }),
      thread_([this] { Work(); }) {
  MEZZO_CHECK(wake_.ok());
}

PgListener::~PgListener() {
  stopping_ = true;
  Wake();
  thread_.join();
}

void PgListener::Wake() {
  // Full means that the thread is woken already.
  [[maybe_unused]] const int written = ::eventfd_write(wake_.get(), 1);
}

void PgListener::Sleep(TimePoint until, bool wakes) {
  while (!stopping_) {
    const Duration left =
        std::clamp<Duration>(until - shared_.clock.Now(), Duration::zero(), std::chrono::hours(1));
    pollfd file{.fd = wake_.get(), .events = POLLIN, .revents = 0};
    const int ready =
        ::poll(&file, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
    eventfd_t ignored = 0;
    const bool woken = ready > 0 && ::eventfd_read(wake_.get(), &ignored) == 0;
    if ((woken && wakes) || shared_.clock.Now() >= until) return;
  }
}

void PgListener::Work() {
  runtime::SetThreadName("pg-listen");
  std::optional<runtime::Backoff> backoff(kBackoff);
  while (!stopping_) {
    const std::set<std::string> wanted = listeners_.channels();
    if (wanted.empty()) {
      connection_.reset();
      active_.clear();
      Sleep(kNever, true);
    } else if (Serve(wanted).ok()) {
      backoff.emplace(kBackoff);
    } else {
      connection_.reset();
      active_.clear();
      listeners_.Forget();
      Sleep(AddSaturating(shared_.clock.Now(), backoff->Next()), false);
    }
  }
}

Result<void> PgListener::Serve(const std::set<std::string>& wanted) {
  if (connection_ == nullptr) {
    MEZZO_TRY(connection_, PgConnection::Connect(shared_, kNever));
  }
  MEZZO_TRY_VOID(Change(wanted));
  listeners_.Greet(active_);

  const TimePoint until = AddSaturating(shared_.clock.Now(), kPingInterval);
  MEZZO_TRY(const auto notifications, connection_->AwaitNotifications(wake_.get(), until));
  eventfd_t ignored = 0;
  (void)::eventfd_read(wake_.get(), &ignored);
  for (const PgNotification& notification : notifications) {
    listeners_.Dispatch(notification.channel, notification.payload);
  }
  if (notifications.empty() && shared_.clock.Now() >= until) return RunNow("SELECT 1");
  return {};
}

Result<void> PgListener::Change(const std::set<std::string>& wanted) {
  // Names of channels are words (storage::IsSqlChannel()), but may be reserved ones.
  for (const std::string& channel : wanted) {
    if (!active_.contains(channel)) MEZZO_TRY_VOID(RunNow("LISTEN \"" + channel + "\""));
  }
  for (const std::string& channel : active_) {
    if (!wanted.contains(channel)) MEZZO_TRY_VOID(RunNow("UNLISTEN \"" + channel + "\""));
  }
  active_ = wanted;
  return {};
}

Result<void> PgListener::RunNow(const std::string& sql) {
  const PgReply reply = connection_->RunScript(sql, AddSaturating(shared_.clock.Now(), kCommandLimit));
  if (reply.error) return *reply.error;
  return {};
}

}  // namespace mezzo::drivers::internal
