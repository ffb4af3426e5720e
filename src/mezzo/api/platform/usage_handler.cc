#include "mezzo/api/platform/usage_handler.h"

#include <algorithm>
#include <array>
#include <limits>

#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using net::Method;
using tenancy::kKeyMembers;
using tenancy::kKeyNames;
using tenancy::Scope;
using tenancy::UsageReport;

enum RouteId : int { kUsage, kShowPrices, kReplacePrices };

constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kMaxPriceTable = ByteCount{4} << 20;
constexpr std::array<Route, 3> kRoutes = {
    Route{Method::kGet, "/v1/usage", Scope::kRead, kIgnoredBody, kUsage},
    Route{Method::kGet, "/v1/prices", Scope::kAdmin, kIgnoredBody, kShowPrices},
    Route{Method::kPut, "/v1/prices", Scope::kAdmin, kMaxPriceTable, kReplacePrices}};

constexpr std::size_t kTenantPart = 0;
constexpr std::int64_t kUsualHours = 24 * tenancy::kHourUs;
constexpr std::int64_t kUsualDays = 30 * tenancy::kDayUs;

Error BadQuery(std::string_view name, std::string_view value, const std::string& allowed) {
  return InvalidArgument("query_value", "query parameter '" + std::string(name) + "' must be " + allowed +
                                            ", got '" + Printable(value, 64) + "'");
}

net::HttpResponse Ok(const Json& json) {
  return net::HttpResponse::Json(200, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json ToJson(const UsageReport::Row& row, const UsageReport& report) {
  Json json = Json::object();
  for (const std::size_t part : report.group)
    json[std::string(kKeyNames.at(part))] = row.sum.key.*kKeyMembers.at(part);
  const tenancy::Usage& usage = row.sum.usage;
  json["requests"] = usage.requests;
  json["failed"] = usage.failed;
  json["device_ms"] = static_cast<double>(usage.device_ns) / 1e6;
  json["images"] = usage.images;
  json["video_seconds"] = static_cast<double>(usage.video_ms) / 1e3;
  json["bytes_in"] = usage.bytes_in;
  json["bytes_out"] = usage.bytes_out;
  json["cache_hits"] = usage.cache_hits;
  json["saved_ms"] = static_cast<double>(usage.saved_ns) / 1e6;
  json["cost_micros"] = row.cost_micros;
  return json;
}

Json ToJson(const tenancy::PriceBook& book) {
  Json prices = Json::array();
  for (const tenancy::Price& price : book.prices()) {
    prices.push_back({{"model", price.model},
                      {"unit", tenancy::kPriceUnitNames.at(static_cast<std::size_t>(price.unit))},
                      {"amount_micros", price.amount_micros},
                      {"currency", price.currency},
                      {"valid_from", tenancy::TimeText(price.valid_from_us)}});
  }
  return {{"object", "prices"}, {"prices", std::move(prices)}};
}

Error BadTable(const std::string& what) {
  return InvalidArgument("price_table", "the table of prices: " + what);
}

Result<std::string> TextOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string())
    return BadTable("'" + std::string(name) + "' must be a text");
  return found->get<std::string>();
}

Result<tenancy::Price> ParsePrice(const Json& json) {
  constexpr std::array<std::string_view, 5> kKnown = {"model", "unit", "amount_micros", "currency",
                                                      "valid_from"};
  if (!json.is_object()) return BadTable("each price is an object");
  for (const auto& [name, value] : json.items()) {
    if (std::find(kKnown.begin(), kKnown.end(), name) == kKnown.end())
      return BadTable("there is no member '" + Printable(name, 64) + "'");
  }
  tenancy::Price price;
  MEZZO_TRY(price.model, TextOf(json, "model"));
  MEZZO_TRY(const std::string unit, TextOf(json, "unit"));
  const auto at = std::find(tenancy::kPriceUnitNames.begin(), tenancy::kPriceUnitNames.end(), unit);
  if (at == tenancy::kPriceUnitNames.end())
    return BadTable("'unit' must be request, device_second, image, video_second, gib_in or gib_out, not '" +
                    Printable(unit, 64) + "'");
  price.unit = static_cast<tenancy::PriceUnit>(at - tenancy::kPriceUnitNames.begin());
  const auto amount = json.find("amount_micros");
  if (amount == json.end() || !amount->is_number_integer() ||
      (amount->is_number_unsigned() &&
       amount->get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))) {
    return BadTable("'amount_micros' must be a whole number");
  }
  price.amount_micros = amount->get<std::int64_t>();
  MEZZO_TRY(price.currency, TextOf(json, "currency"));
  if (json.contains("valid_from")) {
    MEZZO_TRY(const std::string from, TextOf(json, "valid_from"));
    MEZZO_TRY(price.valid_from_us, tenancy::ParseTime(from));
  }
  return price;
}

}  // namespace

std::span<const Route> UsageHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> UsageHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  const auto work = [this, &call]() -> Answer {
    switch (call.route) {
      case kUsage:
        return Report(call);
      case kShowPrices:
        return ShowPrices();
      default:
        return ReplacePrices(call);
    }
  };
  Answer answer = co_await runtime::Offload(ports_.pool, work);
  co_return ResponseOf(std::move(answer));
}

Result<tenancy::UsageQuery> UsageHandler::QueryOf(const RoutedCall& call) const {
  const net::HttpRequest& request = *call.request;
  tenancy::UsageQuery query;
  const std::string_view by = request.QueryValue("by").value_or("day");
  if (by != "hour" && by != "day") return BadQuery("by", by, "hour or day");
  query.by_hour = by == "hour";
  const std::int64_t now_us =
      std::chrono::floor<std::chrono::microseconds>(ports_.clock.WallNow().time_since_epoch()).count();
  query.to_us = now_us + 1;
  if (const auto to = request.QueryValue("to")) {
    MEZZO_TRY(query.to_us, tenancy::ParseTime(*to));
  }
  query.from_us = tenancy::StartOf(query.to_us, query.by_hour ? tenancy::kHourUs : tenancy::kDayUs) -
                  (query.by_hour ? kUsualHours : kUsualDays);
  if (const auto from = request.QueryValue("from")) {
    MEZZO_TRY(query.from_us, tenancy::ParseTime(*from));
  }
  for (const std::string_view name : Split(request.QueryValue("group").value_or("tenant,model"), ',')) {
    if (name.empty()) continue;
    const auto part = std::find(kKeyNames.begin(), kKeyNames.end(), name);
    if (part == kKeyNames.end())
      return BadQuery("group", name, "a list of tenant, project, key, model, version and kind");
    query.group.insert(static_cast<std::size_t>(part - kKeyNames.begin()));
  }
  for (std::size_t part = 0; part < kKeyNames.size(); ++part) {
    const auto only = request.QueryValue(kKeyNames.at(part));
    if (only) query.only[part] = std::string(*only);
  }
  if (call.caller->Has(Scope::kObserve)) return query;
  const std::string& own = call.caller->tenant->id.str();
  const auto asked = query.only.find(kTenantPart);
  if (asked != query.only.end() && asked->second != own)
    return NotFound("tenant_unknown", "there is no tenant '" + Printable(asked->second, 64) + "'");
  query.only[kTenantPart] = own;
  return query;
}

UsageHandler::Answer UsageHandler::Report(const RoutedCall& call) const {
  const net::HttpRequest& request = *call.request;
  const auto number = [&](std::string_view name, std::uint64_t usual, std::uint64_t least,
                          std::uint64_t most) -> Result<std::size_t> {
    const auto text = request.QueryValue(name);
    if (!text) return static_cast<std::size_t>(usual);
    const auto value = ParseUint(*text);
    if (value && *value >= least && *value <= most) return static_cast<std::size_t>(*value);
    return BadQuery(name, *text, "in [" + std::to_string(least) + ", " + std::to_string(most) + "]");
  };
  const std::string_view format = request.QueryValue("format").value_or("json");
  if (format != "json" && format != "csv") return BadQuery("format", format, "json or csv");
  MEZZO_TRY(const std::size_t limit, number("limit", 1000, 1, options_.max_page));
  MEZZO_TRY(const std::size_t offset, number("offset", 0, 0, 1'000'000));
  MEZZO_TRY(tenancy::UsageQuery query, QueryOf(call));
  if (ports_.settle) ports_.settle(Limit());
  const tenancy::UsageQuery asked = query;
  MEZZO_TRY(UsageReport report, MakeReport(ports_.reader, ports_.prices, std::move(query), Limit()));
  const std::string warning = ports_.warning ? ports_.warning() : std::string();
  if (format == "csv") {  // Of everything: it goes into a file.
    net::HttpResponse response;
    if (!warning.empty()) response.headers.emplace_back("X-Mezzo-Warning", warning);
    response.content_type = "text/csv; charset=utf-8; header=present";
    response.headers.emplace_back("Content-Disposition", "attachment; filename=\"usage.csv\"");
    response.text = ReportCsv(report);
    response.compressible = true;
    return response;
  }
  Json data = Json::array();
  const std::size_t end = std::min(report.rows.size(), offset + limit);
  for (std::size_t i = offset; i < end; ++i) {
    Json row = {{"start", tenancy::TimeText(report.rows[i].sum.start_us)}};
    row.update(ToJson(report.rows[i], report));
    data.push_back(std::move(row));
  }
  UsageReport whole;  // Its total is of no group.
  return Ok({{"object", "usage"},
             {"by", asked.by_hour ? "hour" : "day"},
             {"from", tenancy::TimeText(asked.from_us)},
             {"to", tenancy::TimeText(asked.to_us)},
             {"currency", report.currency.empty() ? Json(nullptr) : Json(report.currency)},
             {"data", std::move(data)},
             {"has_more", end < report.rows.size()},
             {"total", ToJson(report.total, whole)},
             {"warning", warning.empty() ? Json(nullptr) : Json(warning)}});
}

UsageHandler::Answer UsageHandler::ShowPrices() const {
  MEZZO_TRY(const tenancy::PriceBook book, ports_.prices.Load(Limit()));
  return Ok(ToJson(book));
}

UsageHandler::Answer UsageHandler::ReplacePrices(const RoutedCall& call) const {
  MEZZO_TRY(const tenancy::PriceBook book, ParsePrices(call.request->body().text()));
  MEZZO_TRY_VOID(ports_.prices.Replace(book, Limit()));
  return ShowPrices();
}

Result<tenancy::PriceBook> ParsePrices(std::string_view body) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("prices") || !json["prices"].is_array())
    return BadTable("an object with a list 'prices' is expected");
  std::vector<tenancy::Price> prices;
  for (const Json& one : json["prices"]) {
    MEZZO_TRY(tenancy::Price price, ParsePrice(one));
    prices.push_back(std::move(price));
  }
  return tenancy::PriceBook::Make(std::move(prices));
}

}  // namespace mezzo::api::platform
