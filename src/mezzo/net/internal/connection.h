#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/net/http_server.h"
#include "mezzo/net/internal/body_buffer.h"
#include "mezzo/net/internal/http_metrics.h"
#include "mezzo/net/internal/request_assembler.h"
#include "mezzo/net/internal/transport.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::net {

/// What all connections of a server share. Outlives them.
struct ServerCore {
  ServerCore(HttpServer::Options o, HttpHandler& h, observe::Registry& registry)
      : options(std::move(o)),
        handler(h),
        metrics(registry, options.name),
        budget(std::make_shared<ByteBudget>(options.max_bytes_in_flight)) {}

  const HttpServer::Options options;
  HttpHandler& handler;
  HttpMetrics metrics;
  const std::shared_ptr<ByteBudget> budget;
  const RealClock clock{};
};

/// What connections of one loop read; the loop's sweep writes it. Loop's thread only.
struct LoopFacts {
  runtime::Loop* loop = nullptr;
  TimePoint now;     ///< As of the last sweep: good for deadlines.
  std::string date;  ///< "Date: ...\r\n", as of the last sweep.
  bool draining = false;
};

struct Peer {
  std::string address;
  bool is_loopback = false;
};

/// One client's connection: reads a request, has it handled, writes the answer, again and again.
///
/// States: handshake → idle → head → body → handling → (writing) → idle, and from each to closing. While a
/// request is handled a read stays armed: it collects pipelined bytes and sees the client leave. Loop's
/// thread only.
class Connection final : public TransportEvents {
 public:
  Connection(ServerCore& core, const LoopFacts& facts, std::unique_ptr<Transport> transport, Peer peer,
             bool tls);

  /// Ends when the connection has closed and no operation runs any more: it may be destroyed then.
  runtime::Task<void> Run();
  /// Checks the deadlines.
  void Sweep(TimePoint now);
  /// Closes when idle; otherwise the next response is the last.
  void Drain();
  /// Cancels the running request and closes.
  void Stop();
  [[nodiscard]] const Peer& peer() const { return peer_; }

 private:
  enum class Phase : std::uint8_t { kHandshake, kIdle, kHead, kBody, kHandling, kClosing };
  class Writer;
  struct ReadAwaiter;
  struct ReadEnd;
  struct WriteAwaiter;
  struct ShutdownAwaiter;
  struct BodyReadAwaiter;
  template <typename T>
  struct Watched;

  void OnRead(bool ok, std::size_t count) override;
  void OnWritten(bool ok, std::size_t count) override;

  // connection.cc: the life of a connection and the reading of heads.
  runtime::Task<bool> Handshake();
  runtime::Task<bool> ServeOne();
  runtime::Task<bool> ReadHead();
  runtime::Task<void> Finish();
  void BeginRequest();
  void MakeContext();
  void EnterPhase(Phase phase, Duration limit);
  void MakeRoom();
  void StartBufferRead();
  void StartWatch();
  void CancelRequest();
  void Expire();
  [[nodiscard]] bool BodyTooSlow(TimePoint now) const;
  [[nodiscard]] ReadAwaiter Read();
  [[nodiscard]] std::string_view unread() const { return {buffer_.get() + begin_, end_ - begin_}; }

  // connection_body.cc
  runtime::Task<bool> ReadBody(const BodyPlan* plan);
  runtime::Task<bool> ReadSized(BodyBuffer* body);
  runtime::Task<bool> ReadChunked(BodyBuffer* body, ByteCount max_body);
  runtime::Task<bool> Decode(const BodyPlan* plan, BodyBuffer* body);
  runtime::Task<bool> SendContinue();
  bool TakeUnread(BodyBuffer* body, std::size_t wanted);
  bool Fail(HttpError error);
  bool FailRead(const BodyBuffer& body);
  bool FailBudget();
  bool MakeRoomForChunks();

  // connection_respond.cc
  runtime::Task<bool> Refuse(HttpResponse response);
  runtime::Task<bool> RefuseError();
  runtime::Task<bool> Respond(HttpResponse response);
  runtime::Task<void> CompressBody(HttpResponse* response);
  runtime::Task<bool> StreamBody(HttpResponse* response);
  runtime::Task<bool> WriteParts();
  void FormatHead(const HttpResponse& response, bool keep_alive);
  void AddPart(std::string_view bytes);
  void Advance(std::size_t count);
  void Report(const HttpResponse& response, TimePoint started, bool complete);

  ServerCore& core_;
  const LoopFacts& facts_;
  const std::unique_ptr<Transport> transport_;
  const Peer peer_;
  const bool tls_;

  // The buffer: [begin_, end_) is unread, what lies before begin_ belongs to the request being served.
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t request_start_ = 0;

  RequestAssembler assembler_;
  HttpRequest request_;
  std::optional<runtime::Context> ctx_;
  std::optional<HttpError> error_;
  BodyBuffer* body_target_ = nullptr;  // Where the running read goes; null: the buffer.

  Phase phase_ = Phase::kHandshake;
  TimePoint deadline_ = kNever;
  TimePoint write_deadline_ = kNever;
  TimePoint body_started_{};
  TimePoint first_byte_at_{};
  std::uint64_t body_received_ = 0;
  std::uint64_t served_ = 0;
  std::uint64_t sent_ = 0;  // Of the current response.

  std::coroutine_handle<> reader_;
  std::coroutine_handle<> writer_;
  bool reading_ = false;   // A read of the transport runs.
  bool watching_ = false;  // A handler runs: the end of the stream cancels it.
  bool ended_ = false;     // The client has closed, or the transport failed.
  bool expired_ = false;   // A deadline has passed; reads end at once.
  bool stopping_ = false;
  bool linger_ = false;  // The client may still be sending: closing at once could destroy the answer.
  bool write_ok_ = false;
  bool write_timed_out_ = false;
  std::size_t written_ = 0;

  std::string head_;
  std::vector<iovec> parts_;
  std::size_t first_part_ = 0;
};

struct Connection::ReadAwaiter {
  Connection& self;
  [[nodiscard]] bool await_ready() const noexcept { return self.ended_ || self.expired_; }
  void await_suspend(std::coroutine_handle<> handle) const;
  /// False at the end of the stream and after a deadline.
  [[nodiscard]] bool await_resume() const noexcept { return !self.ended_ && !self.expired_; }
};

}  // namespace mezzo::net
