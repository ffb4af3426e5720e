#include "mezzo/tenancy/ledger/price_book.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "mezzo/base/strings.h"

namespace mezzo::tenancy {
namespace {

using storage::SqlRows;
using storage::SqlSession;

constexpr std::size_t kMaxPrices = 10'000;
constexpr std::size_t kMaxModel = 256;
constexpr std::int64_t kMaxAmount = 1'000'000'000'000;
constexpr std::string_view kEveryModel = "*";

__extension__ using Wide = __int128;

/// How much of a unit, as a number of its parts and the number of parts in one.
struct Quantity {
  std::int64_t parts = 0;
  std::int64_t in_one = 1;
};

Quantity QuantityOf(const Usage& usage, PriceUnit unit) {
  constexpr std::int64_t kGib = std::int64_t{1} << 30;
  switch (unit) {
    case PriceUnit::kRequest:
      return {usage.requests - usage.failed, 1};
    case PriceUnit::kDeviceSecond:
      return {usage.device_ns, 1'000'000'000};
    case PriceUnit::kImage:
      return {usage.images, 1};
    case PriceUnit::kVideoSecond:
      return {usage.video_ms, 1000};
    case PriceUnit::kGibIn:
      return {usage.bytes_in, kGib};
    case PriceUnit::kGibOut:
      return {usage.bytes_out, kGib};
  }
  return {};
}

std::int64_t Saturated(Wide amount) {
  constexpr Wide kMost = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(std::clamp(amount, -kMost, kMost));
}

bool IsCurrency(std::string_view text) {
  return text.size() == 3 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

Result<PriceBook> PriceBook::Make(std::vector<Price> prices) {
  if (prices.size() > kMaxPrices) {
    return InvalidArgument("too_many_prices", std::to_string(prices.size()) + " prices; the limit is " +
                                                  std::to_string(kMaxPrices));
  }
  PriceBook book;
  for (const Price& price : prices) {
    if (price.model.empty() || price.model.size() > kMaxModel) {
      return InvalidArgument("price_model", "a price needs a model of 1 to 256 bytes, or '*'");
    }
    if (!IsCurrency(price.currency) || price.currency != prices.front().currency) {
      return InvalidArgument("price_currency",
                             "all prices are in one currency of three capital letters; got '" +
                                 Printable(price.currency, 16) + "'");
    }
    if (price.amount_micros < 0 || price.amount_micros > kMaxAmount) {
      return InvalidArgument(
          "price_amount", "amount_micros must be in [0, 10^12], got " + std::to_string(price.amount_micros));
    }
    auto& steps = book.steps_[{price.model, price.unit}];
    if (!steps.emplace(price.valid_from_us, price.amount_micros).second) {
      return InvalidArgument("price_twice", "model '" + Printable(price.model, 64) +
                                                "' has two prices of one unit from the same time on");
    }
  }
  if (!prices.empty()) book.currency_ = prices.front().currency;
  book.prices_ = std::move(prices);
  return book;
}

std::int64_t PriceBook::PriceOf(const std::string& model, PriceUnit unit, std::int64_t at_us) const {
  for (const std::string& name : {model, std::string(kEveryModel)}) {
    const auto found = steps_.find({name, unit});
    if (found == steps_.end()) continue;
    const auto after = found->second.upper_bound(at_us);
    if (after != found->second.begin()) return std::prev(after)->second;
  }
  return 0;
}

std::int64_t PriceBook::Cost(const std::string& model, const Usage& usage, std::int64_t at_us) const {
  Wide sum = 0;
  for (std::size_t i = 0; i < kPriceUnitNames.size(); ++i) {
    const auto unit = static_cast<PriceUnit>(i);
    const auto [parts, in_one] = QuantityOf(usage, unit);
    if (parts <= 0) continue;
    sum += (Wide{parts} * PriceOf(model, unit, at_us) + in_one / 2) / in_one;
  }
  return Saturated(sum);
}

Result<PriceBook> PriceStore::Load(TimePoint deadline) {
  std::vector<Price> prices;
  const auto work = [&](SqlSession& session) -> Result<void> {
    prices.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT model, unit, amount_micros, currency, valid_from_us FROM prices "
                          "ORDER BY model, unit, valid_from_us LIMIT 10001",
                          {}));
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto unit = std::find(kPriceUnitNames.begin(), kPriceUnitNames.end(), rows.Text(r, 1));
      if (unit == kPriceUnitNames.end()) continue;  // Of a later release.
      prices.push_back({.model = rows.Text(r, 0),
                        .unit = static_cast<PriceUnit>(unit - kPriceUnitNames.begin()),
                        .amount_micros = rows.Int(r, 2),
                        .currency = rows.Text(r, 3),
                        .valid_from_us = rows.Int(r, 4)});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return PriceBook::Make(std::move(prices));
}

Result<void> PriceStore::Replace(const PriceBook& book, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.Run("DELETE FROM prices", {}));
    std::vector<storage::SqlStatement> statements;
    for (const Price& price : book.prices()) {
      statements.push_back(
          {.sql = "INSERT INTO prices (model, unit, amount_micros, currency, valid_from_us) "
                  "VALUES ($1, $2, $3, $4, $5)",
           .params = {price.model, std::string(kPriceUnitNames.at(static_cast<std::size_t>(price.unit))),
                      price.amount_micros, price.currency, price.valid_from_us}});
    }
    if (statements.empty()) return {};
    MEZZO_TRY_VOID(session.RunAll(statements));
    return {};
  };
  return db_.Transact(work, deadline);
}

}  // namespace mezzo::tenancy
