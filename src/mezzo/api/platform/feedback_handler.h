#pragma once

#include <chrono>
#include <span>

#include "mezzo/api/platform/problem.h"
#include "mezzo/base/clock.h"
#include "mezzo/jobs/job_reader.h"
#include "mezzo/releases/feedback.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::platform {

/// What callers thought of answers, for the release that drew them:
///
///     POST   /v1/feedback   {"model", "route", "request_id", "metric", "value", "label", "correction"}
///     POST   /v1/feedback   {"job", "metric", "value", "label", "correction"}
///
/// The second is of what a job of the caller's tenant has made: its result says by which model and route.
/// `route` is the answer's X-Mezzo-Route. `metric` is one of the release's custom metrics, "score" when it is
/// left out; `label` and `correction` may be left out. Answers {"counted": false} when this request's
/// feedback was counted before. Errors are problem details. Thread-safe.
class FeedbackHandler final : public ProblemProtocol {
 public:
  static constexpr const char* kRoot = "/v1/feedback";

  struct Options {
    Duration database_timeout = std::chrono::seconds(10);
  };
  /// All outlive the handler. `clock` is the hosts' shared one.
  struct Ports {
    releases::ReleaseStore& store;
    releases::OutcomeBoard& board;  ///< Of this host.
    runtime::BlockingPool& pool;    ///< Asks the database.
    const Clock& clock;
    jobs::JobReader* jobs = nullptr;  ///< Null: there are no jobs.
  };
  FeedbackHandler(Options options, Ports ports) : options_(options), ports_(ports) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  [[nodiscard]] Result<net::HttpResponse> Take(const RoutedCall& call) const;
  /// Which answer the job is: fills in model, route and request. Fails as JobReader::Get(), and with
  /// kFailedPrecondition "feedback_no_answer".
  Result<void> FindJob(const TenantId& tenant, const std::string& job, releases::Feedback& feedback) const;

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::platform
