#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/base/mutex.h"
#include "mezzo/base/strings.h"
#include "mezzo/net/http_server.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::drivers::testing {

/// An HTTP server on this host that answers as a test says, and remembers what it was asked.
class FakeUpstream final : public net::HttpHandler {
 public:
  struct Answer {
    int status = 200;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
    Duration delay{};
  };
  struct Seen {
    std::string method;
    std::string target;
    std::map<std::string, std::string> headers;  ///< Names in lower case.
    std::string body;
  };
  /// Gets the request and the number of those before it.
  using Script = std::function<Answer(const Seen& seen, std::size_t before)>;

  FakeUpstream() {
    const auto listening = server_->Listen("127.0.0.1", 0);
    EXPECT_TRUE(listening.ok()) << listening.error().ToString();
  }

  void Answers(Script script) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    script_ = std::move(script);
    seen_.clear();
  }
  [[nodiscard]] std::vector<Seen> seen() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return seen_;
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }

  [[nodiscard]] net::BodyPlan PlanBody(const net::HttpRequest&) const override { return {}; }
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, net::HttpRequest* request) override {
    const Answer answer = Take(*request);
    if (answer.delay > Duration::zero()) {
      (void)co_await runtime::SleepUntil(ctx, std::chrono::steady_clock::now() + answer.delay);
    }
    net::HttpResponse response;
    response.status = answer.status;
    response.text = answer.body;
    response.headers = answer.headers;
    co_return response;
  }

 private:
  Answer Take(const net::HttpRequest& request) EXCLUDES(mu_) {
    Seen seen{.method = std::string(request.method_text()),
              .target = std::string(request.target()),
              .headers = {},
              .body = std::string(request.body().text())};
    for (const auto& [name, value] : request.headers()) seen.headers.emplace(ToLower(name), value);
    MutexLock lock(mu_);
    seen_.push_back(seen);
    return script_ == nullptr ? Answer{} : script_(seen, seen_.size() - 1);
  }

  mutable Mutex mu_;
  Script script_ GUARDED_BY(mu_);
  std::vector<Seen> seen_ GUARDED_BY(mu_);
  observe::Registry registry_;
  runtime::IoThreads threads_{1};
  const std::unique_ptr<net::HttpServer> server_ =
      std::make_unique<net::HttpServer>(net::HttpServer::Options{}, *this, threads_, registry_);  // Last.
};

}  // namespace mezzo::drivers::testing
