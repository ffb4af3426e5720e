#pragma once

#include <string_view>

#include "mezzo/api/platform/problem.h"
#include "mezzo/api/upload_keeper.h"
#include "mezzo/base/bytes.h"
#include "mezzo/net/http_types.h"

namespace mezzo::api::platform {

/// Files that jobs are to use:
///
///     POST /v1/uploads    the file as body, its Content-Type: a PNG, JPEG or WebP picture, or sound
///
/// answered 201 {"object": "upload", "artifact", "content_type", "bytes", "expires_at"}; `artifact` is what a
/// job names. What is in the file is looked at when a job uses it. Errors are problem details (problem.h):
/// kInvalidArgument "upload_type", "upload_empty"; the store's. Thread-safe.
class UploadsHandler final : public ProblemProtocol {
 public:
  static constexpr std::string_view kRoot = "/v1/uploads";

  struct Options {
    ByteCount max_body = ByteCount{64} << 20;
  };
  /// All outlive the handler.
  struct Ports {
    const UploadKeeper& keeper;
  };
  UploadsHandler(Options options, Ports ports) : options_(options), ports_(ports) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  [[nodiscard]] net::BodyPlan Plan(const net::HttpRequest& head, const RouteMatch& match) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  runtime::Task<Result<net::HttpResponse>> Keep(runtime::Context ctx, RoutedCall call) const;

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::platform
