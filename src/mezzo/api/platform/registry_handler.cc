#include "mezzo/api/platform/registry_handler.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/page_limit.h"
#include "mezzo/api/platform/identity_json.h"
#include "mezzo/api/platform/job_json.h"
#include "mezzo/api/platform/members.h"
#include "mezzo/api/platform/registry_json.h"
#include "mezzo/base/strings.h"
#include "mezzo/tenancy/ledger/usage_report.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using lifecycle::NameMatch;
using lifecycle::RegistryOrder;
using lifecycle::VersionState;
using net::Method;
using tenancy::Scope;

constexpr std::size_t kUsualPage = 100;
constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kMaxBody = ByteCount{256} << 10;
/// A manifest of thousands of files.
constexpr ByteCount kMaxManifest = ByteCount{4} << 20;

enum RouteId : int {
  kListModels,
  kCreateModel,
  kGetModel,
  kChangeModel,
  kDeleteModel,
  kHistory,
  kAt,
  kPutAlias,
  kDeleteAlias,
  kPutModelTag,
  kDeleteModelTag,
  kSearchVersions,
  kListVersions,
  kCreateVersion,
  kGetVersion,
  kChangeVersion,
  kDeleteVersion,
  kPutVersionTag,
  kDeleteVersionTag,
  kMissing,
  kShowTest,
  kComplete,
  kLoad,
  kUnload,
  kRetire,
  kRestore,
  kSendContent,
  kContentStatus,
  kPutContent,
  kServed,
  kRetirements
};

std::vector<Route> Routes(ByteCount max_piece) {
  return {
      {Method::kGet, "/v1/registry/models", Scope::kRead, kIgnoredBody, kListModels},
      {Method::kPost, "/v1/registry/models", Scope::kOperate, kMaxBody, kCreateModel},
      {Method::kGet, "/v1/registry/models/*", Scope::kRead, kIgnoredBody, kGetModel},
      {Method::kPatch, "/v1/registry/models/*", Scope::kOperate, kMaxBody, kChangeModel},
      {Method::kDelete, "/v1/registry/models/*", Scope::kOperate, kIgnoredBody, kDeleteModel},
      {Method::kGet, "/v1/registry/models/*/history", Scope::kRead, kIgnoredBody, kHistory},
      {Method::kGet, "/v1/registry/models/*/at", Scope::kRead, kIgnoredBody, kAt},
      {Method::kPut, "/v1/registry/models/*/aliases/*", Scope::kOperate, kMaxBody, kPutAlias},
      {Method::kDelete, "/v1/registry/models/*/aliases/*", Scope::kOperate, kIgnoredBody, kDeleteAlias},
      {Method::kPut, "/v1/registry/models/*/tags", Scope::kOperate, kMaxBody, kPutModelTag},
      {Method::kDelete, "/v1/registry/models/*/tags", Scope::kOperate, kIgnoredBody, kDeleteModelTag},
      {Method::kGet, "/v1/registry/versions", Scope::kRead, kIgnoredBody, kSearchVersions},
      {Method::kGet, "/v1/registry/models/*/versions", Scope::kRead, kIgnoredBody, kListVersions},
      {Method::kPost, "/v1/registry/models/*/versions", Scope::kOperate, kMaxManifest, kCreateVersion},
      {Method::kGet, "/v1/registry/models/*/versions/*", Scope::kRead, kIgnoredBody, kGetVersion},
      {Method::kPatch, "/v1/registry/models/*/versions/*", Scope::kOperate, kMaxBody, kChangeVersion},
      {Method::kDelete, "/v1/registry/models/*/versions/*", Scope::kOperate, kIgnoredBody, kDeleteVersion},
      {Method::kPut, "/v1/registry/models/*/versions/#/tags", Scope::kOperate, kMaxBody, kPutVersionTag},
      {Method::kDelete, "/v1/registry/models/*/versions/#/tags", Scope::kOperate, kIgnoredBody,
       kDeleteVersionTag},
      {Method::kGet, "/v1/registry/models/*/versions/#/missing", Scope::kOperate, kIgnoredBody, kMissing},
      {Method::kGet, "/v1/registry/models/*/versions/#/test", Scope::kRead, kIgnoredBody, kShowTest},
      {Method::kPost, "/v1/registry/models/*/versions/#/complete", Scope::kOperate, kIgnoredBody, kComplete},
      {Method::kPost, "/v1/registry/models/*/versions/#/load", Scope::kOperate, kIgnoredBody, kLoad},
      {Method::kPost, "/v1/registry/models/*/versions/#/unload", Scope::kOperate, kIgnoredBody, kUnload},
      {Method::kPost, "/v1/registry/models/*/versions/#/retire", Scope::kOperate, kIgnoredBody, kRetire},
      {Method::kPost, "/v1/registry/models/*/versions/#/restore", Scope::kOperate, kIgnoredBody, kRestore},
      {Method::kGet, "/v1/registry/models/*/versions/#/contents/*", Scope::kRead, kIgnoredBody, kSendContent},
      {Method::kGet, "/v1/registry/blobs/*", Scope::kOperate, kIgnoredBody, kContentStatus},
      {Method::kPut, "/v1/registry/blobs/*", Scope::kOperate, max_piece, kPutContent},
      {Method::kGet, "/v1/registry/served", Scope::kObserve, kIgnoredBody, kServed},
      {Method::kGet, "/v1/registry/retirements", Scope::kRead, kIgnoredBody, kRetirements}};
}

net::HttpResponse Ok(const Json& json, int status = 200) {
  return net::HttpResponse::Json(status, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}
constexpr int kCreated = 201;

Error BadQuery(const std::string& what) { return InvalidArgument("query_value", what); }

Result<RegistryOrder> OrderOf(const net::HttpRequest& request, RegistryOrder usual) {
  const auto text = request.QueryValue("order");
  if (!text) return usual;
  if (*text == "name") return RegistryOrder::kName;
  if (*text == "-name") return RegistryOrder::kNameDown;
  if (*text == "time") return RegistryOrder::kTime;
  if (*text == "-time") return RegistryOrder::kTimeDown;
  return BadQuery("query parameter 'order' must be name, -name, time or -time");
}

struct Named {
  NameMatch match = NameMatch::kAny;
  std::string text;
};
/// One of `?equals`, `?prefix`, `?like` and `?ilike`.
Result<Named> NameOfQuery(const net::HttpRequest& request, std::string_view equals) {
  const std::array<std::pair<std::string_view, NameMatch>, 4> ways = {{{equals, NameMatch::kEquals},
                                                                       {"prefix", NameMatch::kPrefix},
                                                                       {"like", NameMatch::kLike},
                                                                       {"ilike", NameMatch::kILike}}};
  Named named;
  for (const auto& [parameter, match] : ways) {
    const auto value = request.QueryValue(parameter);
    if (!value) continue;
    if (named.match != NameMatch::kAny) {
      return BadQuery("only one of the query parameters '" + std::string(equals) +
                      "', 'prefix', 'like' and 'ilike' may be there");
    }
    named = {.match = match, .text = std::string(*value)};
  }
  return named;
}

/// Every `?tag=key=value`.
Result<lifecycle::Tags> TagsOfQuery(const net::HttpRequest& request) {
  constexpr std::size_t kMost = 5;
  lifecycle::Tags tags;
  for (const auto& parameter : request.query()) {
    if (parameter.name != "tag") continue;
    const std::size_t equals = parameter.value.find('=');
    if (equals == std::string::npos || equals == 0) {
      return BadQuery("query parameter 'tag' must be key=value");
    }
    tags.insert_or_assign(parameter.value.substr(0, equals), parameter.value.substr(equals + 1));
  }
  if (tags.size() > kMost) return BadQuery("query parameter 'tag' may be there 5 times");
  return tags;
}

std::optional<TenantId> VisibleTo(const RoutedCall& call) {
  if (call.caller->Has(Scope::kObserve)) return std::nullopt;
  return call.caller->tenant->id;
}

template <typename Record>
Json PageJson(const lifecycle::RegistryPage<Record>& page) {
  Json data = Json::array();
  for (const Record& record : page.records) data.push_back(ToJson(record));
  return {{"object", "list"},
          {"data", std::move(data)},
          {"has_more", !page.next.empty()},
          {"next", page.next.empty() ? Json(nullptr) : Json(page.next)}};
}

std::string Value(const net::HttpRequest& request, std::string_view name) {
  return std::string(request.QueryValue(name).value_or(""));
}

Result<std::optional<std::int64_t>> NumberOf(const net::HttpRequest& request, std::string_view name) {
  const auto text = request.QueryValue(name);
  if (!text) return std::optional<std::int64_t>();
  const auto number = ParseUint(*text);
  if (!number || *number > static_cast<std::uint64_t>(INT64_MAX)) {
    return BadQuery("query parameter '" + std::string(name) + "' must be a whole number");
  }
  return std::optional<std::int64_t>(static_cast<std::int64_t>(*number));
}

/// The path's version, which is of digits.
Result<std::int64_t> VersionOf(const RoutedCall& call) {
  const auto number = ParseUint(call.captures[1]);
  if (number && *number <= static_cast<std::uint64_t>(INT64_MAX)) return static_cast<std::int64_t>(*number);
  return NotFound("registry_version_unknown", "model '" + Printable(call.captures[0]) + "' has no version " +
                                                  Printable(call.captures[1], 64));
}

/// ParseTime()'s forms, with a fraction of the last second if there is one, as answers have it.
Result<WallTime> TimeOf(std::string_view text) {
  const std::size_t dot = text.find('.');
  std::int64_t fraction = 0;
  std::string whole(text.substr(0, dot));
  if (dot != std::string_view::npos) {
    std::string_view digits = text.substr(dot + 1);
    if (digits.ends_with('Z')) digits.remove_suffix(1);
    constexpr std::size_t kMicroDigits = 6;
    const auto number = ParseUint(digits);
    if (!number || digits.size() > kMicroDigits) {
      return BadQuery("'" + Printable(text, 64) + "' is no time: its fraction has 1 to 6 digits");
    }
    fraction = static_cast<std::int64_t>(*number);
    for (std::size_t i = digits.size(); i < kMicroDigits; ++i) fraction *= 10;
    whole += "Z";
  }
  MEZZO_TRY(const std::int64_t micros, tenancy::ParseTime(whole));
  return WallTime(std::chrono::microseconds(micros + fraction));
}

struct Range {
  ByteCount offset = 0;
  ByteCount total = 0;
};
/// "bytes 0-99/1000"; without the header, the body is the whole.
Result<Range> RangeOf(const net::HttpRequest& request) {
  const ByteCount size = request.body().size();
  const auto header = request.Header("Content-Range");
  if (!header) return Range{.offset = 0, .total = size};
  const Error bad =
      InvalidArgument("registry_range", "Content-Range '" + Printable(*header, 64) +
                                            "' is not 'bytes FIRST-LAST/TOTAL' of a body with " +
                                            std::to_string(size) + " bytes");
  constexpr std::string_view kUnit = "bytes ";
  if (!header->starts_with(kUnit)) return bad;
  const std::string_view text = header->substr(kUnit.size());
  const std::size_t dash = text.find('-');
  const std::size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) return bad;
  const auto first = ParseUint(text.substr(0, dash));
  const auto last = ParseUint(text.substr(dash + 1, slash - dash - 1));
  const auto total = ParseUint(text.substr(slash + 1));
  if (!first || !last || !total || *last < *first || *last >= *total || *last - *first + 1 != size)
    return bad;
  return Range{.offset = *first, .total = *total};
}

}  // namespace

RegistryHandler::RegistryHandler(Options options, Ports ports)
    : options_(options), ports_(ports), routes_(Routes(options_.max_piece)) {}

runtime::Task<net::HttpResponse> RegistryHandler::Handle(runtime::Context ctx, RoutedCall call) {
  Answer answer = co_await Act(std::move(ctx), std::move(call));
  co_return ResponseOf(std::move(answer));
}

runtime::Task<RegistryHandler::Answer> RegistryHandler::Act(runtime::Context ctx, RoutedCall call) const {
  switch (call.route) {
    case kLoad:
    case kUnload:
      co_return co_await Load(std::move(ctx), std::move(call));
    case kSendContent:
      co_return co_await SendContent(std::move(ctx), std::move(call));
    case kCreateVersion:
    case kMissing:
    case kComplete:
    case kRestore:
    case kContentStatus:
    case kPutContent: {
      auto work = [this, &call] { return Dispatch(call); };
      co_return co_await runtime::Offload(ports_.store, std::move(work));
    }
    default: {
      auto work = [this, &call] { return Dispatch(call); };
      co_return co_await runtime::Offload(ports_.pool, std::move(work));
    }
  }
}

Result<std::string> RegistryHandler::ModelOf(const RoutedCall& call) const {
  std::string name(call.captures[0]);
  const auto tenant = VisibleTo(call);
  if (!tenant) return name;
  MEZZO_TRY(const auto model, ports_.registry.GetModel(name, Limit()));
  if (model.tenant.empty() || model.tenant == *tenant) return name;
  return NotFound("registry_model_unknown", "the registry has no model '" + Printable(name) + "'");
}

RegistryHandler::Answer RegistryHandler::Dispatch(const RoutedCall& call) const {
  switch (call.route) {
    case kListModels:
      return ListModels(call);
    case kCreateModel: {
      MEZZO_TRY(const auto model, ParseNewModel(call.request->body().text()));
      MEZZO_TRY(const auto made, ports_.registry.CreateModel(model, NameOf(*call.caller), Limit()));
      return Ok(ToJson(made), kCreated);
    }
    case kSearchVersions:
      return ListVersions(call, "");
    case kContentStatus: {
      MEZZO_TRY(const auto progress, ports_.uploads.StatusOf(std::string(call.captures[0]), StoreLimit()));
      return Ok(ToJson(progress));
    }
    case kPutContent:
      return PutContent(call);
    case kServed:
      return ShowServed();
    case kRetirements:
      return ShowRetirements(call);
    case kHistory:
      return History(call);
    case kAt:
      return At(call);
    default:
      break;
  }
  const std::string by = NameOf(*call.caller);
  MEZZO_TRY(const std::string model, ModelOf(call));
  switch (call.route) {
    case kGetModel: {
      MEZZO_TRY(const auto found, ports_.registry.GetModel(model, Limit()));
      return Ok(ToJson(found));
    }
    case kChangeModel:
      return ChangeModel(call);
    case kDeleteModel:
      MEZZO_TRY_VOID(ports_.registry.DeleteModel(model, by, Limit()));
      return Ok({{"object", "registry.model"}, {"name", model}, {"deleted", true}});
    case kPutAlias: {
      MEZZO_TRY(const AliasRequest request, ParseAlias(call.request->body().text()));
      const std::string alias(call.captures[1]);
      MEZZO_TRY_VOID(
          ports_.registry.SetAlias(model, alias, request.version, request.if_version, by, Limit()));
      return Ok(
          {{"object", "registry.alias"}, {"model", model}, {"alias", alias}, {"version", request.version}});
    }
    case kDeleteAlias: {
      const std::string alias(call.captures[1]);
      MEZZO_TRY_VOID(ports_.registry.DeleteAlias(model, alias, by, Limit()));
      return Ok({{"object", "registry.alias"}, {"model", model}, {"alias", alias}, {"deleted", true}});
    }
    case kListVersions:
      return ListVersions(call, model);
    case kCreateVersion:
      return CreateVersion(call);
    case kGetVersion:
      return ShowVersion(call);
    default:
      return DispatchVersion(call);
  }
}

RegistryHandler::Answer RegistryHandler::DispatchVersion(const RoutedCall& call) const {
  const std::string by = NameOf(*call.caller);
  const std::string model(call.captures[0]);
  const bool of_model = call.route == kPutModelTag || call.route == kDeleteModelTag;
  std::optional<std::int64_t> version;
  if (!of_model) {
    MEZZO_TRY(version, VersionOf(call));
  }
  switch (call.route) {
    case kPutModelTag:
    case kPutVersionTag: {
      MEZZO_TRY(const auto tag, ParseTag(call.request->body().text()));
      MEZZO_TRY_VOID(ports_.registry.SetTag(model, version, tag.first, tag.second, by, Limit()));
      return Ok({{"object", "registry.tag"}, {"key", tag.first}, {"value", tag.second}});
    }
    case kDeleteModelTag:
    case kDeleteVersionTag: {
      const std::string key = Value(*call.request, "key");
      MEZZO_TRY_VOID(ports_.registry.DeleteTag(model, version, key, by, Limit()));
      return Ok({{"object", "registry.tag"}, {"key", key}, {"deleted", true}});
    }
    case kChangeVersion:
      return ChangeVersion(call, *version);
    case kDeleteVersion:
      MEZZO_TRY_VOID(ports_.registry.DeleteVersion(model, *version, by, Limit()));
      return Ok({{"object", "registry.version"}, {"model", model}, {"version", *version}, {"deleted", true}});
    case kMissing: {
      MEZZO_TRY(const auto missing, ports_.uploads.Missing(model, *version, StoreLimit()));
      return Ok({{"object", "list"}, {"data", missing}});
    }
    case kShowTest:
      return ShowTest(model, *version);
    case kRetire:
    case kRestore:
      return Retire(call);
    default: {
      MEZZO_TRY(const auto now, ports_.uploads.Complete(model, *version, by, StoreLimit()));
      return Ok(ToJson(now));
    }
  }
}

RegistryHandler::Answer RegistryHandler::Retire(const RoutedCall& call) const {
  const std::string model(call.captures[0]);
  const std::string by = NameOf(*call.caller);
  MEZZO_TRY(const std::int64_t version, VersionOf(call));
  if (call.route == kRestore) {
    const TimePoint until = AddSaturating(ports_.clock.Now(), options_.fetch_timeout);
    MEZZO_TRY(const auto now, ports_.retirement.Restore(model, version, by, until));
    return Ok(ToJson(now));
  }
  MEZZO_TRY_VOID(ports_.retirement.Begin(model, version, by, Limit()));
  MEZZO_TRY(const auto stage, ports_.registry.RetirementOf(model, version, Limit()));
  const bool archived = stage >= lifecycle::RetireStage::kArchiving;
  return Ok({{"object", "registry.retirement"},
             {"model", model},
             {"version", version},
             {"stage", archived ? "archived" : "draining"}});
}

RegistryHandler::Answer RegistryHandler::ShowTest(const std::string& model, std::int64_t version) const {
  MEZZO_TRY_VOID(ports_.registry.GetVersion(model, version, Limit()));
  MEZZO_TRY(const auto record, ports_.registry.GetModel(model, Limit()));
  if (ports_.tests != nullptr) {
    MEZZO_TRY(const auto report,
              ports_.tests->ReportOf({.model_id = record.id, .version = version}, Limit()));
    if (report) return net::HttpResponse::Json(200, *report);
  }
  return NotFound("version_test_unknown", "version " + std::to_string(version) + " of model '" +
                                              Printable(model) + "' has no test that has ended");
}

RegistryHandler::Answer RegistryHandler::ListModels(const RoutedCall& call) const {
  const net::HttpRequest& request = *call.request;
  MEZZO_TRY(const std::size_t limit, PageLimit(request, kUsualPage, options_.max_page));
  MEZZO_TRY(Named named, NameOfQuery(request, "name"));
  lifecycle::ModelQuery query{.match = named.match, .name = std::move(named.text)};
  MEZZO_TRY(query.tags, TagsOfQuery(request));
  MEZZO_TRY(query.order, OrderOf(request, RegistryOrder::kName));
  query.alias = Value(request, "alias");
  query.visible_to = VisibleTo(call);
  MEZZO_TRY(const auto page, ports_.registry.ListModels(query, Value(request, "after"), limit, Limit()));
  return Ok(PageJson(page));
}

RegistryHandler::Answer RegistryHandler::ListVersions(const RoutedCall& call,
                                                      const std::string& model) const {
  const net::HttpRequest& request = *call.request;
  MEZZO_TRY(const std::size_t limit, PageLimit(request, kUsualPage, options_.max_page));
  lifecycle::VersionQuery query;
  if (model.empty()) {
    MEZZO_TRY(Named named, NameOfQuery(request, "model"));
    query.match = named.match;
    query.model = std::move(named.text);
  } else {
    MEZZO_TRY_VOID(ports_.registry.GetModel(model, Limit()));  // Else a wrong name would be an empty list.
    query.match = NameMatch::kEquals;
    query.model = model;
  }
  if (const auto state = request.QueryValue("state")) {
    query.state = lifecycle::ParseVersionState(*state);
    if (!query.state) {
      return BadQuery("query parameter 'state' must be uploading, testing, ready, rejected or archived");
    }
  }
  MEZZO_TRY(query.tags, TagsOfQuery(request));
  MEZZO_TRY(query.order, OrderOf(request, model.empty() ? RegistryOrder::kName : RegistryOrder::kNameDown));
  query.alias = Value(request, "alias");
  query.run_id = Value(request, "run_id");
  query.digest = Value(request, "digest");
  query.visible_to = VisibleTo(call);
  MEZZO_TRY(const auto page, ports_.registry.ListVersions(query, Value(request, "after"), limit, Limit()));
  return Ok(PageJson(page));
}

RegistryHandler::Answer RegistryHandler::ChangeModel(const RoutedCall& call) const {
  std::string name(call.captures[0]);
  const std::string by = NameOf(*call.caller);
  MEZZO_TRY(const ModelPatch patch, ParseModelPatch(call.request->body().text()));
  const bool facts = patch.change.description || patch.change.tenant;
  if (patch.name && (facts || patch.change.if_revision)) {
    return Members::Bad("a new 'name' comes alone");
  }
  if (patch.name) {
    MEZZO_TRY(const auto renamed, ports_.registry.RenameModel(name, *patch.name, by, Limit()));
    return Ok(ToJson(renamed));
  }
  MEZZO_TRY(const auto changed, ports_.registry.ChangeModel(name, patch.change, by, Limit()));
  return Ok(ToJson(changed));
}

RegistryHandler::Answer RegistryHandler::CreateVersion(const RoutedCall& call) const {
  MEZZO_TRY(const auto version, ParseNewVersion(call.request->body().text(), options_.limits));
  MEZZO_TRY(const auto begun,
            ports_.uploads.Begin(std::string(call.captures[0]), version, NameOf(*call.caller), StoreLimit()));
  Json json = ToJson(begun.version);
  json["missing"] = begun.missing;
  return Ok(json, kCreated);
}

RegistryHandler::Answer RegistryHandler::ShowVersion(const RoutedCall& call) const {
  const std::string model(call.captures[0]);
  MEZZO_TRY(const auto version, ports_.registry.Resolve(model, std::string(call.captures[1]), Limit()));
  MEZZO_TRY(const auto files, ports_.registry.FilesOf(model, version.version, Limit()));
  Json json = ToJson(version);
  json["files"] = FilesJson(files);
  MEZZO_TRY(const auto stage, ports_.registry.RetirementOf(model, version.version, Limit()));
  json["retirement"] = lifecycle::RetireStageName(stage);
  return Ok(json);
}

RegistryHandler::Answer RegistryHandler::ChangeVersion(const RoutedCall& call, std::int64_t version) const {
  const std::string model(call.captures[0]);
  const std::string by = NameOf(*call.caller);
  MEZZO_TRY(const VersionPatch patch, ParseVersionPatch(call.request->body().text()));
  const bool facts = patch.change.description || patch.change.stage;
  if (patch.state && (facts || patch.change.if_revision)) {
    return Members::Bad("a new 'state' comes alone");
  }
  if (patch.state) {
    const bool archive = *patch.state == VersionState::kArchived;
    const lifecycle::StateChange change{
        .from = archive ? VersionState::kReady : VersionState::kArchived, .to = *patch.state, .reason = ""};
    MEZZO_TRY(const auto changed, ports_.registry.SetState(model, version, change, by, Limit()));
    return Ok(ToJson(changed));
  }
  MEZZO_TRY(const auto changed, ports_.registry.ChangeVersion(model, version, patch.change, by, Limit()));
  return Ok(ToJson(changed));
}

RegistryHandler::Answer RegistryHandler::History(const RoutedCall& call) const {
  const net::HttpRequest& request = *call.request;
  // Of a model that is gone, those who may observe all see what was.
  MEZZO_TRY(const std::string model, ModelOf(call));
  MEZZO_TRY(const std::size_t limit, PageLimit(request, kUsualPage, options_.max_page));
  lifecycle::RegistryStore::HistoryQuery query;
  MEZZO_TRY(query.version, NumberOf(request, "version"));
  MEZZO_TRY(const auto before, NumberOf(request, "before"));
  query.before = before.value_or(0);
  query.alias = Value(request, "alias");
  MEZZO_TRY(auto events, ports_.registry.History(model, query, limit + 1, Limit()));
  const bool more = events.size() > limit;
  if (more) events.resize(limit);
  Json data = Json::array();
  for (const auto& event : events) data.push_back(ToJson(event));
  return Ok({{"object", "list"}, {"data", std::move(data)}, {"has_more", more}});
}

RegistryHandler::Answer RegistryHandler::At(const RoutedCall& call) const {
  MEZZO_TRY(const std::string model, ModelOf(call));
  WallTime at = ports_.clock.WallNow();
  if (const auto text = call.request->QueryValue("time")) {
    MEZZO_TRY(at, TimeOf(*text));
  }
  MEZZO_TRY(const auto moment, ports_.registry.At(model, at, Limit()));
  return Ok(ToJson(moment));
}

RegistryHandler::Answer RegistryHandler::PutContent(const RoutedCall& call) const {
  MEZZO_TRY(const Range range, RangeOf(*call.request));
  const lifecycle::VersionUploads::Piece piece{.sha256 = std::string(call.captures[0]),
                                               .offset = range.offset,
                                               .total = range.total,
                                               .bytes = call.request->body().view()};
  MEZZO_TRY(const auto progress, ports_.uploads.Put(piece, StoreLimit()));
  return Ok(ToJson(progress));
}

RegistryHandler::Answer RegistryHandler::ShowServed() const {
  Json data = Json::array();
  for (const auto& one : ports_.hosting.served()) {
    const std::string version = std::to_string(one.version);
    data.push_back({{"model", one.model},
                    {"version", one.version},
                    {"digest", one.digest},
                    {"ready", ports_.catalog.IsReady(one.model, version)}});
  }
  return Ok({{"object", "list"}, {"data", std::move(data)}});
}

RegistryHandler::Answer RegistryHandler::ShowRetirements(const RoutedCall& call) const {
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsualPage, options_.max_page));
  // One more than is shown tells whether there are more.
  MEZZO_TRY(auto versions, ports_.registry.Retirements(VisibleTo(call), limit + 1, Limit()));
  const bool more = versions.size() > limit;
  if (more) versions.resize(limit);
  const auto text = [](const std::optional<WallTime>& at) {
    return at ? Json(TimeText(*at)) : Json(nullptr);
  };
  Json data = Json::array();
  for (const auto& one : versions) {
    const auto next =
        lifecycle::NextRetireTime(ports_.retirement.policy(), one.stage, one.since, one.last_call);
    const bool known = one.stage < lifecycle::RetireStage::kArchived;
    data.push_back({{"model", one.model},
                    {"version", one.version},
                    {"stage", lifecycle::RetireStageName(one.stage)},
                    {"by_hand", known ? Json(one.by_hand) : Json(nullptr)},
                    {"since", TimeText(one.since)},
                    {"last_call_at", text(one.last_call)},
                    {"next_at", text(next)}});
  }
  return Ok({{"object", "list"}, {"data", std::move(data)}, {"has_more", more}});
}

runtime::Task<RegistryHandler::Answer> RegistryHandler::Load(runtime::Context ctx, RoutedCall call) const {
  const std::string model(call.captures[0]);
  MEZZO_CO_TRY(const std::int64_t version, VersionOf(call));
  const bool begin = call.route == kLoad;
  const TimePoint until = std::min(ctx.deadline(), AddSaturating(ports_.clock.Now(), options_.fetch_timeout));
  bool fresh = false;
  const auto work = [&]() -> Result<void> {
    if (!begin) return ports_.hosting.Withdraw(model, version, until);
    MEZZO_TRY(const auto stage, ports_.registry.RetirementOf(model, version, Limit()));
    if (stage == lifecycle::RetireStage::kDraining) {
      return FailedPrecondition("version_retiring", "version " + std::to_string(version) + " of model '" +
                                                        Printable(model) +
                                                        "' is being retired: restore it first");
    }
    MEZZO_TRY(fresh, ports_.hosting.Serve(model, version, until));
    return {};
  };
  MEZZO_CO_TRY_VOID(co_await runtime::Offload(ports_.store, work));
  if (begin) {
    ModelName name(model);
    std::string number = std::to_string(version);
    const auto loaded =
        co_await ports_.catalog.AcquireLoaded(ctx.WithDeadline(until), std::move(name), std::move(number));
    // A pipeline is served by its parts: they load when they are asked for.
    const bool well = loaded.ok() || loaded.error().reason() == "model_unknown";
    const bool broken = !well && loaded.error().reason() == "model_not_ready";
    const auto end = [&]() -> Result<void> {
      if (well) return ports_.hosting.NoteServed(model, version, Limit());
      // As if it had not been asked for.
      if (broken && fresh) return ports_.hosting.Withdraw(model, version, Limit());
      return {};
    };
    MEZZO_CO_TRY_VOID(co_await runtime::Offload(ports_.store, end));
    if (broken) co_return FailedPrecondition("version_not_loaded", loaded.error().message());
    if (!well) co_return loaded.error();
  }
  const Json json = {
      {"object", "registry.version"}, {"model", model}, {"version", version}, {"served", begin}};
  co_return Ok(json);
}

runtime::Task<RegistryHandler::Answer> RegistryHandler::SendContent(runtime::Context ctx,
                                                                    RoutedCall call) const {
  const std::string model(call.captures[0]);
  const std::string sha256(call.captures[2]);
  MEZZO_CO_TRY(const std::int64_t version, VersionOf(call));
  auto look = [&]() -> Result<std::string> {
    MEZZO_TRY_VOID(ModelOf(call));
    MEZZO_TRY(const auto record, ports_.registry.GetModel(model, Limit()));
    if (!call.caller->Has(Scope::kOperate) && record.tenant != call.caller->tenant->id) {
      return PermissionDenied("registry_contents",
                              "the files of a model are for its own tenant and for operators");
    }
    MEZZO_TRY(const auto files, ports_.registry.FilesOf(model, version, Limit()));
    for (const auto& file : files) {
      if (file.sha256 != sha256) continue;
      return file.path.substr(file.path.rfind('/') + 1);
    }
    return NotFound("registry_blob_unknown",
                    "the version has no file with the SHA-256 " + Printable(sha256, 64));
  };
  MEZZO_CO_TRY(std::string name, co_await runtime::Offload(ports_.pool, std::move(look)));
  BlobServer::Presentation presentation{
      .file_name = std::move(name), .fresh = Duration::zero(), .refusal = &ProblemResponse};
  auto answer = co_await ports_.blobs.Serve(std::move(ctx), lifecycle::VersionUploads::KeyOf(sha256),
                                            call.request, std::move(presentation));
  if (!answer.ok() && answer.error().reason() == "blob_missing") {
    co_return NotFound("registry_blob_unknown",
                       "the file with the SHA-256 " + sha256 + " has not been sent yet, or is archived");
  }
  co_return answer;
}

}  // namespace mezzo::api::platform
