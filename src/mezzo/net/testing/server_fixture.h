#pragma once

#include <atomic>
#include <charconv>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "mezzo/base/mutex.h"
#include "mezzo/net/http_server.h"
#include "mezzo/net/testing/raw_client.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::net::testing {

/// An event between a loop and the test's thread.
template <typename T>
class Mailbox {
 public:
  void Put(T value) {
    MutexLock lock(mu_);
    value_ = std::move(value);
    filled_.NotifyAll();
  }
  T Take() {
    MutexLock lock(mu_);
    while (!value_) filled_.Wait(mu_);
    return *std::exchange(value_, std::nullopt);
  }

 private:
  Mutex mu_;
  CondVar filled_;
  std::optional<T> value_ GUARDED_BY(mu_);
};

/// Answers by path; what each does is in Handle().
class PathHandler final : public HttpHandler {
 public:
  [[nodiscard]] BodyPlan PlanBody(const HttpRequest& head) const override {
    BodyPlan plan;
    plan.max_body = 8 << 20;
    if (head.path() == "/forbidden")
      plan.refusal = std::make_unique<HttpResponse>(HttpResponse::ErrorJson(403, "no"));
    if (head.path() == "/small") plan.max_body = 10;
    if (head.path() == "/sized") plan.require_length = true;
    plan.align_offset = Number(head, "offset");
    return plan;
  }

  runtime::Task<HttpResponse> Handle(runtime::Context ctx, HttpRequest* request) override {
    const std::string_view path = request->path();
    if (path == "/hang" || path == "/wait") co_return co_await Hang(std::move(ctx));
    if (path == "/later") (void)co_await runtime::SleepUntil(ctx, std::chrono::steady_clock::now());
    HttpResponse response;
    if (path == "/echo" || path == "/later" || path == "/small" || path == "/sized") {
      response.pieces.push_back(request->body());
    } else if (path == "/hello") {
      response.text = "hello";
    } else if (path == "/align") {
      const auto address =
          reinterpret_cast<std::uintptr_t>(request->body().data()) + Number(*request, "offset");
      response.text = std::to_string(address % 64) + " " + std::to_string(request->body().size());
    } else if (path == "/keep") {
      kept = request->body().Slice(0, request->body().size());
    } else if (path == "/header") {
      response.text = request->Header("x-mark").value_or("none");
    } else if (path == "/pieces") {
      response.text = "head";
      response.pieces.push_back(SharedBytes::FromString(std::string(100, 'p')));
      response.pieces.push_back(SharedBytes::FromString(std::string(200, 'q')));
    } else if (path == "/context") {
      response.text = ctx.request_id() + " " + ctx.trace().trace_id.Hex();
    } else if (path == "/inject") {
      response.headers.emplace_back("X-Evil", "a\r\nSet-Cookie: b");
    } else if (path == "/stream") {
      response.content_type = "text/event-stream";
      const std::size_t count = Number(*request, "count");
      response.stream = [count](runtime::Context, BodyWriter* out) { return Count(count, out); };
      if (request->QueryValue("size")) response.stream_size = Number(*request, "size");
    } else if (path == "/flood") {
      response.stream = [this](runtime::Context, BodyWriter* out) { return Flood(out); };
    } else if (path == "/text") {
      response.content_type = "text/plain";
      response.compressible = true;
      response.text = std::string(50'000, 't');
    } else if (path == "/hooks") {
      response.text = "hooks";
      response.after_write = [this](const WriteReport& report) { reports_.Put(report); };
    } else {
      response = HttpResponse::ErrorJson(404, "no such path");
    }
    co_return response;
  }

  void WaitHanging() { hanging_.Take(); }
  TimePoint WaitCancelled() { return cancelled_.Take(); }
  std::string WaitFloodEnd() { return flood_end_.Take(); }
  WriteReport WaitReport() { return reports_.Take(); }
  void Release() {
    MutexLock lock(mu_);
    if (release_) release_->Cancel();
  }

  SharedBytes kept;
  std::atomic<std::uint64_t> flooded{0};

 private:
  static std::size_t Number(const HttpRequest& request, std::string_view name) {
    const std::string_view text = request.QueryValue(name).value_or("0");
    std::size_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
  }
  static runtime::Task<Result<void>> Count(std::size_t count, BodyWriter* out) {
    for (std::size_t i = 0; i < count; ++i) {
      MEZZO_CO_TRY_VOID(co_await out->WriteText("data: " + std::to_string(i) + "\n\n"));
    }
    co_return Result<void>();
  }
  runtime::Task<Result<void>> Flood(BodyWriter* out) {
    const SharedBytes piece = SharedBytes::FromString(std::string(64 << 10, 'f'));
    while (true) {
      const auto written = co_await out->Write(piece);
      if (!written.ok()) {
        flood_end_.Put(written.error().reason());
        co_return written.error();
      }
      flooded += piece.size();
    }
  }
  /// Until the client leaves or Release().
  runtime::Task<HttpResponse> Hang(runtime::Context ctx) {
    const runtime::Context gate;
    {
      MutexLock lock(mu_);
      release_.emplace(gate);
    }
    // The first of the two cancellations ends the sleep.
    const runtime::CancelRegistration forward(ctx.cancel_state(), [gate] { gate.Cancel(); });
    hanging_.Put(true);
    const auto slept = co_await runtime::SleepUntil(gate, kNever);
    if (ctx.cancelled()) cancelled_.Put(std::chrono::steady_clock::now());
    HttpResponse response;
    response.text = "released";
    co_return response;
  }

  Mailbox<bool> hanging_;
  Mailbox<TimePoint> cancelled_;
  Mailbox<std::string> flood_end_;
  Mailbox<WriteReport> reports_;
  Mutex mu_;
  std::optional<runtime::Context> release_ GUARDED_BY(mu_);
};

/// A server with PathHandler on a free port of the loopback.
class ServerTest : public ::testing::Test {
 protected:
  HttpServer::Options& Options() { return options_; }
  void Start(std::size_t loops = 1) {
    options_.sweep_interval = std::chrono::milliseconds(5);
    threads_ = std::make_unique<runtime::IoThreads>(loops);
    server_ = std::make_unique<HttpServer>(options_, handler_, *threads_, registry_);
    const auto listening = server_->Listen("127.0.0.1", 0);
    ASSERT_TRUE(listening.ok()) << listening.error().ToString();
  }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  HttpServer& server() { return *server_; }
  PathHandler& handler() { return handler_; }
  runtime::IoThreads& threads() { return *threads_; }
  observe::Registry& registry() { return registry_; }
  [[nodiscard]] RawClient Connect() const { return RawClient(port()); }
  static std::string Post(const std::string& target, const std::string& body,
                          const std::string& headers = "") {
    return "POST " + target + " HTTP/1.1\r\nHost: a\r\n" + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

 private:
  HttpServer::Options options_;
  observe::Registry registry_;
  PathHandler handler_;
  std::unique_ptr<runtime::IoThreads> threads_;
  std::unique_ptr<HttpServer> server_;  // Last: ends before the loops and the handler do.
};

}  // namespace mezzo::net::testing
