#pragma once

#include <string>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/log.h"
#include "mezzo/storage/change_feed.h"
#include "mezzo/tenancy/directory.h"
#include "mezzo/tenancy/ledger/ledger.h"
#include "mezzo/tenancy/ledger/price_book.h"
#include "mezzo/tenancy/ledger/usage_report.h"
#include "mezzo/tenancy/ledger/usage_store.h"
#include "mezzo/tenancy/limiter.h"

namespace mezzo::tenancy {

/// What has been used of one bucket of a quota. Fields that the limit does not count apart are empty.
struct QuotaUse {
  std::string tenant;
  std::string project;
  std::string key_id;
  std::string model;
  double used = 0;

  friend bool operator==(const QuotaUse&, const QuotaUse&) = default;
};

/// What `rows`, the usage of the quota's day or month kept apart by tenant, project, key and model, has used
/// of `limit`: calls that were answered, milliseconds, or units of the currency. In the order of the fields.
std::vector<QuotaUse> UsedOf(const Limit& limit, const std::vector<UsageReport::Row>& rows);

/// Tells the limiter what the books say of quotas: what was used before this process began, by other hosts,
/// and in money. So a quota holds across restarts, and over hosts as well as `poll` allows. While the
/// database can't be read each host goes on counting for itself.
///
/// A thread of its own, which does nothing while there is no quota. Thread-safe.
class QuotaFeed {
 public:
  struct Options {
    Duration poll = std::chrono::seconds(2);
    Duration database_timeout = std::chrono::seconds(10);
  };
  /// All outlive the feed.
  struct Ports {
    Ledger& ledger;
    UsageReader& reader;
    PriceStore& prices;
    const Directory& directory;
    Limiter& limiter;
    const Clock& clock;
    observe::Logger& log;
  };
  QuotaFeed(Options options, Ports ports);
  QuotaFeed(const QuotaFeed&) = delete;
  QuotaFeed& operator=(const QuotaFeed&) = delete;

  /// One reading. Errors: the reports'.
  Result<void> Refresh();
  /// Reads now, and keeps up from now on.
  void Start() { feed_.Start(); }
  void Stop() { feed_.Stop(); }

 private:
  Result<void> RefreshPeriod(const std::vector<Limit>& limits, bool monthly);
  void Tell(const Limit& limit, const QuotaUse& use);

  const Options options_;
  const Ports ports_;
  storage::ChangeFeed feed_;  // Last: its thread uses everything above.
};

}  // namespace mezzo::tenancy
