#pragma once

#include <string_view>
#include <vector>

#include "mezzo/net/http_types.h"

namespace mezzo::app {

/// A protocol on the HTTP port, with the paths it serves.
struct MountedProtocol {
  net::HttpHandler* handler = nullptr;
  std::vector<std::string_view> prefixes;  ///< "/v2" owns "/v2" and "/v2/...".
};

/// Gives each request to the protocol that owns its path; what nobody owns is 404. Thread-safe.
class HttpFront final : public net::HttpHandler {
 public:
  explicit HttpFront(std::vector<MountedProtocol> protocols) : protocols_(std::move(protocols)) {}

  [[nodiscard]] net::BodyPlan PlanBody(const net::HttpRequest& head) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, net::HttpRequest* request) override;

 private:
  [[nodiscard]] net::HttpHandler* Find(std::string_view path) const;

  const std::vector<MountedProtocol> protocols_;
};

}  // namespace mezzo::app
