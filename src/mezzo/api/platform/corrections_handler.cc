#include "mezzo/api/platform/corrections_handler.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "mezzo/api/json_body.h"
#include "mezzo/api/page_limit.h"
#include "mezzo/api/platform/identity_json.h"
#include "mezzo/api/platform/members.h"
#include "mezzo/api/v2http/json_request.h"
#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/inference/answer_codec.h"
#include "mezzo/inference/request_plan.h"
#include "mezzo/inference/version_runtime.h"
#include "mezzo/tenancy/ledger/usage_report.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using net::Method;
using tenancy::Scope;

enum RouteId : int { kList, kAdd, kRemove };

constexpr ByteCount kIgnoredBody = 1024;
constexpr std::size_t kMaxName = 256;
constexpr int kMaxDepth = 65;  // The body, and 64 levels in it.

net::HttpResponse Ok(int status, const Json& json) {
  return net::HttpResponse::Json(status, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json ToJson(const cache::CorrectionFacts& facts) {
  return {{"id", facts.id},
          {"object", "cache.correction"},
          {"model", facts.model},
          {"version", facts.version},
          {"tenant", facts.tenant.empty() ? Json(nullptr) : Json(facts.tenant)},
          {"content_sha256", HexEncode(facts.content)},
          {"bytes", facts.bytes},
          {"created_at", tenancy::TimeText(facts.created_us)},
          {"created_by", facts.created_by}};
}

/// Nothing: of all tenants, which is for those who may do everything.
Result<std::optional<std::string>> TenantOf(const tenancy::Caller& caller, std::optional<std::string> asked) {
  const std::string& own = caller.tenant->id.str();
  if (caller.Has(Scope::kAdmin)) return asked;
  if (!asked || *asked == own) return std::optional<std::string>(own);
  return NotFound("tenant_unknown", "there is no tenant '" + Printable(*asked, 64) + "'");
}

Error Bad(const std::string& message) { return InvalidArgument("correction_response", message); }

/// As what the model itself would answer with.
Result<void> CheckOutputs(const std::vector<inference::NamedTensor>& outputs,
                          const models::ModelVersion& version, const inference::RequestPlan& plan) {
  if (outputs.size() != plan.wanted.size()) {
    return Bad("the response has " + std::to_string(outputs.size()) + " outputs; the request asks for " +
               std::to_string(plan.wanted.size()));
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const models::TensorConfig& spec = version.config->outputs[plan.wanted[i]];
    const inference::NamedTensor& output = outputs[i];
    const std::string name = "output " + std::to_string(i) + " of the response";
    if (output.name != spec.name) {
      return Bad(name + " is '" + Printable(output.name, 64) + "'; the model answers with '" + spec.name +
                 "' there");
    }
    if (output.tensor.dtype != spec.dtype) {
      return Bad(name + " has type " + std::string(tensor::DTypeName(output.tensor.dtype)) +
                 "; the model's has " + std::string(tensor::DTypeName(spec.dtype)));
    }
    const tensor::Shape& shape = output.tensor.shape;
    bool fits = shape.rank() == spec.shape.rank();
    for (std::size_t d = 0; fits && d < shape.rank(); ++d) {
      fits = spec.shape[d] < 0 || spec.shape[d] == shape[d];
      if (d == 0 && version.config->max_batch_size > 0) fits = shape[d] == plan.rows;
    }
    if (!fits) return Bad(name + " has a shape that the model's can't have");
  }
  return {};
}

}  // namespace

CorrectionsHandler::CorrectionsHandler(Options options, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      routes_({Route{Method::kGet, "/v1/cache/corrections", Scope::kKeys, kIgnoredBody, kList},
               Route{Method::kPost, "/v1/cache/corrections", Scope::kKeys, options.max_body, kAdd},
               Route{Method::kDelete, "/v1/cache/corrections/*", Scope::kKeys, kIgnoredBody, kRemove}}) {}

runtime::Task<net::HttpResponse> CorrectionsHandler::Handle(runtime::Context ctx, RoutedCall call) {
  if (call.route == kAdd) {
    Answer answer = co_await Add(std::move(ctx), std::move(call));
    co_return ResponseOf(std::move(answer));
  }
  auto work = [this, &call] { return call.route == kList ? List(call) : Remove(call); };
  Answer answer = co_await runtime::Offload(ports_.pool, std::move(work));
  co_return ResponseOf(std::move(answer));
}

CorrectionsHandler::Answer CorrectionsHandler::List(const RoutedCall& call) const {
  constexpr std::size_t kUsual = 100;
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsual, options_.max_page));
  std::optional<std::string> asked;
  if (const auto text = call.request->QueryValue("tenant")) asked = std::string(*text);
  MEZZO_TRY(const auto tenant, TenantOf(*call.caller, std::move(asked)));
  MEZZO_TRY(auto found,
            ports_.store.List(tenant, call.request->QueryValue("model").value_or(""),
                              call.request->QueryValue("after").value_or(""), limit + 1, Limit()));
  const bool more = found.size() > limit;
  if (more) found.resize(limit);
  Json data = Json::array();
  for (const auto& facts : found) data.push_back(ToJson(facts));
  return Ok(200, {{"object", "list"},
                  {"data", std::move(data)},
                  {"has_more", more},
                  {"last_id", found.empty() ? Json(nullptr) : Json(found.back().id)}});
}

CorrectionsHandler::Answer CorrectionsHandler::Remove(const RoutedCall& call) const {
  const std::string id(call.captures[0]);
  MEZZO_TRY(const auto tenant, TenantOf(*call.caller, std::nullopt));
  MEZZO_TRY_VOID(ports_.store.Remove(id, tenant, Limit()));
  ports_.log.Info(
      "a correction was removed",
      {{"id", Printable(id, 64)}, {"tenant", call.caller->tenant->id.str()}, {"by", NameOf(*call.caller)}});
  ports_.catch_up();
  return Ok(200, {{"id", id}, {"object", "cache.correction"}, {"deleted", true}});
}

Result<CorrectionsHandler::Wish> CorrectionsHandler::Parse(std::string_view body) {
  MEZZO_TRY(const Json json, ParseJsonObject<Json>(body, kMaxDepth, Members::Bad));
  constexpr std::array<std::string_view, 5> kMembers = {"model", "version", "request", "response", "tenant"};
  Wish wish;
  for (const auto& [name, value] : json.items()) {
    if (std::find(kMembers.begin(), kMembers.end(), name) == kMembers.end()) {
      return Members::Bad("'" + Printable(name, 64) + "' is not a known member");
    }
    const bool object = name == "request" || name == "response";
    if (object ? !value.is_object() : !(value.is_string() || (value.is_null() && name != "model"))) {
      return Members::Bad("'" + name + "' must be " + (object ? "a JSON object" : "a text"));
    }
    if (object || value.is_null()) continue;
    auto text = value.get<std::string>();
    if (text.empty() || text.size() > kMaxName) {
      return Members::Bad("'" + name + "' must have 1 to " + std::to_string(kMaxName) + " bytes");
    }
    if (name == "model") {
      wish.model = std::move(text);
    } else if (name == "version") {
      wish.version = std::move(text);
    } else {
      wish.tenant = std::move(text);
    }
  }
  for (const char* name : {"model", "request", "response"}) {
    if (!json.contains(name)) return Members::Bad(std::string("'") + name + "' is missing");
  }
  const Json& response = json["response"];
  if (!response.contains("outputs") || !response["outputs"].is_array()) {
    return Bad("'response' must have 'outputs', as a v2 inference response does");
  }
  wish.request = json["request"].dump();
  wish.outputs = Json({{"inputs", response["outputs"]}}).dump();
  return wish;
}

runtime::Task<CorrectionsHandler::Answer> CorrectionsHandler::Add(runtime::Context ctx,
                                                                  RoutedCall call) const {
  auto parse = [&call] { return Parse(call.request->body().text()); };
  MEZZO_CO_TRY(const Wish wish, co_await runtime::Offload(ports_.pool, std::move(parse)));
  runtime::Context timed = ctx.WithDeadline(AddSaturating(ports_.clock.Now(), options_.load_timeout));
  ModelName model(wish.model);
  MEZZO_CO_TRY(const models::VersionRef version, co_await ports_.service.catalog().AcquireLoaded(
                                                     std::move(timed), std::move(model), wish.version));
  auto store = [this, &call, &wish, &version] { return Store(call, wish, *version); };
  co_return co_await runtime::Offload(ports_.pool, std::move(store));
}

CorrectionsHandler::Answer CorrectionsHandler::Store(const RoutedCall& call, const Wish& wish,
                                                     const models::ModelVersion& version) const {
  const inference::CachePlace* place = inference::VersionRuntime::Of(version).place();
  if (place == nullptr) {
    return FailedPrecondition(
        "model_uncached",
        "model '" + Printable(wish.model) + "' declares no cache: only kept answers can be corrected");
  }
  std::string tenant;
  if (place->by_tenant) {
    MEZZO_TRY(const auto named, TenantOf(*call.caller, wish.tenant));
    tenant = named.value_or(call.caller->tenant->id.str());
  } else if (!call.caller->Has(Scope::kAdmin)) {
    return PermissionDenied("scope_missing", "all tenants share the answers of model '" +
                                                 Printable(wish.model) +
                                                 "': correcting them takes a key that allows 'admin'");
  } else if (wish.tenant) {
    return Members::Bad("'tenant' does not go with model '" + Printable(wish.model) +
                        "': all tenants share its answers");
  }
  MEZZO_TRY(cache::Correction correction, Make(wish, version, tenant));
  correction.facts.id = "cor_" + NewUuidV7(ports_.clock.WallNow());
  correction.facts.content = place->content;
  correction.facts.created_us =
      std::chrono::duration_cast<std::chrono::microseconds>(ports_.clock.WallNow().time_since_epoch())
          .count();
  correction.facts.created_by = NameOf(*call.caller);
  correction.facts.bytes = static_cast<ByteCount>(correction.key_text.size() + correction.answer.size());
  MEZZO_TRY_VOID(ports_.store.Put(correction, Limit()));
  ports_.log.Info("an answer was corrected", {{"id", correction.facts.id},
                                              {"model", correction.facts.model},
                                              {"version", correction.facts.version},
                                              {"tenant", tenant},
                                              {"by", correction.facts.created_by}});
  ports_.catch_up();
  return Ok(201, ToJson(correction.facts));
}

Result<cache::Correction> CorrectionsHandler::Make(const Wish& wish, const models::ModelVersion& version,
                                                   const std::string& tenant) {
  const v2http::DecodeSources sources{.regions = nullptr, .tenant = TenantId(tenant)};
  const SharedBytes request = SharedBytes::FromString(wish.request);
  MEZZO_TRY(const v2http::DecodedRequest question,
            v2http::DecodeRequest(request, request.size(), wish.model, version.version_text, sources, {}));
  MEZZO_TRY(const inference::RequestPlan plan, inference::PlanRequest(version, question.call));
  const SharedBytes outputs = SharedBytes::FromString(wish.outputs);
  MEZZO_TRY(const v2http::DecodedRequest answer,
            v2http::DecodeRequest(outputs, outputs.size(), wish.model, version.version_text, sources, {}));
  MEZZO_TRY_VOID(CheckOutputs(answer.call.inputs, version, plan));
  const inference::CachePlace& place = *inference::VersionRuntime::Of(version).place();
  const cache::CacheKey key = inference::AnswerCache::QuestionOf(place, version, question.call, plan, tenant);
  return cache::Correction{
      .facts = {.model = version.name.str(), .version = version.version_text, .tenant = tenant},
      .key = key.Digest(),
      .key_text = std::string(key.text()),
      .answer = inference::EncodeAnswer(inference::CachedAnswer(answer.call.inputs, {}, Duration()))};
}

}  // namespace mezzo::api::platform
