#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/api/blob_server.h"
#include "mezzo/api/openai/dialect.h"
#include "mezzo/api/openai/media_jobs.h"
#include "mezzo/api/openai/video_request.h"
#include "mezzo/base/clock.h"
#include "mezzo/jobs/job.h"
#include "mezzo/net/http_types.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api::openai {

/// OpenAI's videos over durable jobs of kind "storyboard":
///
///     POST   /v1/videos                JSON or a form; Idempotency-Key
///     GET    /v1/videos                ?limit ?after ?order
///     GET    /v1/videos/{id}
///     GET    /v1/videos/{id}/content   ?variant=video|thumbnail|spritesheet; byte ranges
///     POST   /v1/videos/{id}/remix     the same video of another prompt
///     DELETE /v1/videos/{id}           cancels it first if it is being made
///
/// A video's id is "video_" and its job's. What differs from OpenAI is listed in docs/protocol-openai.md.
/// Thread-safe.
class VideosHandler final : public Dialect {
 public:
  static constexpr std::string_view kRoot = "/v1/videos";

  struct Options {
    std::string default_model;  ///< Of requests that name none; empty: they are refused.
    ByteCount max_body = ByteCount{64} << 20;
    ByteCount max_picture = ByteCount{20} << 20;  ///< Of the reference.
    std::size_t max_page = 100;
    std::optional<Duration> retention;                   ///< Of what a job has made; for ever when not set.
    Duration longest_cancel = std::chrono::seconds(10);  ///< A DELETE waits so long for a running job to end.
  };
  /// All outlive the handler.
  struct Ports {
    const MediaJobs& media;
    BlobServer& blobs;
  };
  VideosHandler(Options options, Ports ports) : options_(std::move(options)), ports_(ports) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  [[nodiscard]] net::BodyPlan Plan(const net::HttpRequest& head, const RouteMatch& match) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall routed) override;

 private:
  using Answer = Result<net::HttpResponse>;
  struct Call {
    net::HttpRequest* request = nullptr;
    tenancy::TenantRef tenant;
    tenancy::CallerRef caller;
    tenancy::LimitState* limit = nullptr;
    std::string id;     ///< Of the video, as the path has it.
    std::string param;  ///< The member that a failure is about.
  };
  using CallRef = std::shared_ptr<Call>;

  runtime::Task<Answer> Dispatch(runtime::Context ctx, int route, CallRef call) const;
  runtime::Task<Answer> Create(runtime::Context ctx, CallRef call) const;
  runtime::Task<Answer> List(runtime::Context ctx, CallRef call) const;
  runtime::Task<Answer> Get(runtime::Context ctx, CallRef call) const;
  runtime::Task<Answer> Content(runtime::Context ctx, CallRef call) const;
  runtime::Task<Answer> Remix(runtime::Context ctx, CallRef call) const;
  runtime::Task<Answer> Delete(runtime::Context ctx, CallRef call) const;

  /// The video's job, if it is one of the tenant's. Fails with kNotFound "video_unknown".
  runtime::Task<Result<jobs::Job>> Find(runtime::Context ctx, CallRef call) const;
  runtime::Task<Answer> Submit(runtime::Context ctx, CallRef call, VideoRequest video) const;
  /// The request, and the picture that comes with it.
  [[nodiscard]] Result<VideoRequest> Read(Call& call, std::vector<UploadKeeper::Upload>* uploads,
                                          std::string* decoded) const;
  [[nodiscard]] Result<jobs::JobReader::ListRequest> ListOf(const Call& call) const;
  [[nodiscard]] net::HttpResponse Respond(const jobs::Job& job) const;
  [[nodiscard]] std::string VideoJson(const jobs::Job& job) const;

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::openai
