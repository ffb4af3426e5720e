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
  /// `guard_browsers`: refuse what foreign pages can cause (browser_guard.h).
  HttpFront(std::vector<MountedProtocol> protocols, bool guard_browsers)
      : protocols_(std::move(protocols)), guard_browsers_(guard_browsers) {}

  [[nodiscard]] net::BodyPlan PlanBody(const net::HttpRequest& head) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, net::HttpRequest* request) override;

 private:
  [[nodiscard]] net::HttpHandler* Find(std::string_view path) const;

  const std::vector<MountedProtocol> protocols_;
  const bool guard_browsers_;
};

}  // namespace mezzo::app
