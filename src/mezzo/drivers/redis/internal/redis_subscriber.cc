#include "mezzo/drivers/redis/internal/redis_subscriber.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::drivers::internal {
namespace {

Error Nonsense() { return Internal("kv_failed", "Redis answers nonsense to a subscription"); }

}  // namespace

RedisSubscriber::RedisSubscriber(Options options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      backoff_(options_.reconnect),
      listeners_([this] { Wake(); }) {
  MEZZO_CHECK(wake_.ok());
  thread_ = std::thread([this] { Work(); });
}

RedisSubscriber::~RedisSubscriber() {
  stopping_.store(true);
  Wake();
  thread_.join();
}

void RedisSubscriber::Wake() {
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));  // Full means that it is awake.
}

bool RedisSubscriber::Poll(TimePoint until) {
  std::array<pollfd, 2> polled = {pollfd{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = -1, .events = 0, .revents = 0}};
  if (connection_ != nullptr) {
    polled[1].fd = connection_->fd();
    polled[1].events = connection_->events();
  }
  const Duration left =
      std::clamp(until - clock_.Now(), Duration::zero(), Duration(std::chrono::seconds(30)));
  const timespec wait{.tv_sec = left / std::chrono::seconds(1),
                      .tv_nsec = (left % std::chrono::seconds(1)).count()};
  if (::ppoll(polled.data(), polled.size(), &wait, nullptr) <= 0 || polled[0].revents == 0) return false;
  std::uint64_t count = 0;
  (void)!::read(wake_.get(), &count, sizeof(count));
  return true;
}

void RedisSubscriber::Forget() {
  connection_.reset();
  asked_.clear();
  heard_.clear();
  listeners_.Forget();
}

Result<void> RedisSubscriber::Connect() {
  if (connection_ == nullptr) {
    MEZZO_TRY(connection_, RedisConnection::Begin(options_.target, options_.connection));
  }
  const TimePoint limit = clock_.Now() + options_.connect_timeout;
  while (!connection_->up()) {
    if (stopping_.load()) return {};
    if (clock_.Now() >= limit) return Unavailable("kv_unavailable", "connecting took too long");
    Poll(limit);
    MEZZO_TRY_VOID(connection_->OnReady());
  }
  last_heard_ = clock_.Now();
  pinged_ = false;
  return {};
}

void RedisSubscriber::Change(const std::set<std::string>& wanted) {
  for (const std::string& channel : wanted) {
    if (asked_.insert(channel).second) connection_->Send({"SUBSCRIBE", channel});
  }
  for (auto it = asked_.begin(); it != asked_.end();) {
    if (wanted.contains(*it)) {
      ++it;
      continue;
    }
    connection_->Send({"UNSUBSCRIBE", *it});
    heard_.erase(*it);
    it = asked_.erase(it);
  }
}

Result<void> RedisSubscriber::HandOn(const redisReply& push) {
  // With a subscription PING is answered by an array; before the first one by a status.
  if (push.type == REDIS_REPLY_STATUS && TextOf(push) == "PONG") return {};
  if (push.type != REDIS_REPLY_ARRAY || push.elements < 2) return Nonsense();
  const std::string_view kind = TextOf(*push.element[0]);
  const std::string channel(TextOf(*push.element[1]));
  if (kind == "pong") return {};
  if (push.elements != 3) return Nonsense();
  if (kind == "message" && push.element[2]->type == REDIS_REPLY_STRING) {
    if (heard_.contains(channel)) listeners_.Dispatch(channel, TextOf(*push.element[2]));
    return {};
  }
  if (kind == "unsubscribe") return {};
  if (kind != "subscribe") return Nonsense();
  if (asked_.contains(channel)) heard_.insert(channel);
  listeners_.Greet(heard_);
  return {};
}

Result<void> RedisSubscriber::Serve(const std::set<std::string>& wanted) {
  if (connection_ == nullptr || !connection_->up()) MEZZO_TRY_VOID(Connect());
  if (stopping_.load()) return {};
  Change(wanted);
  listeners_.Greet(heard_);  // Who is new on a channel that others listen to.
  MEZZO_TRY_VOID(connection_->Flush());
  bool woken = false;
  while (!woken && !stopping_.load()) {
    const TimePoint due = last_heard_ + options_.ping_every * (pinged_ ? 2 : 1);
    woken = Poll(due);
    const Result<void> ready = connection_->OnReady();
    while (true) {
      MEZZO_TRY(const RedisReply push, connection_->Next());
      if (push == nullptr) break;
      last_heard_ = clock_.Now();
      pinged_ = false;
      MEZZO_TRY_VOID(HandOn(*push));
      backoff_.emplace(options_.reconnect);
    }
    MEZZO_TRY_VOID(ready);
    if (clock_.Now() < due) continue;
    if (pinged_) return Unavailable("kv_unavailable", "no answer to PING");
    pinged_ = true;
    connection_->Send({"PING"});
    MEZZO_TRY_VOID(connection_->Flush());
  }
  return {};
}

void RedisSubscriber::Work() {
  runtime::SetThreadName("redis-listen");
  while (!stopping_.load()) {
    const std::set<std::string> wanted = listeners_.channels();
    if (wanted.empty()) {
      if (connection_ != nullptr) Forget();
      Poll(clock_.Now() + std::chrono::minutes(1));
      continue;
    }
    if (Serve(wanted).ok()) continue;
    Forget();
    const TimePoint next = clock_.Now() + backoff_->Next();
    while (!stopping_.load() && clock_.Now() < next) Poll(next);
  }
}

}  // namespace mezzo::drivers::internal
