#include "mezzo/api/platform/artifacts_handler.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

using storage::UrlSigner;

constexpr ByteCount kIgnoredBody = 1024;
constexpr std::array<Route, 2> kRoutes = {
    Route{net::Method::kGet, "/v1/artifacts/*/*/#/*", std::nullopt, kIgnoredBody, 0},
    Route{net::Method::kHead, "/v1/artifacts/*/*/#/*", std::nullopt, kIgnoredBody, 0}};

}  // namespace

Result<UrlSigner::Grant> ArtifactsHandler::Check(const net::HttpRequest& request) const {
  const std::string_view key = request.path().substr(kRoot.size() + 1);
  return ports_.signer.Verify(net::Method::kGet, key, request.query(), ports_.clock.WallNow());
}

std::span<const Route> ArtifactsHandler::routes() const { return kRoutes; }

net::BodyPlan ArtifactsHandler::Plan(const net::HttpRequest& head, const RouteMatch& match) const {
  net::BodyPlan plan;
  plan.max_body = match.route->max_body;
  if (const auto grant = Check(head); !grant.ok()) {
    plan.refusal = std::make_unique<net::HttpResponse>(ProblemResponse(grant.error()));
  }
  return plan;
}

runtime::Task<net::HttpResponse> ArtifactsHandler::Handle(runtime::Context ctx, RoutedCall call) {
  Result<net::HttpResponse> answer = co_await Serve(std::move(ctx), call.request);
  co_return ResponseOf(std::move(answer));
}

runtime::Task<Result<net::HttpResponse>> ArtifactsHandler::Serve(runtime::Context ctx,
                                                                 net::HttpRequest* request) const {
  // Again: the URL may have expired since the head was there.
  MEZZO_CO_TRY(UrlSigner::Grant grant, Check(*request));
  BlobServer::Presentation presentation{
      .file_name = std::move(grant.file_name),
      .fresh = std::max(grant.expires_at - ports_.clock.WallNow(), Duration::zero()),
      .refusal = &ProblemResponse};
  co_return co_await ports_.blobs.Serve(std::move(ctx), std::move(grant.key), request,
                                        std::move(presentation));
}

}  // namespace mezzo::api::platform
