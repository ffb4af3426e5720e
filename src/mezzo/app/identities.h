#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/api/platform/limits_handler.h"
#include "mezzo/api/platform/tenants_handler.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/server_config.h"
#include "mezzo/app/tenant_counts.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/sched/device_executor.h"
#include "mezzo/tenancy/directory.h"
#include "mezzo/tenancy/directory_feed.h"
#include "mezzo/tenancy/identity_store.h"
#include "mezzo/tenancy/limit_store.h"
#include "mezzo/tenancy/limiter.h"

namespace mezzo::app {

/// The identities of this server's database, wired: what the configuration declares is put there, the
/// directory and the scheduler follow it, and a protocol changes it.
class Identities {
 public:
  /// All outlive this.
  struct Ports {
    DataStore& store;
    tenancy::Directory& directory;
    sched::DeviceExecutor& executor;
    TenantCounts& counts;
    tenancy::Limiter& limiter;
    observe::Logger& log;
  };
  /// `declared` is CallersOf(config), `limits` LimitsOf(config). Nobody is let in before this has returned.
  /// Fails with the database's errors.
  static Result<std::unique_ptr<Identities>> Open(const ServerConfig& config,
                                                  const tenancy::Directory::Contents& declared,
                                                  const std::vector<tenancy::Limit>& limits, Ports ports);

  [[nodiscard]] api::Protocol& handler() { return handler_; }
  [[nodiscard]] api::Protocol& limits() { return limits_handler_; }
  /// The key that a first start has made: to be shown once, and not logged.
  [[nodiscard]] const std::optional<std::string>& first_admin_key() const { return first_admin_key_; }
  void Start() { feed_.Start(); }
  void Stop() { feed_.Stop(); }

 private:
  Identities(const ServerConfig& config, const tenancy::Directory::Contents& declared,
             const std::vector<tenancy::Limit>& limits, Ports ports);
  Result<void> Seed(const tenancy::Directory::Contents& declared);
  void TakeTenants(const std::vector<tenancy::TenantRef>& tenants);
  /// The database's, and the declared ones, which go first where names meet.
  void TakeLimits(std::vector<tenancy::Limit> limits);

  const Ports ports_;
  const std::vector<tenancy::Limit> declared_limits_;
  tenancy::IdentityStore store_;
  tenancy::LimitStore limit_store_;
  runtime::BlockingPool pool_;
  api::platform::TenantsHandler handler_;
  api::platform::LimitsHandler limits_handler_;
  std::vector<tenancy::TenantRef> known_;  // By tenant index; the feed's thread only.
  std::optional<std::string> first_admin_key_;
  tenancy::DirectoryFeed feed_;  // Last: its thread uses what is above.
};

}  // namespace mezzo::app
