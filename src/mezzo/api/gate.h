#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "mezzo/api/protocol.h"
#include "mezzo/net/http_types.h"
#include "mezzo/tenancy/directory.h"
#include "mezzo/tenancy/limiter.h"

namespace mezzo::api {

/// A protocol, with the paths it serves.
struct MountedProtocol {
  Protocol* protocol = nullptr;
  std::vector<std::string_view> prefixes;  ///< "/v2" owns "/v2" and "/v2/...".
};

/// The HTTP port's way in. When a request's head is there: finds the protocol that owns the path (as the
/// server has decoded it, once) and the route in its table, asks tenancy::Admit() once, and refuses whatever
/// no table names. A protocol sees only what was let in. A large body that asks for work is not even read
/// when the caller's limits are used up, as far as they can be told without the model: who floods a host with
/// pictures shall cost it little. Thread-safe.
class Gate final : public net::HttpHandler {
 public:
  /// Refuses what a page of another site can make a browser on this host send; null: let through.
  using BrowserGuard = std::unique_ptr<net::HttpResponse> (*)(const net::HttpRequest& head);

  /// All outlive the gate. `guard` is asked while callers without keys are let in; null: nobody is. Null
  /// `limiter`: there are no limits.
  Gate(std::vector<MountedProtocol> protocols, const tenancy::Directory& directory,
       BrowserGuard guard = nullptr, tenancy::Limiter* limiter = nullptr)
      : protocols_(std::move(protocols)), directory_(directory), guard_(guard), limiter_(limiter) {}

  [[nodiscard]] net::BodyPlan PlanBody(const net::HttpRequest& head) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, net::HttpRequest* request) override;

  [[nodiscard]] const std::vector<MountedProtocol>& protocols() const { return protocols_; }

 private:
  [[nodiscard]] Protocol* Find(std::string_view path) const;

  const std::vector<MountedProtocol> protocols_;
  const tenancy::Directory& directory_;
  const BrowserGuard guard_;
  tenancy::Limiter* const limiter_;
};

}  // namespace mezzo::api
