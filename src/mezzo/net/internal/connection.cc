#include "mezzo/net/internal/connection.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/net/internal/watched.h"
#include "mezzo/observe/trace_context.h"

namespace mezzo::net {
namespace {

constexpr std::size_t kFirstBuffer = std::size_t{8} << 10;
constexpr std::size_t kRoomPerRead = 1024;  // Less free space than this is made more before a read.
constexpr Duration kHandshakeTimeout = std::chrono::seconds(10);
constexpr Duration kLingerTimeout = std::chrono::seconds(2);
constexpr std::size_t kMaxLinger = std::size_t{16} << 20;

bool IsSafeRequestId(std::string_view id) {
  if (id.empty() || id.size() > 128) return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-_.:/+=@").find(c) != std::string_view::npos;
  });
}

/// 15 characters, so that a std::string needs no memory for them: 40 random bits of the thread, then 35 that
/// count.
std::string NewRequestId() {
  static constexpr std::string_view kDigits = "0123456789abcdefghjkmnpqrstvwxyz";
  thread_local const std::uint64_t prefix = RandomUint64();
  thread_local std::uint64_t count = RandomUint64();
  ++count;
  std::array<char, 15> text{};
  for (std::size_t i = 0; i < 8; ++i) text.at(i) = kDigits[(prefix >> (5 * i)) & 31];
  for (std::size_t i = 0; i < 7; ++i) text.at(8 + i) = kDigits[(count >> (5 * (6 - i))) & 31];
  return {text.data(), text.size()};
}

}  // namespace

void Connection::ReadAwaiter::await_suspend(std::coroutine_handle<> handle) const {
  self.reader_ = handle;
  if (!self.reading_) self.StartBufferRead();
}

/// Waits for the end of the running read, whatever becomes of it.
struct Connection::ReadEnd {
  Connection& self;
  [[nodiscard]] bool await_ready() const noexcept { return !self.reading_; }
  void await_suspend(std::coroutine_handle<> handle) const { self.reader_ = handle; }
  void await_resume() const noexcept {}
};

struct Connection::ShutdownAwaiter {
  Connection& self;
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) const {
    self.writer_ = handle;
    if (self.transport_->StartShutdown(&self)) return true;
    self.writer_ = nullptr;
    return false;
  }
  void await_resume() const noexcept {}
};

Connection::ReadAwaiter Connection::Read() { return ReadAwaiter{*this}; }

Connection::Connection(ServerCore& core, const LoopFacts& facts, std::unique_ptr<Transport> transport,
                       Peer peer, bool tls)
    : core_(core),
      facts_(facts),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      tls_(tls),
      buffer_(std::make_unique_for_overwrite<char[]>(kFirstBuffer)),
      capacity_(kFirstBuffer),
      assembler_({.max_header_bytes = core.options.max_header_bytes,
                  .max_headers = core.options.max_headers,
                  .max_request_line = core.options.max_request_line}) {
  RequestAssembler::SetPeer(&request_, peer_.address, peer_.is_loopback, tls_);
}

runtime::Task<void> Connection::Run() {
  if (!tls_ || co_await Handshake()) {
    while (co_await ServeOne()) {
    }
  }
  co_await Finish();
}

runtime::Task<bool> Connection::Handshake() {
  EnterPhase(Phase::kHandshake, kHandshakeTimeout);
  struct Awaiter {
    Connection& self;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const {
      self.reader_ = handle;
      self.reading_ = true;
      self.transport_->StartHandshake(&self);
    }
    [[nodiscard]] bool await_resume() const noexcept { return !self.ended_ && !self.expired_; }
  };
  co_return co_await Awaiter{*this};
}

runtime::Task<bool> Connection::ServeOne() {
  BeginRequest();
  if (!co_await ReadHead()) co_return error_ ? co_await RefuseError() : false;
  BodyPlan plan = core_.handler.PlanBody(request_);
  if (plan.refusal != nullptr) co_return co_await Refuse(std::move(*plan.refusal));
  RequestAssembler::SetFinding(&request_, std::move(plan.finding));
  if (!co_await ReadBody(&plan)) co_return error_ ? co_await RefuseError() : false;
  core_.metrics.read_seconds.Observe(body_received_ == 0 ? request_.received_at() - first_byte_at_
                                                         : core_.clock.Now() - first_byte_at_);

  // A body may have been decoded while the server stopped: a handler started now would hear of nothing.
  if (ended_ || stopping_) co_return false;
  EnterPhase(Phase::kHandling, Duration::max());
  MakeContext();
  Watched<HttpResponse> handled(*this, core_.handler.Handle(*ctx_, &request_));
  HttpResponse response = co_await handled;
  if (ended_ || stopping_) {
    core_.metrics.disconnected.Add();
    WriteReport report;
    if (response.after_write) response.after_write(report);
    co_return false;
  }
  co_return co_await Respond(std::move(response));
}

void Connection::BeginRequest() {
  ctx_.reset();
  RequestAssembler::Clear(&request_);
  error_.reset();
  if (begin_ == end_ && !reading_) begin_ = end_ = 0;
  request_start_ = begin_;
  body_received_ = 0;
  assembler_.Reset();
}

runtime::Task<bool> Connection::ReadHead() {
  EnterPhase(Phase::kIdle, core_.options.idle_timeout);
  if (facts_.draining && begin_ == end_) co_return false;
  while (true) {
    if (phase_ == Phase::kIdle) {
      // A few clients send a blank line after a body; RFC 9112 section 2.2 lets servers skip it.
      while (unread().starts_with("\r\n")) begin_ += 2;
      if (begin_ < end_) {
        first_byte_at_ = core_.clock.Now();
        EnterPhase(Phase::kHead, core_.options.header_timeout);
      }
    }
    if (phase_ == Phase::kHead && assembler_.FindHead(unread())) break;
    if (assembler_.error()) co_return Fail(*assembler_.error());
    if (!reading_) MakeRoom();
    const std::size_t before = end_ - begin_;
    if (!co_await Read()) {
      if (expired_ && before > 0) co_return Fail({408, "the request head did not arrive in time"});
      co_return false;
    }
  }
  const std::size_t size = assembler_.head_size();
  if (!assembler_.Assemble(unread().substr(0, size), &request_)) co_return Fail(*assembler_.error());
  RequestAssembler::SetReceivedAt(&request_, first_byte_at_);
  request_start_ = begin_;
  begin_ += size;
  core_.metrics.received_bytes.Add(size);
  co_return true;
}

void Connection::MakeContext() {
  runtime::Context::Facts facts;
  for (const HeaderView& header : request_.headers()) {
    if (header.name.size() == 11 && EqualsIgnoreCase(header.name, "traceparent")) {
      auto trace = observe::ParseTraceParent(header.value);
      if (trace.ok()) facts.trace = std::move(*trace);
    } else if (header.name.size() == 12 && EqualsIgnoreCase(header.name, "X-Request-Id")) {
      if (IsSafeRequestId(header.value)) facts.request_id = header.value;
    }
  }
  if (!facts.trace.trace_id.empty()) {
    if (const auto state = request_.Header("tracestate"))
      facts.trace.trace_state = observe::LimitTraceState(*state);
  }
  if (facts.request_id.empty()) facts.request_id = NewRequestId();
  ctx_.emplace(std::move(facts));
}

runtime::Task<void> Connection::Finish() {
  EnterPhase(Phase::kClosing, kLingerTimeout);
  if (!ended_ && !stopping_ && (linger_ || tls_)) {
    if (tls_ && reading_) {
      expired_ = true;
      transport_->Cancel();
      co_await ReadEnd{*this};
    }
    expired_ = false;
    co_await ShutdownAwaiter{*this};
    std::size_t discarded = 0;
    while (!tls_ && linger_ && discarded < kMaxLinger) {
      if (!reading_) begin_ = end_ = 0;
      const std::size_t before = end_;
      if (!co_await Read()) break;
      discarded += end_ - before;
    }
  }
  transport_->Abort();
  co_await ReadEnd{*this};
}

void Connection::EnterPhase(Phase phase, Duration limit) {
  phase_ = phase;
  // The loop's time is as old as its last sweep: without this a limit could end early.
  deadline_ = AddSaturating(AddSaturating(facts_.now, limit), core_.options.sweep_interval);
}

void Connection::MakeRoom() {
  if (capacity_ - end_ >= kRoomPerRead) return;
  if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (capacity_ - end_ >= kRoomPerRead) return;
  capacity_ = std::max(capacity_ * 2, end_ + kRoomPerRead);
  auto grown = std::make_unique_for_overwrite<char[]>(capacity_);
  std::memcpy(grown.get(), buffer_.get(), end_);
  buffer_ = std::move(grown);
}

void Connection::StartBufferRead() {
  reading_ = true;
  body_target_ = nullptr;
  transport_->StartRead(this, buffer_.get() + end_, capacity_ - end_);
}

void Connection::StartWatch() {
  watching_ = true;
  // With a full buffer the sweep watches instead.
  if (!reading_ && end_ < capacity_) StartBufferRead();
}

void Connection::OnRead(bool ok, std::size_t count) {
  reading_ = false;
  if (phase_ != Phase::kHandshake && count == 0) ok = false;
  if (!ok) {
    if (!expired_) ended_ = true;
  } else if (body_target_ != nullptr) {
    body_target_->Commit(count);
    body_received_ += count;
  } else {
    end_ += count;
  }
  if (reader_) {
    std::exchange(reader_, nullptr).resume();
    return;
  }
  if (!watching_) return;
  if (ended_) {
    CancelRequest();
  } else if (end_ < capacity_ && !expired_) {
    StartBufferRead();
  }
}

void Connection::OnWritten(bool ok, std::size_t count) {
  write_ok_ = ok;
  written_ = count;
  std::exchange(writer_, nullptr).resume();
}

void Connection::CancelRequest() {
  if (!ctx_) return;
  // A callback may let the handler end, and with it the request: the copy keeps the state alive meanwhile.
  const runtime::Context ctx = *ctx_;
  ctx.Cancel();
}

void Connection::Expire() {
  if (expired_) return;
  expired_ = true;
  transport_->Cancel();
}

bool Connection::BodyTooSlow(TimePoint now) const {
  const Duration elapsed = now - body_started_;
  if (elapsed <= core_.options.body_grace) return false;
  return static_cast<double>(body_received_) <
         Seconds(elapsed) * static_cast<double>(core_.options.min_body_rate);
}

void Connection::Sweep(TimePoint now) {
  if (now > write_deadline_) {
    write_deadline_ = kNever;
    ended_ = write_timed_out_ = true;
    transport_->Cancel();
    CancelRequest();
    return;
  }
  if (phase_ == Phase::kHandling) {
    if (!watching_ || reading_ || ended_ || !transport_->PeerClosed()) return;
    ended_ = true;
    CancelRequest();
    return;
  }
  if (now > deadline_ || (phase_ == Phase::kBody && BodyTooSlow(now))) Expire();
}

void Connection::Drain() {
  if (phase_ == Phase::kIdle && begin_ == end_) Expire();
}

void Connection::Stop() {
  stopping_ = true;
  ended_ = true;
  transport_->Abort();
  CancelRequest();
}

}  // namespace mezzo::net
