#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/base/mutex.h"
#include "mezzo/drivers/s3/s3_options.h"
#include "mezzo/net/http_server.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::drivers::testing {

/// An HTTP server that answers what it was told to, in order, whatever it is asked; then 200 without a body.
/// For failures that a real store can't be made to have.
class ScriptedS3 final : public net::HttpHandler {
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
    std::map<std::string, std::string> headers;  ///< Names as received.
    std::string body;
  };

  ScriptedS3() {
    const auto listening = server_->Listen("127.0.0.1", 0);
    EXPECT_TRUE(listening.ok()) << listening.error().ToString();
  }

  void Script(std::vector<Answer> answers) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    answers_.assign(std::make_move_iterator(answers.begin()), std::make_move_iterator(answers.end()));
    seen_.clear();
  }
  /// <Error> with a code, as S3 words it.
  static std::string ErrorBody(const std::string& code) {
    return "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>" + code +
           "</Code><Message>made up</Message><Resource>/bucket/x</Resource></Error>";
  }
  [[nodiscard]] std::vector<Seen> seen() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return seen_;
  }
  [[nodiscard]] S3Options Options() const {
    S3Options options;
    options.endpoint = "http://127.0.0.1:" + std::to_string(server_->port());
    options.private_network = true;
    options.bucket = "bucket";
    options.archive_class = "COLD";
    options.credentials = [] {
      return Result<S3Credentials>(
          S3Credentials{.access_key = "access", .secret_key = "secret", .session_token = ""});
    };
    options.backoff = {.first = std::chrono::milliseconds(1), .longest = std::chrono::milliseconds(2)};
    return options;
  }

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
    MutexLock lock(mu_);
    Seen seen{.method = std::string(request.method_text()),
              .target = std::string(request.target()),
              .headers = {},
              .body = std::string(request.body().text())};
    for (const auto& [name, value] : request.headers()) seen.headers.emplace(name, value);
    seen_.push_back(std::move(seen));
    if (answers_.empty()) return {};
    Answer answer = std::move(answers_.front());
    answers_.pop_front();
    return answer;
  }

  mutable Mutex mu_;
  std::deque<Answer> answers_ GUARDED_BY(mu_);
  std::vector<Seen> seen_ GUARDED_BY(mu_);
  observe::Registry registry_;
  runtime::IoThreads threads_{1};
  const std::unique_ptr<net::HttpServer> server_ =
      std::make_unique<net::HttpServer>(net::HttpServer::Options{}, *this, threads_, registry_);  // Last.
};

}  // namespace mezzo::drivers::testing
