#include <algorithm>
#include <cstring>
#include <utility>

#include "mezzo/net/internal/chunk_decoder.h"
#include "mezzo/net/internal/connection.h"
#include "mezzo/net/internal/content_coding.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::net {
namespace {

constexpr std::size_t kChunkRoom = std::size_t{4} << 10;
constexpr std::size_t kMaxChunkLine = std::size_t{8} << 10;
constexpr std::size_t kChunkBuffer = std::size_t{32} << 10;
constexpr std::size_t kOffloadBytes = std::size_t{16} << 10;

}  // namespace

/// Reads straight into the body, never beyond its end.
struct Connection::BodyReadAwaiter {
  Connection& self;
  BodyBuffer* body;
  std::size_t wanted;
  [[nodiscard]] bool await_ready() const noexcept { return self.ended_ || self.expired_; }
  void await_suspend(std::coroutine_handle<> handle) const {
    self.reader_ = handle;
    self.reading_ = true;
    self.body_target_ = body;
    self.transport_->StartRead(&self, body->end(), wanted);
  }
  [[nodiscard]] bool await_resume() const noexcept { return !self.ended_ && !self.expired_; }
};

bool Connection::Fail(HttpError error) {
  error_.emplace(std::move(error));
  return false;
}

bool Connection::FailBudget() {
  core_.metrics.Refused(Refusal::kBytesInFlight);
  return Fail({503, "request bodies in memory exceed the limit of " + std::to_string(core_.budget->limit()) +
                        " bytes"});
}

bool Connection::FailRead(const BodyBuffer& body) {
  if (ended_) return false;
  const Framing& framing = assembler_.framing();
  const std::string of = framing.chunked ? "" : " of " + std::to_string(framing.length);
  return Fail(
      {408, "the request body arrived too slowly: " + std::to_string(body.size()) + of + " bytes in time"});
}

runtime::Task<bool> Connection::ReadBody(const BodyPlan* plan) {
  const Framing framing = assembler_.framing();
  if (!framing.chunked && framing.length == 0) co_return true;
  if (framing.chunked && plan->require_length) co_return Fail({411, "this request needs a Content-Length"});
  if (framing.length > plan->max_body) {
    co_return Fail({413, "request body of " + std::to_string(framing.length) +
                             " bytes exceeds the limit of " + std::to_string(plan->max_body) + " bytes"});
  }
  const bool encoded = framing.coding != ContentCoding::kIdentity;
  BodyBuffer body(core_.budget, encoded ? 0 : plan->align_offset);
  if (!framing.chunked && framing.length <= end_ - begin_) {
    if (!TakeUnread(&body, static_cast<std::size_t>(framing.length))) co_return false;
  } else {
    EnterPhase(Phase::kBody, Duration::max());
    body_started_ = facts_.now;
    if (framing.expect_continue && begin_ == end_ && !co_await SendContinue()) co_return false;
    const bool complete =
        framing.chunked ? co_await ReadChunked(&body, plan->max_body) : co_await ReadSized(&body);
    if (!complete) co_return false;
  }
  core_.metrics.received_bytes.Add(body.size());
  if (encoded) co_return co_await Decode(plan, &body);
  RequestAssembler::SetBody(&request_, body.Take());
  co_return true;
}

bool Connection::TakeUnread(BodyBuffer* body, std::size_t wanted) {
  const std::size_t take = std::min(wanted, end_ - begin_);
  if (!body->Reserve(body->size() + wanted) ||
      !body->Append(buffer_.get() + begin_, take, body->size() + take)) {
    return FailBudget();
  }
  begin_ += take;
  return true;
}

runtime::Task<bool> Connection::ReadSized(BodyBuffer* body) {
  const auto length = static_cast<std::size_t>(assembler_.framing().length);
  if (!TakeUnread(body, length)) co_return false;
  while (body->size() < length) {
    if (reading_) {
      // A read that was armed during the previous request still fills the buffer.
      if (!co_await Read()) co_return FailRead(*body);
      const std::size_t before = body->size();
      if (!TakeUnread(body, length - body->size())) co_return false;
      body_received_ += body->size() - before;
      continue;
    }
    BodyReadAwaiter read{*this, body, length - body->size()};
    if (!co_await read) co_return FailRead(*body);
  }
  co_return true;
}

bool Connection::MakeRoomForChunks() {
  if (capacity_ - end_ >= kChunkRoom) return true;
  const std::size_t body_start = request_start_ + assembler_.head_size();
  std::memmove(buffer_.get() + body_start, buffer_.get() + begin_, end_ - begin_);
  end_ -= begin_ - body_start;
  begin_ = body_start;
  if (capacity_ - end_ >= kChunkRoom) return true;
  if (end_ - begin_ >= kMaxChunkLine) {
    return Fail({400, "chunk header or trailers exceed " + std::to_string(kMaxChunkLine) + " bytes"});
  }
  auto grown = std::make_unique_for_overwrite<char[]>(body_start + kChunkBuffer);
  std::memcpy(grown.get(), buffer_.get(), end_);
  buffer_ = std::move(grown);
  capacity_ = body_start + kChunkBuffer;
  // The request's views pointed into the old buffer; the head has been found good before.
  return assembler_.Assemble({buffer_.get() + request_start_, assembler_.head_size()}, &request_);
}

runtime::Task<bool> Connection::ReadChunked(BodyBuffer* body, ByteCount max_body) {
  ChunkDecoder decoder({.max_body = max_body, .max_chunks = core_.options.max_chunks}, body);
  while (true) {
    begin_ += decoder.Decode(unread());
    if (decoder.error()) {
      if (decoder.error()->status == 503) co_return FailBudget();
      co_return Fail(*decoder.error());
    }
    if (decoder.done()) co_return true;
    if (!reading_ && !MakeRoomForChunks()) co_return false;
    const std::size_t before = end_;
    if (!co_await Read()) co_return FailRead(*body);
    body_received_ += end_ - before;
  }
}

runtime::Task<bool> Connection::Decode(const BodyPlan* plan, BodyBuffer* body) {
  const ContentCoding coding = assembler_.framing().coding;
  const InflateLimits limits{.max_size = plan->max_body, .max_ratio = core_.options.max_inflate_ratio};
  const SharedBytes encoded = body->Take();
  BodyBuffer decoded(core_.budget, plan->align_offset);
  std::optional<HttpError> failure;
  auto inflate = [&]() -> Result<void> {
    failure = Inflate(coding, encoded.view(), limits, &decoded);
    return {};
  };
  EnterPhase(Phase::kHandling, Duration::max());
  if (core_.options.codec_pool != nullptr && encoded.size() > kOffloadBytes) {
    const auto ran = co_await runtime::Offload(*core_.options.codec_pool, std::move(inflate));
    if (!ran.ok()) co_return Fail({503, ran.error().message()});
  } else {
    const auto ran = inflate();
    MEZZO_CHECK(ran.ok());
  }
  if (failure && failure->status == 503) co_return FailBudget();
  if (failure) co_return Fail(std::move(*failure));
  RequestAssembler::SetBody(&request_, decoded.Take());
  co_return true;
}

}  // namespace mezzo::net
