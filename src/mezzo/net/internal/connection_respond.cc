#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "mezzo/net/internal/connection.h"
#include "mezzo/net/internal/content_coding.h"
#include "mezzo/net/internal/watched.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::net {
namespace {

constexpr std::size_t kOffloadBytes = std::size_t{16} << 10;

bool HasNoBody(int status) { return status < 200 || status == 204 || status == 304; }

void AppendNumber(std::uint64_t number, int base, std::string& out) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
  out.append(digits.data(), end);
}

/// A value from elsewhere must not end its line.
void AppendHeader(std::string_view name, std::string_view value, std::string& out) {
  out += name;
  out += ": ";
  const std::size_t start = out.size();
  out += value;
  // Written without a branch, so that it is done many characters at a time.
  for (std::size_t i = start; i < out.size(); ++i) {
    const char c = out[i];
    const bool control = (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
    out[i] = control ? ' ' : c;
  }
  out += "\r\n";
}

}  // namespace

struct Connection::WriteAwaiter {
  Connection& self;
  std::span<const iovec> parts;
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const {
    self.writer_ = handle;
    self.transport_->StartWrite(&self, parts);
  }
  [[nodiscard]] bool await_resume() const noexcept { return self.write_ok_; }
};

/// Frames what a producer writes.
class Connection::Writer final : public BodyWriter {
 public:
  /// `size`: of the whole body, when it has been announced.
  Writer(Connection& self, bool chunked, std::optional<ByteCount> size)
      : self_(self), chunked_(chunked), room_(size) {}

  runtime::Task<Result<void>> Write(SharedBytes piece) override {
    if (piece.empty()) co_return Result<void>();
    if (room_) {
      if (piece.size() > *room_) {
        co_return Internal("stream_size", "a streamed body is longer than its Content-Length");
      }
      *room_ -= piece.size();
    }
    if (!self_.ended_) {
      size_line_.clear();
      AppendNumber(piece.size(), 16, size_line_);
      size_line_ += "\r\n";
      if (chunked_) self_.AddPart(size_line_);
      self_.AddPart(piece.text());
      if (chunked_) self_.AddPart("\r\n");
      if (co_await self_.WriteParts()) co_return Result<void>();
    }
    if (self_.write_timed_out_) co_return DeadlineExceeded("write_timeout", "the client stopped reading");
    co_return Cancelled("client_gone", "the client has left");
  }

  /// Everything that was announced has been written.
  [[nodiscard]] bool complete() const { return room_.value_or(0) == 0; }

 private:
  Connection& self_;
  const bool chunked_;
  std::optional<ByteCount> room_;
  std::string size_line_;
};

void Connection::AddPart(std::string_view bytes) {
  if (!bytes.empty()) parts_.push_back({const_cast<char*>(bytes.data()), bytes.size()});
}

void Connection::Advance(std::size_t count) {
  sent_ += count;
  while (count > 0) {
    iovec& part = parts_[first_part_];
    const std::size_t take = std::min(count, part.iov_len);
    part.iov_base = static_cast<char*>(part.iov_base) + take;
    part.iov_len -= take;
    count -= take;
    if (part.iov_len == 0) ++first_part_;
  }
}

runtime::Task<bool> Connection::WriteParts() {
  first_part_ = 0;
  bool failed = false;
  while (first_part_ < parts_.size()) {
    const std::span<const iovec> rest = std::span(parts_).subspan(first_part_);
    if (const std::size_t sent = transport_->TryWrite(rest, &failed); sent > 0) {
      Advance(sent);
      continue;
    }
    if (failed || stopping_ || write_timed_out_) break;
    write_deadline_ = AddSaturating(facts_.now, core_.options.write_timeout);
    WriteAwaiter wait{*this, rest};
    const bool ok = co_await wait;
    write_deadline_ = kNever;
    if (!ok) break;
    Advance(written_);
  }
  const bool complete = first_part_ == parts_.size();
  parts_.clear();
  if (!complete) ended_ = true;
  co_return complete;
}

runtime::Task<bool> Connection::SendContinue() {
  AddPart("HTTP/1.1 100 Continue\r\n\r\n");
  co_return co_await WriteParts();
}

runtime::Task<bool> Connection::Refuse(HttpResponse response) {
  const Framing& framing = assembler_.framing();
  const bool unread_rest = framing.chunked || framing.length > end_ - begin_;
  if (unread_rest) {
    linger_ = true;
  } else {
    begin_ += static_cast<std::size_t>(framing.length);
  }
  co_return co_await Respond(std::move(response));
}

runtime::Task<bool> Connection::RefuseError() {
  linger_ = true;
  expired_ = false;
  const int status = error_->status;
  if (status != 503) core_.metrics.Refused(status == 408 ? Refusal::kTimeout : Refusal::kProtocol);
  HttpResponse response = HttpResponse::ErrorJson(status, error_->message);
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  if (status == 415) response.headers.emplace_back("Accept-Encoding", "gzip, deflate");
  co_return co_await Respond(std::move(response));
}

void Connection::FormatHead(const HttpResponse& response, bool keep_alive) {
  const Framing& framing = assembler_.framing();
  head_ = "HTTP/1.1 ";
  AppendNumber(static_cast<std::uint64_t>(response.status), 10, head_);
  head_ += ' ';
  head_ += ReasonPhrase(response.status);
  head_ += "\r\n";
  head_ += facts_.date;
  if (!response.content_type.empty()) AppendHeader("Content-Type", response.content_type, head_);
  if (response.stream && !response.stream_size) {
    if (framing.http11) head_ += "Transfer-Encoding: chunked\r\n";
  } else if (!HasNoBody(response.status)) {
    head_ += "Content-Length: ";
    AppendNumber(response.stream ? *response.stream_size : response.body_size(), 10, head_);
    head_ += "\r\n";
  }
  for (const auto& [name, value] : response.headers) AppendHeader(name, value, head_);
  if (!keep_alive) {
    head_ += "Connection: close\r\n";
  } else if (!framing.http11) {
    head_ += "Connection: keep-alive\r\n";
  }
  head_ += "\r\n";
}

runtime::Task<void> Connection::CompressBody(HttpResponse* response) {
  const auto accepted = request_.Header("Accept-Encoding");
  response->headers.emplace_back("Vary", "Accept-Encoding");
  if (!accepted) co_return;
  const ContentCoding coding = ChooseCoding(*accepted);
  if (coding == ContentCoding::kIdentity) co_return;
  auto compress = [coding, response]() -> Result<std::string> {
    return Compress(coding, response->text, response->pieces);
  };
  Result<std::string> compressed = Unavailable("not_run", "");
  if (core_.options.codec_pool != nullptr && response->body_size() > kOffloadBytes) {
    compressed = co_await runtime::Offload(*core_.options.codec_pool, std::move(compress));
  } else {
    compressed = compress();
  }
  // A full pool costs the compression, not the answer.
  if (!compressed.ok()) co_return;
  response->text = std::move(*compressed);
  response->pieces.clear();
  response->headers.emplace_back("Content-Encoding", CodingName(coding));
}

void Connection::Report(const HttpResponse& response, TimePoint started, bool complete) {
  core_.metrics.Answered(response.status);
  core_.metrics.sent_bytes.Add(sent_);
  if (!response.after_write) return;
  response.after_write({.bytes = sent_, .duration = core_.clock.Now() - started, .complete = complete});
}

runtime::Task<bool> Connection::Respond(HttpResponse response) {
  ++served_;
  if (response.compressible && !response.stream && response.body_size() >= core_.options.min_compress_bytes) {
    co_await CompressBody(&response);
  }
  bool keep_alive = assembler_.framing().keep_alive && !response.close && !facts_.draining && !stopping_ &&
                    !linger_ && served_ < core_.options.max_requests_per_connection;
  if (response.stream && !response.stream_size && !assembler_.framing().http11) keep_alive = false;
  const TimePoint started = response.after_write ? core_.clock.Now() : TimePoint{};
  if (response.before_write) response.before_write();
  FormatHead(response, keep_alive);
  sent_ = 0;
  AddPart(head_);
  const bool with_body = request_.method() != Method::kHead && !HasNoBody(response.status);
  bool complete = false;
  if (response.stream && with_body) {
    complete = co_await StreamBody(&response);
  } else {
    if (with_body) {
      AddPart(response.text);
      for (const SharedBytes& piece : response.pieces) AddPart(piece.text());
    }
    complete = co_await WriteParts();
  }
  Report(response, started, complete);
  // Unread bytes would make the kernel reset the connection, and the client might lose the answer.
  if (!keep_alive && begin_ < end_) linger_ = true;
  co_return complete&& keep_alive;
}

runtime::Task<bool> Connection::StreamBody(HttpResponse* response) {
  if (!co_await WriteParts()) co_return false;
  const bool chunked = assembler_.framing().http11 && !response->stream_size;
  if (!ctx_) MakeContext();
  Writer writer(*this, chunked, response->stream_size);
  Watched<Result<void>> producing(*this, response->stream(*ctx_, &writer));
  const Result<void> produced = co_await producing;
  if (ended_ || stopping_) {
    core_.metrics.disconnected.Add();
    co_return false;
  }
  if (!produced.ok() || !writer.complete()) co_return false;
  if (chunked) {
    AddPart("0\r\n\r\n");
    co_return co_await WriteParts();
  }
  co_return true;
}

}  // namespace mezzo::net
