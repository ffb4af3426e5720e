#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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
    observe::Logger& log;
  };
  /// `declared` is CallersOf(config). Nobody is let in before this has returned. Fails with the database's
  /// errors.
  static Result<std::unique_ptr<Identities>> Open(const ServerConfig& config,
                                                  const tenancy::Directory::Contents& declared, Ports ports);

  [[nodiscard]] api::Protocol& handler() { return handler_; }
  /// The key that a first start has made: to be shown once, and not logged.
  [[nodiscard]] const std::optional<std::string>& first_admin_key() const { return first_admin_key_; }
  void Start() { feed_.Start(); }
  void Stop() { feed_.Stop(); }

 private:
  Identities(const ServerConfig& config, const tenancy::Directory::Contents& declared, Ports ports);
  Result<void> Seed(const tenancy::Directory::Contents& declared);
  void TakeTenants(const std::vector<tenancy::TenantRef>& tenants);

  const Ports ports_;
  tenancy::IdentityStore store_;
  runtime::BlockingPool pool_;
  api::platform::TenantsHandler handler_;
  std::vector<double> weights_;  // By tenant index; the feed's thread only.
  std::optional<std::string> first_admin_key_;
  tenancy::DirectoryFeed feed_;  // Last: its thread uses what is above.
};

}  // namespace mezzo::app
