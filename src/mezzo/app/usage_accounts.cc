#include "mezzo/app/usage_accounts.h"

#include <utility>

namespace mezzo::app {

UsageAccounts::UsageAccounts(Ports ports)
    : health_(ports.health.NewCheck("usage", observe::HealthKind::kDegraded)),
      reader_(ports.store.db()),
      prices_(ports.store.db()),
      pool_({.name = "usage", .threads = 2, .max_queued = 64}),
      handler_({}, {.reader = reader_,
                    .prices = prices_,
                    .pool = pool_,
                    .clock = ports.store.clock(),
                    // What fails here is reported later; the ledger says so itself.
                    .settle = [this](TimePoint deadline) { (void)ledger_->Settle(deadline); },
                    .warning = [this] { return ledger_->Warning(); }}) {}

Result<std::unique_ptr<UsageAccounts>> UsageAccounts::Open(const std::string& data_dir, Ports ports) {
  std::unique_ptr<UsageAccounts> accounts(new UsageAccounts(ports));
  MEZZO_TRY(accounts->ledger_, tenancy::Ledger::Open({}, {.db = ports.store.db(),
                                                          .disk = accounts->disk_,
                                                          .folder = data_dir + "/usage",
                                                          .clock = ports.store.clock(),
                                                          .registry = ports.registry,
                                                          .log = ports.log,
                                                          .health = &accounts->health_}));
  accounts->quotas_ = std::make_unique<tenancy::QuotaFeed>(
      tenancy::QuotaFeed::Options(), tenancy::QuotaFeed::Ports{.ledger = *accounts->ledger_,
                                                               .reader = accounts->reader_,
                                                               .prices = accounts->prices_,
                                                               .directory = ports.directory,
                                                               .limiter = ports.limiter,
                                                               .clock = ports.store.clock(),
                                                               .log = ports.log});
  return accounts;
}

}  // namespace mezzo::app
