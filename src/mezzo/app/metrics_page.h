#pragma once

#include "mezzo/api/protocol.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::app {

/// GET /metrics for callers with the scope `observe`. Thread-safe.
class MetricsPage final : public api::Protocol {
 public:
  /// `registry` outlives the page.
  explicit MetricsPage(const observe::Registry& registry) : registry_(registry) {}

  [[nodiscard]] std::span<const api::Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, api::RoutedCall call) override;
  [[nodiscard]] net::HttpResponse Refuse(const Error& error) const override;
  [[nodiscard]] net::HttpResponse RefuseRoute(const net::HttpRequest& head,
                                              const api::RouteMatch& match) const override;

 private:
  const observe::Registry& registry_;
};

}  // namespace mezzo::app
