#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/base/mutex.h"
#include "mezzo/net/http_server.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::jobs {

/// A webhook as it came in.
struct Received {
  std::string path;
  std::string id;
  std::string timestamp;
  std::string signature;
  std::string content_type;
  std::string body;
};

/// A tenant's server on a free port of the loopback: keeps what comes, and answers as it is told to. Paths
/// that begin with "/hang" are not answered.
class WebhookReceiver final : public net::HttpHandler {
 public:
  using Answer = std::function<net::HttpResponse(const Received&)>;

  WebhookReceiver() : WebhookReceiver([](const Received&) { return Status(200); }) {}
  explicit WebhookReceiver(Answer answer) : answer_(std::move(answer)) {
    const auto listening = server_.Listen("127.0.0.1", 0);
    EXPECT_TRUE(listening.ok()) << listening.error().ToString();
  }

  static net::HttpResponse Status(int status, std::vector<std::pair<std::string, std::string>> headers = {}) {
    net::HttpResponse response;
    response.status = status;
    response.headers = std::move(headers);
    return response;
  }
  [[nodiscard]] std::string Url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(server_.port()) + path;
  }
  std::vector<Received> Got() {
    MutexLock lock(mu_);
    return got_;
  }
  /// What has come once there are `count`, or after ten seconds.
  std::vector<Received> Await(std::size_t count) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    MutexLock lock(mu_);
    while (got_.size() < count && changed_.WaitUntil(mu_, limit)) {
    }
    return got_;
  }

  [[nodiscard]] net::BodyPlan PlanBody(const net::HttpRequest& /*head*/) const override { return {}; }
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, net::HttpRequest* request) override {
    const auto header = [request](std::string_view name) {
      return std::string(request->Header(name).value_or(""));
    };
    const Received received{.path = std::string(request->path()),
                            .id = header("webhook-id"),
                            .timestamp = header("webhook-timestamp"),
                            .signature = header("webhook-signature"),
                            .content_type = header("content-type"),
                            .body = std::string(request->body().text())};
    Keep(received);
    if (received.path.starts_with("/hang")) (void)co_await runtime::SleepUntil(ctx, kNever);
    co_return answer_(received);
  }

 private:
  void Keep(const Received& received) {
    MutexLock lock(mu_);
    got_.push_back(received);
    changed_.NotifyAll();
  }

  const Answer answer_;
  Mutex mu_;
  CondVar changed_;
  std::vector<Received> got_ GUARDED_BY(mu_);
  observe::Registry registry_;
  runtime::IoThreads loops_{1};
  net::HttpServer server_{{}, *this, loops_, registry_};  // Last: ends before what it uses.
};

}  // namespace mezzo::jobs
