#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "mezzo/api/platform/problem.h"
#include "mezzo/base/clock.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/tenancy/identity_store.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api::platform {

/// Tenants, projects, users and keys (docs/protocol-tenants.md):
///
///     GET, POST   /v1/tenants                         ?limit ?after
///     GET, PATCH  /v1/tenants/{t}
///     GET, POST   /v1/tenants/{t}/projects
///     GET, POST   /v1/tenants/{t}/users               POST adds a user or gives another role
///     DELETE      /v1/tenants/{t}/users               ?issuer ?subject
///     GET, POST   /v1/tenants/{t}/keys                ?limit ?after
///     POST        /v1/tenants/{t}/keys/{key}/rotate
///     DELETE      /v1/tenants/{t}/keys/{key}          revokes it at once
///
/// Whoever has not the scope `admin` sees their own tenant alone: of any other it is said that there is none.
/// Nobody gives away a scope that they have not. Errors are problem details. Thread-safe.
class TenantsHandler final : public ProblemProtocol {
 public:
  struct Options {
    std::size_t max_page = 1000;
    Duration database_timeout = std::chrono::seconds(10);
  };
  /// All outlive the handler.
  struct Ports {
    tenancy::IdentityStore& store;
    runtime::BlockingPool& pool;  ///< Asks the database.
    const Clock& clock;
    /// Waits until this host lets in what the database says now, before a change is answered. Null: nothing.
    std::function<void()> catch_up;
  };
  TenantsHandler(Options options, Ports ports) : options_(options), ports_(std::move(ports)) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;

  [[nodiscard]] Answer Dispatch(const RoutedCall& call) const;
  [[nodiscard]] Answer ListTenants(const RoutedCall& call) const;
  [[nodiscard]] Answer CreateTenant(const RoutedCall& call) const;
  [[nodiscard]] Answer ChangeTenant(const RoutedCall& call, const TenantId& tenant) const;
  [[nodiscard]] Answer CreateProject(const RoutedCall& call, const TenantId& tenant) const;
  [[nodiscard]] Answer PutUser(const RoutedCall& call, const TenantId& tenant) const;
  [[nodiscard]] Answer RemoveUser(const RoutedCall& call, const TenantId& tenant) const;
  [[nodiscard]] Answer ListKeys(const RoutedCall& call, const TenantId& tenant) const;
  [[nodiscard]] Answer CreateKey(const RoutedCall& call, const TenantId& tenant) const;
  [[nodiscard]] Answer RotateKey(const RoutedCall& call, const TenantId& tenant) const;
  [[nodiscard]] Answer RevokeKey(const RoutedCall& call, const TenantId& tenant) const;
  /// The path's key, if the caller has all of its scopes: else rotating it would give them away.
  [[nodiscard]] Result<KeyId> KeyOf(const RoutedCall& call, const TenantId& tenant) const;
  [[nodiscard]] TimePoint Limit() const {
    return AddSaturating(ports_.clock.Now(), options_.database_timeout);
  }

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::platform
