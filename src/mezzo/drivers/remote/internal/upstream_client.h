#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/engine/engine.h"
#include "mezzo/net/http_client.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/breaker.h"
#include "mezzo/runtime/retry.h"

namespace mezzo::drivers {

/// Of all upstreams. Series are by model, since upstreams are named by models.
class RemoteMetrics {
 public:
  explicit RemoteMetrics(observe::Registry& registry)
      : requests(registry.NewCounterFamily("mezzo_remote_requests_total",
                                           "Requests to upstreams that ended, retries included in each.",
                                           {"model", "outcome"}, 1024)),
        seconds(registry.NewHistogramFamily("mezzo_remote_request_seconds",
                                            "Time of requests to upstreams, retries included.", {"model"},
                                            256)),
        retries(registry.NewCounterFamily("mezzo_remote_retries_total", "Attempts after the first.",
                                          {"model"}, 256)) {}
  observe::Family<observe::Counter>& requests;
  observe::Family<observe::Histogram>& seconds;
  observe::Family<observe::Counter>& retries;
};

/// Ends a run at an upstream, wherever it is: waiting for the next attempt or for an answer. Thread-safe.
class RemoteControl final : public engine::RunControl {
 public:
  void Terminate() override EXCLUDES(mu_);
  void Reset() override { terminated_.store(false); }
  /// Sleeps until `until`. False when the run was ended.
  [[nodiscard]] bool SleepUntil(TimePoint until) EXCLUDES(mu_);
  [[nodiscard]] const std::atomic<bool>& terminated() const { return terminated_; }

 private:
  std::atomic<bool> terminated_{false};  // Set with mu_ held, so that no sleeper misses it.
  Mutex mu_;
  CondVar changed_;
};

struct UpstreamRequest {
  std::string method;
  std::string path;  ///< Behind the upstream's URL, encoded: "/v2/models/x/infer".
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// Whether it may be sent again when nobody knows what became of it. Refusals are always tried again.
  bool repeatable = true;
};

/// Sends requests to one upstream: with its headers, a timeout for each attempt, retries within a budget for
/// what may pass (no connection, 429, 502, 503; with Retry-After where it says so), and a breaker that stops
/// asking an upstream that keeps failing. Thread-safe; blocks.
class UpstreamClient {
 public:
  struct Options {
    std::string model;                                         ///< For messages and metrics.
    std::string url;                                           ///< Without a slash at its end.
    std::vector<std::pair<std::string, std::string>> headers;  ///< With their secrets.
    Duration timeout{};
    int retries = 0;
    runtime::Backoff::Options backoff;
    runtime::RetryBudget::Options retry_budget;
    runtime::Breaker::Options breaker;
    net::HttpClient::Options http;
  };
  /// `clock`, and the registry behind `metrics`, outlive it.
  UpstreamClient(Options options, const Clock& clock, std::shared_ptr<RemoteMetrics> metrics);

  /// An answer with status 200. Else the errors of RemoteEngine. `control` may be null.
  Result<net::ClientResponse> Send(const UpstreamRequest& request, RemoteControl* control) EXCLUDES(mu_);
  [[nodiscard]] const std::string& model() const { return options_.model; }
  /// kUnknown "upstream_answer_invalid".
  [[nodiscard]] Error Invalid(const std::string& what) const;

 private:
  struct Attempt {
    Result<net::ClientResponse> outcome;
    bool again = false;  ///< It may pass.
    Duration wait{};     ///< At least so long, says the upstream.
  };
  Result<net::ClientResponse> SendWithRetries(const UpstreamRequest& request, RemoteControl* control);
  Attempt Try(const UpstreamRequest& request, RemoteControl* control);
  [[nodiscard]] Attempt Judge(Result<net::ClientResponse> response, bool repeatable) const;
  [[nodiscard]] std::string Subject() const;

  const Options options_;
  const Clock& clock_;
  const std::shared_ptr<RemoteMetrics> metrics_;
  observe::Series<observe::Histogram> time_;
  observe::Series<observe::Counter> retries_;
  net::HttpClient http_;
  runtime::RetryBudget budget_;
  Mutex mu_;
  runtime::Breaker breaker_ GUARDED_BY(mu_);
};

}  // namespace mezzo::drivers
