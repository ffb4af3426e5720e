#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "mezzo/api/platform/job_artifacts.h"
#include "mezzo/api/platform/job_json.h"
#include "mezzo/api/platform/problem.h"
#include "mezzo/base/clock.h"
#include "mezzo/jobs/job_service.h"
#include "mezzo/net/http_types.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api::platform {

/// Durable jobs over HTTP (docs/protocol-jobs.md):
///
///     POST   /v1/jobs                submit; Idempotency-Key; ?wait=seconds
///     GET    /v1/jobs                list: ?limit ?after ?status ?kind ?order
///     GET    /v1/jobs/{id}           one job; ?wait=seconds waits for its end
///     GET    /v1/jobs/{id}/events    server-sent events, resumable by Last-Event-ID on any host
///     GET    /v1/jobs/{id}/artifacts what it has made, with URLs: ?limit ?after
///     POST   /v1/jobs/{id}/cancel
///     POST   /v1/jobs/{id}/retry     a new job from a failed or cancelled one
///     POST   /v1/jobs/{id}/shots/{n}/redo   a new version of a video, with another shot n
///
/// Errors are problem details (problem.h). Thread-safe.
class JobsHandler final : public ProblemProtocol {
 public:
  struct Options {
    JobLimits limits;
    Duration longest_wait = std::chrono::seconds(60);
    Duration heartbeat = std::chrono::seconds(15);  ///< Of an event stream on which nothing happens.
    std::size_t max_page = 100;
  };
  /// All outlive the handler. Without `artifacts` there is no list of them.
  struct Ports {
    jobs::JobService& service;
    const Clock& clock;
    const JobArtifacts* artifacts = nullptr;
  };
  JobsHandler(Options options, Ports ports) : options_(options), ports_(ports) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall routed) override;

 private:
  using Answer = Result<net::HttpResponse>;
  struct Call {
    net::HttpRequest* request = nullptr;
    tenancy::TenantRef tenant;
    tenancy::CallerRef caller;
    tenancy::LimitState* limit = nullptr;
    jobs::JobId id;
    std::string shot;  ///< The path's, for kRedo.
    Duration wait{};
  };

  [[nodiscard]] Result<Duration> WaitOf(const net::HttpRequest& request) const;
  [[nodiscard]] Result<jobs::JobReader::ListRequest> ListOf(const Call& call) const;

  runtime::Task<Answer> Dispatch(runtime::Context ctx, int route, Call call) const;
  runtime::Task<Answer> Submit(runtime::Context ctx, Call call) const;
  /// `body` is that of POST /v1/jobs.
  runtime::Task<Answer> Enqueue(runtime::Context ctx, Call call, std::string_view body) const;
  runtime::Task<Answer> Redo(runtime::Context ctx, Call call) const;
  runtime::Task<Answer> List(runtime::Context ctx, Call call) const;
  runtime::Task<Answer> Get(runtime::Context ctx, Call call) const;
  runtime::Task<Answer> Cancel(runtime::Context ctx, Call call) const;
  runtime::Task<Answer> Retry(runtime::Context ctx, Call call) const;
  runtime::Task<Answer> Artifacts(runtime::Context ctx, Call call) const;
  runtime::Task<Answer> Events(runtime::Context ctx, Call call) const;
  runtime::Task<Result<void>> StreamEvents(runtime::Context ctx, net::BodyWriter* out,
                                           tenancy::TenantRef tenant, jobs::JobId id,
                                           std::int64_t after) const;

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::platform
