#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "mezzo/api/platform/problem.h"
#include "mezzo/base/clock.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/tenancy/ledger/usage_report.h"

namespace mezzo::api::platform {

/// What was used, and what it costs (docs/protocol-tenants.md):
///
///     GET       /v1/usage    ?from &to &by=hour|day &group=tenant,project,key,model,version,kind
///                            &tenant &project &key &model &version &kind &limit &offset &format=json|csv
///     GET, PUT  /v1/prices
///
/// Whoever has not the scope `observe` sees the own tenant's usage alone: another `tenant` is one that there
/// is not. Errors are problem details. Thread-safe.
class UsageHandler final : public ProblemProtocol {
 public:
  struct Options {
    std::size_t max_page = 10'000;
    Duration database_timeout = std::chrono::seconds(10);
  };
  /// All outlive the handler.
  struct Ports {
    tenancy::UsageReader& reader;
    tenancy::PriceStore& prices;
    runtime::BlockingPool& pool;  ///< Asks the database.
    const Clock& clock;
    /// Brings what was used on this host before now into the database. Null: nothing.
    std::function<void(TimePoint deadline)> settle;
    /// What reports of this host lack just now, for people; empty: nothing. Null: nothing ever.
    std::function<std::string()> warning;
  };
  UsageHandler(Options options, Ports ports) : options_(options), ports_(std::move(ports)) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;
  [[nodiscard]] Answer Report(const RoutedCall& call) const;
  [[nodiscard]] Answer ShowPrices() const;
  [[nodiscard]] Answer ReplacePrices(const RoutedCall& call) const;
  [[nodiscard]] Result<tenancy::UsageQuery> QueryOf(const RoutedCall& call) const;
  [[nodiscard]] TimePoint Limit() const {
    return AddSaturating(ports_.clock.Now(), options_.database_timeout);
  }

  const Options options_;
  const Ports ports_;
};

/// The body of PUT /v1/prices: {"prices": [{"model", "unit", "amount_micros", "currency", "valid_from"}]}.
/// Errors: kInvalidArgument "price_table", and those of PriceBook::Make() and ParseTime().
Result<tenancy::PriceBook> ParsePrices(std::string_view body);

}  // namespace mezzo::api::platform
