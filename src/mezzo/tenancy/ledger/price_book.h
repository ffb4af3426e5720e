#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"
#include "mezzo/tenancy/ledger/usage.h"

namespace mezzo::tenancy {

/// What a price is for. A request that failed is charged for the device time it took alone.
enum class PriceUnit : std::uint8_t { kRequest, kDeviceSecond, kImage, kVideoSecond, kGibIn, kGibOut };
inline constexpr std::array<std::string_view, 6> kPriceUnitNames = {
    "request", "device_second", "image", "video_second", "gib_in", "gib_out"};

/// A millionth of the currency's unit is the smallest amount.
struct Price {
  std::string model;  ///< "*": every model that has no price of its own for the unit.
  PriceUnit unit = PriceUnit::kRequest;
  std::int64_t amount_micros = 0;
  std::string currency;            ///< ISO 4217; one for the whole table.
  std::int64_t valid_from_us = 0;  ///< Unix time; it is replaced by the next one of model and unit.
  friend bool operator==(const Price&, const Price&) = default;
};

/// Says what usage costs. Immutable, so thread-safe.
class PriceBook {
 public:
  PriceBook() = default;
  /// kInvalidArgument: "price_currency" unless all have one currency of three capital letters,
  /// "price_amount" for an amount outside 0 to 10^12, "price_twice", "price_model" for an empty or a very
  /// long name, "too_many_prices" above 10,000.
  static Result<PriceBook> Make(std::vector<Price> prices);

  /// Of usage of `model` in a span that began at `at_us`, in millionths; every unit is rounded to the nearest
  /// by itself, and saturates.
  [[nodiscard]] std::int64_t Cost(const std::string& model, const Usage& usage, std::int64_t at_us) const;
  /// Empty: there are no prices.
  [[nodiscard]] const std::string& currency() const { return currency_; }
  [[nodiscard]] const std::vector<Price>& prices() const { return prices_; }

 private:
  using Steps = std::map<std::int64_t, std::int64_t>;  // By the time they are valid from.
  [[nodiscard]] std::int64_t PriceOf(const std::string& model, PriceUnit unit, std::int64_t at_us) const;

  std::vector<Price> prices_;
  std::map<std::pair<std::string, PriceUnit>, Steps> steps_;
  std::string currency_;
};

/// The table of prices. Blocks. Thread-safe. Errors: SqlDb's.
class PriceStore {
 public:
  /// `db` outlives the store.
  explicit PriceStore(storage::SqlDb& db) : db_(db) {}
  Result<PriceBook> Load(TimePoint deadline);
  /// Replaces all of them at once.
  Result<void> Replace(const PriceBook& book, TimePoint deadline);

 private:
  storage::SqlDb& db_;
};

}  // namespace mezzo::tenancy
