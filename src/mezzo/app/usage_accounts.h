#pragma once

#include <memory>
#include <string>

#include "mezzo/api/platform/usage_handler.h"
#include "mezzo/app/data_store.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/health.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/tenancy/directory.h"
#include "mezzo/tenancy/ledger/ledger.h"
#include "mezzo/tenancy/ledger/quota_feed.h"
#include "mezzo/tenancy/limiter.h"

namespace mezzo::app {

/// The accounting of this server, wired: a ledger on its database with the journal in `data_dir`/usage, the
/// protocol that reports from it, and the quotas that follow it.
class UsageAccounts {
 public:
  /// All outlive this.
  struct Ports {
    DataStore& store;
    const tenancy::Directory& directory;
    tenancy::Limiter& limiter;
    observe::Registry& registry;
    observe::Logger& log;
    observe::Health& health;  ///< Degraded while usage can't be written.
  };
  /// Fails with the journal's errors.
  static Result<std::unique_ptr<UsageAccounts>> Open(const std::string& data_dir, Ports ports);

  [[nodiscard]] tenancy::Ledger& ledger() { return *ledger_; }
  [[nodiscard]] api::Protocol& handler() { return handler_; }
  /// Once the directory knows who there is.
  void Start() {
    ledger_->Start();
    quotas_->Start();
  }
  /// After everything that is charged has ended.
  void Stop(Duration grace) {
    quotas_->Stop();
    ledger_->Stop(grace);
  }

 private:
  explicit UsageAccounts(Ports ports);

  observe::HealthCheck health_;
  tenancy::JournalDisk disk_;
  tenancy::UsageReader reader_;
  tenancy::PriceStore prices_;
  runtime::BlockingPool pool_;
  std::unique_ptr<tenancy::Ledger> ledger_;
  std::unique_ptr<tenancy::QuotaFeed> quotas_;
  api::platform::UsageHandler handler_;
};

}  // namespace mezzo::app
