#pragma once

#include "mezzo/net/http_types.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::app {

/// GET /metrics for keys with the `observe` scope. Thread-safe.
class MetricsPage final : public net::HttpHandler {
 public:
  /// Both outlive the page.
  MetricsPage(const observe::Registry& registry, const tenancy::Directory& directory)
      : registry_(registry), directory_(directory) {}

  [[nodiscard]] net::BodyPlan PlanBody(const net::HttpRequest& head) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, net::HttpRequest* request) override;

 private:
  const observe::Registry& registry_;
  const tenancy::Directory& directory_;
};

}  // namespace mezzo::app
