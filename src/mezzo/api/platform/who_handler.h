#pragma once

#include <span>
#include <string_view>

#include "mezzo/api/platform/problem.h"

namespace mezzo::api::platform {

/// `GET /v1/whoami` (docs/protocol-tenants.md): the caller, as the server sees it. It needs no database:
/// callers of the configuration are answered too. Thread-safe.
class WhoHandler final : public ProblemProtocol {
 public:
  static constexpr std::string_view kRoot = "/v1/whoami";

  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;
};

}  // namespace mezzo::api::platform
