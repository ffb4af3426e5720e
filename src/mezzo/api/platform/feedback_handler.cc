#include "mezzo/api/platform/feedback_handler.h"

#include <array>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/platform/members.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using net::Method;
using tenancy::Scope;

constexpr ByteCount kMaxBody = ByteCount{16} << 10;
constexpr std::size_t kMaxText = 256;
constexpr double kFarthest = 1e15;
constexpr std::array<Route, 1> kRoutes = {Route{Method::kPost, "/v1/feedback", Scope::kInfer, kMaxBody, 0}};
constexpr std::array<std::string_view, 8> kMembers = {"job",    "model", "route", "request_id",
                                                      "metric", "value", "label", "correction"};
constexpr std::array<const char*, 3> kOfCalls = {"model", "route", "request_id"};

}  // namespace

std::span<const Route> FeedbackHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> FeedbackHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  const auto work = [this, &call] { return Take(call); };
  auto answer = co_await runtime::Offload(ports_.pool, work);
  co_return ResponseOf(std::move(answer));
}

Result<net::HttpResponse> FeedbackHandler::Take(const RoutedCall& call) const {
  MEZZO_TRY(const Members members, Members::Parse(call.request->body().text(), kMembers));
  releases::Feedback feedback{.tenant = call.caller->tenant->id.str()};
  const auto needed = [&](const char* name, std::string& into) -> Result<void> {
    MEZZO_TRY(const auto text, members.Text(name, kMaxText));
    if (!text) return Members::Bad(std::string("'") + name + "' must be given");
    into = *text;
    return {};
  };
  MEZZO_TRY(const auto job, members.Text("job", kMaxText));
  if (job) {
    for (const char* name : kOfCalls) {
      if (members.Has(name)) return Members::Bad(std::string("'") + name + "' is told by the job");
    }
    MEZZO_TRY_VOID(FindJob(call.caller->tenant->id, *job, feedback));
  } else {
    MEZZO_TRY_VOID(needed("model", feedback.model));
    MEZZO_TRY_VOID(needed("route", feedback.route));
    MEZZO_TRY_VOID(needed("request_id", feedback.request_id));
  }
  MEZZO_TRY(const auto metric, members.Text("metric", kMaxText));
  MEZZO_TRY(const auto value, members.Number("value", -kFarthest, kFarthest));
  MEZZO_TRY(const auto label, members.Text("label", kMaxText));
  MEZZO_TRY(const auto correction, members.Text("correction", releases::kMaxFeedbackText));
  if (!value) return Members::Bad("'value' must be given");
  feedback.metric = metric.value_or("score");
  feedback.value = *value;
  feedback.label = label.value_or("");
  feedback.correction = correction.value_or("");
  MEZZO_TRY(const bool counted,
            releases::TakeFeedback(ports_.store, ports_.board, feedback, ports_.clock,
                                   AddSaturating(ports_.clock.Now(), options_.database_timeout)));
  return net::HttpResponse::Json(200, Json{{"object", "feedback"}, {"counted", counted}}.dump());
}

Result<void> FeedbackHandler::FindJob(const TenantId& tenant, const std::string& job,
                                      releases::Feedback& feedback) const {
  const auto none = [&](const std::string& why) {
    return FailedPrecondition("feedback_no_answer", "job '" + Printable(job, 64) + "' " + why);
  };
  if (ports_.jobs == nullptr) return NotFound("job_unknown", "there is no job '" + Printable(job, 64) + "'");
  MEZZO_TRY(const jobs::Job found,
            ports_.jobs->Get(tenant, jobs::JobId(job),
                             AddSaturating(ports_.clock.Now(), options_.database_timeout)));
  if (found.state != jobs::JobState::kSucceeded) return none("has not succeeded");
  const Json result = Json::parse(found.result, nullptr, /*allow_exceptions=*/false);
  const bool routed = result.is_object() && result.contains("route") && result["route"].is_string() &&
                      result.contains("model") && result["model"].is_string();
  if (!routed) return none("was made by no route");
  feedback.model = result["model"].get<std::string>();
  feedback.route = result["route"].get<std::string>();
  feedback.request_id = "job:" + found.id.str();  // No id that a call's feedback may have.
  return {};
}

}  // namespace mezzo::api::platform
