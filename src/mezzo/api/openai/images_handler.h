#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mezzo/api/openai/dialect.h"
#include "mezzo/api/openai/image_request.h"
#include "mezzo/api/openai/media_jobs.h"
#include "mezzo/base/clock.h"
#include "mezzo/jobs/job.h"
#include "mezzo/net/http_types.h"
#include "mezzo/net/multipart.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api::openai {

/// OpenAI's pictures over durable jobs of kind "image":
///
///     POST /v1/images/generations   JSON
///     POST /v1/images/edits         a form with `image` (or `image[]`) and perhaps `mask`
///
/// The answer waits for the job; with `stream` it is server-sent events, partial pictures among them. A
/// caller that leaves cancels its job. What differs from OpenAI is listed in docs/protocol-openai.md.
/// Thread-safe.
class ImagesHandler final : public Dialect {
 public:
  static constexpr std::string_view kRoot = "/v1/images";

  struct Options {
    std::string default_model;  ///< Of requests that name none; empty: they are refused.
    ByteCount max_json = ByteCount{256} << 10;
    ByteCount max_form = ByteCount{64} << 20;
    ByteCount max_picture = ByteCount{50} << 20;  ///< Of each picture in a form.
    Duration longest_wait = std::chrono::minutes(10);
    Duration heartbeat = std::chrono::seconds(15);  ///< Of a stream on which nothing happens.
    Duration url_lifetime = std::chrono::hours(1);
  };
  /// All outlive the handler.
  struct Ports {
    const MediaJobs& media;
  };
  ImagesHandler(Options options, Ports ports) : options_(std::move(options)), ports_(ports) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  [[nodiscard]] net::BodyPlan Plan(const net::HttpRequest& head, const RouteMatch& match) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;

  /// One request on its way; outlives it in a stream.
  struct Work {
    bool edit = false;
    tenancy::TenantRef tenant;
    tenancy::CallerRef caller;
    tenancy::LimitState* limit = nullptr;  ///< Until the handler has answered.
    ImageRequest image;
    jobs::JobId job;
    TimePoint until{};
    std::string param;  ///< The member that a failure is about.
  };
  using WorkRef = std::shared_ptr<Work>;
  /// A picture that a job has made.
  struct Made {
    std::string artifact;
    std::string size;  ///< "WxH"
    std::uint64_t seed = 0;
  };

  runtime::Task<Answer> Serve(runtime::Context ctx, net::HttpRequest* request, WorkRef work) const;
  [[nodiscard]] Result<std::vector<UploadKeeper::Upload>> Read(const net::HttpRequest& request,
                                                               Work& work) const;
  [[nodiscard]] Result<std::vector<UploadKeeper::Upload>> PicturesOf(const std::vector<net::FormPart>& parts,
                                                                     MediaMembers& members) const;
  [[nodiscard]] Answer Encode(const net::HttpRequest& request, const Work& work, const jobs::Job& job) const;
  [[nodiscard]] static Result<std::vector<Made>> MadeBy(const jobs::Job& job);
  /// X-Mezzo-Route of what the job has made; empty: no route has picked its version.
  [[nodiscard]] static std::string RouteOf(const jobs::Job& job);

  // images_stream.cc
  [[nodiscard]] net::HttpResponse Stream(WorkRef work) const;
  runtime::Task<Result<void>> RunStream(runtime::Context ctx, net::BodyWriter* out, WorkRef work) const;
  runtime::Task<Result<void>> Follow(runtime::Context ctx, net::BodyWriter* out, WorkRef work) const;
  [[nodiscard]] Result<std::string> PartialEvents(const Work& work, std::int64_t attempt,
                                                  std::set<std::string>* seen) const;
  [[nodiscard]] Result<std::string> CompletedEvents(const Work& work, const jobs::Job& job) const;

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::openai
