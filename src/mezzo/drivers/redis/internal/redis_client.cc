#include "mezzo/drivers/redis/internal/redis_client.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/storage/kv_checks.h"

namespace mezzo::drivers::internal {

RedisClient::RedisClient(Options options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      place_(options_.target.Place()),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      breaker_(options_.breaker) {
  MEZZO_CHECK(wake_.ok());
  for (std::size_t i = 0; i < std::max<std::size_t>(options_.connections, 1); ++i) {
    lines_.emplace_back(options_.reconnect);
  }
  thread_ = std::thread([this] { Work(); });
}

RedisClient::~RedisClient() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
}

void RedisClient::Wake() {
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));  // Full means that it is awake.
}

Error RedisClient::Away(std::string_view why) const {
  return Unavailable("kv_unavailable", "Redis at " + place_ + ": " + std::string(why));
}

bool RedisClient::healthy() const {
  MutexLock lock(mu_);
  return !away_ && breaker_.state() == runtime::Breaker::State::kClosed;
}

runtime::Task<Result<RedisClient::Answer>> RedisClient::Call(runtime::Context ctx,
                                                             std::vector<std::string> words) {
  return Run(std::move(ctx), kNoScript, std::move(words));
}

runtime::Task<Result<RedisClient::Answer>> RedisClient::CallScript(runtime::Context ctx, std::size_t script,
                                                                   std::vector<std::string> words) {
  return Run(std::move(ctx), script, std::move(words));
}

runtime::Task<Result<RedisClient::Answer>> RedisClient::Run(runtime::Context ctx, std::size_t script,
                                                            std::vector<std::string> words) {
  const TimePoint now = clock_.Now();
  MEZZO_CO_TRY_VOID(storage::CheckKvContext(ctx, now));
  Command command;
  command.words = std::move(words);
  command.script = script;
  for (const std::string& word : command.words) command.bytes += word.size();
  command.deadline = std::min(ctx.deadline(), now + options_.command_timeout);
  command.impatient = ctx.deadline() < now + options_.command_timeout;
  command.home = runtime::Loop::Current();
  struct Awaiter {
    RedisClient& client;
    Command& command;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> handle) {
      command.handle = handle;
      return client.Submit(command);
    }
    Result<Answer> await_resume() { return std::move(*command.result); }
  };
  Awaiter awaiter{*this, command};
  co_return co_await awaiter;
}

bool RedisClient::Submit(Command& command) {
  {
    MutexLock lock(mu_);
    if (stopping_) {
      command.result = Away("the client ends");
      return false;
    }
    if (away_) {
      command.result = *away_;
      return false;
    }
    if (commands_ >= options_.max_commands || bytes_ + command.bytes > options_.max_bytes) {
      command.result = Away("too many commands wait for it");
      return false;
    }
    const auto admission = breaker_.Admit(clock_.Now());
    if (admission == runtime::Breaker::Admission::kNo) {
      command.result = Away("it has failed too often, and rests");
      return false;
    }
    command.probe = admission == runtime::Breaker::Admission::kProbe;
    ++commands_;
    bytes_ += command.bytes;
    submitted_.push_back(&command);
    if (submitted_.size() > 1) return true;  // The first one wakes the thread.
  }
  Wake();  // Nothing of `command` is touched any more: it may have ended.
  return true;
}

void RedisClient::Distrust(std::uint64_t connection) {
  {
    MutexLock lock(mu_);
    distrusted_.push_back(connection);
    breaker_.OnRun(false, false, clock_.Now());
  }
  Wake();
}

void RedisClient::SetReachable(std::optional<Error> away) {
  MutexLock lock(mu_);
  away_ = std::move(away);
}

bool RedisClient::TakeSubmitted() {
  std::vector<Command*> taken;
  bool stopping = false;
  {
    MutexLock lock(mu_);
    taken.swap(submitted_);
    dropping_.swap(distrusted_);
    stopping = stopping_;
  }
  for (Command* command : taken) {
    waiting_.push_back(command);
    next_deadline_ = std::min(next_deadline_, command->deadline);
  }
  return !stopping;
}

void RedisClient::End(Command& command, Result<Answer> result, Verdict verdict) {
  command.result.emplace(std::move(result));
  {
    MutexLock lock(mu_);
    --commands_;
    bytes_ -= command.bytes;
    if (verdict != Verdict::kNone) {
      breaker_.OnRun(verdict == Verdict::kGood, command.probe, clock_.Now());
    } else if (command.probe) {
      breaker_.OnProbeGone();
    }
  }
  ended_.push_back(&command);
}

void RedisClient::ResumeEnded() {
  std::vector<Command*> ended;
  ended.swap(ended_);
  for (Command* command : ended) {
    const std::coroutine_handle<> handle = command->handle;
    if (command->home != nullptr) {
      command->home->PostResume(handle);
    } else {
      handle.resume();
    }
  }
}

bool RedisClient::AnyUp() const {
  return std::any_of(lines_.begin(), lines_.end(),
                     [](const Line& line) { return line.connection != nullptr && line.connection->up(); });
}

void RedisClient::FailWaiting(const Error& why) {
  for (Command* command : std::exchange(waiting_, {})) End(*command, Error(why), Verdict::kNone);
}

void RedisClient::Connect(Line& line, TimePoint now) {
  auto begun = RedisConnection::Begin(options_.target, options_.connection);
  line.begun = now;
  if (!begun.ok()) {
    Drop(line, begun.error(), now);
    return;
  }
  line.id = ++last_id_;
  line.connection = *std::move(begun);
}

void RedisClient::Drop(Line& line, const Error& why, TimePoint now) {
  const bool was_up = line.connection != nullptr && line.connection->up();
  line.connection.reset();
  line.next_try = now + line.backoff->Next();
  for (const InFlight& sent : std::exchange(line.in_flight, {})) {
    if (sent.command == nullptr) continue;
    Error error = why;
    if (sent.command->deadline <= now) {
      error = DeadlineExceeded("kv_timeout", "Redis at " + place_ + " did not answer in time");
    }
    End(*sent.command, std::move(error), Verdict::kBad);
  }
  if (was_up || AnyUp()) return;
  // An attempt failed, and nobody else is connected: from now on calls fail at once.
  SetReachable(why);
  FailWaiting(why);
}

void RedisClient::OnAnswer(Line& line, RedisReply reply) {
  const InFlight sent = line.in_flight.front();
  line.in_flight.pop_front();
  line.backoff.emplace(options_.reconnect);
  if (sent.command == nullptr) return;
  Command& command = *sent.command;
  if (command.script != kNoScript && !command.whole_script && reply->type == REDIS_REPLY_ERROR &&
      ErrorWordOf(*reply) == "NOSCRIPT") {
    command.whole_script = true;
    waiting_.push_front(&command);
    return;
  }
  End(command, Answer{.reply = std::move(reply), .connection = line.id}, Verdict::kGood);
}

void RedisClient::Serve(Line& line, TimePoint now) {
  const bool was_up = line.connection->up();
  const Result<void> ready = line.connection->OnReady();
  // What came before the connection broke counts.
  if (line.connection->up()) {
    if (!was_up) {
      connects_.fetch_add(1, std::memory_order_relaxed);
      SetReachable(std::nullopt);
    }
    while (true) {
      Result<RedisReply> reply = line.connection->Next();
      if (!reply.ok()) {
        Drop(line, reply.error(), now);
        return;
      }
      if (*reply == nullptr) break;
      if (line.in_flight.empty()) {
        Drop(line, Internal("kv_failed", "Redis at " + place_ + " answers without being asked"), now);
        return;
      }
      OnAnswer(line, *std::move(reply));
    }
  }
  if (!ready.ok()) Drop(line, ready.error(), now);
}

RedisClient::Line* RedisClient::Best() {
  Line* best = nullptr;
  for (Line& line : lines_) {
    if (line.connection == nullptr || !line.connection->up()) continue;
    if (best == nullptr || line.in_flight.size() < best->in_flight.size()) best = &line;
  }
  return best;
}

void RedisClient::Send(Line& line, Command& command, TimePoint now) {
  std::vector<std::string_view> words;
  words.reserve(command.words.size() + 2);
  if (command.script != kNoScript) {
    words.emplace_back(command.whole_script ? "EVAL" : "EVALSHA");
    words.emplace_back(command.whole_script ? options_.connection.scripts[command.script]
                                            : line.connection->script_ids()[command.script]);
  }
  for (const std::string& word : command.words) words.emplace_back(word);
  line.connection->Send(words);
  line.in_flight.push_back({.command = &command, .sent = now});
}

void RedisClient::Dispatch(TimePoint now) {
  while (!waiting_.empty()) {
    Line* line = Best();
    if (line == nullptr) return;
    Command& command = *waiting_.front();
    waiting_.pop_front();
    Send(*line, command, now);
  }
}

void RedisClient::ExpireLate(TimePoint now) {
  if (now < next_deadline_) return;
  next_deadline_ = kNever;
  const auto late = [&](Command* command) {
    if (command == nullptr) return false;
    if (command->deadline > now) {
      next_deadline_ = std::min(next_deadline_, command->deadline);
      return false;
    }
    End(*command, DeadlineExceeded("kv_timeout", "Redis at " + place_ + " did not answer in time"),
        command->impatient ? Verdict::kNone : Verdict::kBad);
    return true;
  };
  std::erase_if(waiting_, late);
  for (Line& line : lines_) {
    for (InFlight& sent : line.in_flight) {
      if (late(sent.command)) sent.command = nullptr;
    }
  }
}

void RedisClient::CheckLine(Line& line, TimePoint now) {
  if (line.connection == nullptr) {
    if (now >= line.next_try) Connect(line, now);
    return;
  }
  if (std::find(dropping_.begin(), dropping_.end(), line.id) != dropping_.end()) {
    Drop(line, Away("an answer made no sense, the connection was dropped"), now);
  } else if (!line.connection->up()) {
    if (now >= line.begun + options_.connect_timeout) Drop(line, Away("connecting took too long"), now);
  } else if (!line.in_flight.empty() && now >= line.in_flight.front().sent + options_.command_timeout) {
    Drop(line, Away("it answers too slowly, the connection was dropped"), now);
  }
}

TimePoint RedisClient::NextEvent() const {
  TimePoint next = next_deadline_;
  for (const Line& line : lines_) {
    if (line.connection == nullptr) {
      next = std::min(next, line.next_try);
    } else if (!line.connection->up()) {
      next = std::min(next, line.begun + options_.connect_timeout);
    } else if (!line.in_flight.empty()) {
      next = std::min(next, line.in_flight.front().sent + options_.command_timeout);
    }
  }
  return next;
}

void RedisClient::Wait(TimePoint now) {
  std::vector<pollfd> polled = {{.fd = wake_.get(), .events = POLLIN, .revents = 0}};
  std::vector<Line*> lines;
  for (Line& line : lines_) {
    if (line.connection == nullptr) continue;
    polled.push_back({.fd = line.connection->fd(), .events = line.connection->events(), .revents = 0});
    lines.push_back(&line);
  }
  constexpr Duration kLongest = std::chrono::seconds(10);
  const Duration left = std::clamp(NextEvent() - now, Duration::zero(), kLongest);
  const timespec wait{.tv_sec = left / std::chrono::seconds(1),
                      .tv_nsec = (left % std::chrono::seconds(1)).count()};
  if (::ppoll(polled.data(), polled.size(), &wait, nullptr) <= 0) return;
  if (polled[0].revents != 0) {
    std::uint64_t count = 0;
    (void)!::read(wake_.get(), &count, sizeof(count));
  }
  const TimePoint then = clock_.Now();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (polled[i + 1].revents != 0) Serve(*lines[i], then);
  }
}

void RedisClient::Work() {
  runtime::SetThreadName("redis");
  while (TakeSubmitted()) {
    const TimePoint now = clock_.Now();
    for (Line& line : lines_) CheckLine(line, now);
    dropping_.clear();
    ExpireLate(now);
    Dispatch(now);
    for (Line& line : lines_) {
      if (line.connection == nullptr || !line.connection->up()) continue;
      const Result<void> flushed = line.connection->Flush();
      if (!flushed.ok()) Drop(line, flushed.error(), now);
    }
    // What was resumed here may have submitted more: the eventfd is then readable.
    ResumeEnded();
    Wait(clock_.Now());
    ResumeEnded();
  }
  const Error ends = Away("the client ends");
  for (Line& line : lines_) Drop(line, ends, clock_.Now());
  FailWaiting(ends);
  ResumeEnded();
}

}  // namespace mezzo::drivers::internal
