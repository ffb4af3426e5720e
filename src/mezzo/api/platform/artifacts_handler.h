#pragma once

#include <string_view>

#include "mezzo/api/blob_server.h"
#include "mezzo/api/platform/problem.h"
#include "mezzo/base/clock.h"
#include "mezzo/net/http_types.h"
#include "mezzo/storage/url_signer.h"

namespace mezzo::api::platform {

/// Results of jobs, for whoever has a URL that this server has signed and that has not expired:
///
///     GET, HEAD /v1/artifacts/{tenant}/{job}/{attempt}/{name}?expires=…&key=…&signature=…
///
/// The signature alone allows it, no API key. How objects are answered: BlobServer. Errors are problem
/// details: 403 "blob_url_expired" or "blob_url_invalid". Thread-safe.
class ArtifactsHandler final : public ProblemProtocol {
 public:
  static constexpr std::string_view kRoot = "/v1/artifacts";

  /// All outlive the handler.
  struct Ports {
    BlobServer& blobs;
    const storage::UrlSigner& signer;
    const Clock& clock;
  };
  explicit ArtifactsHandler(Ports ports) : ports_(ports) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  [[nodiscard]] net::BodyPlan Plan(const net::HttpRequest& head, const RouteMatch& match) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  [[nodiscard]] Result<storage::UrlSigner::Grant> Check(const net::HttpRequest& request) const;
  runtime::Task<Result<net::HttpResponse>> Serve(runtime::Context ctx, net::HttpRequest* request) const;

  const Ports ports_;
};

}  // namespace mezzo::api::platform
