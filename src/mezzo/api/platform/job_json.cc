#include "mezzo/api/platform/job_json.h"

#include <array>
#include <cmath>
#include <initializer_list>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/api/json_body.h"
#include "mezzo/base/strings.h"
#include "mezzo/jobs/webhook_store.h"
#include "mezzo/jobs/webhook_target.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using nlohmann::detail::value_t;

constexpr std::array<std::string_view, 8> kMembers = {"kind", "model",   "version",          "input",
                                                      "tier", "webhook", "deadline_seconds", "delay_seconds"};
constexpr std::array<std::string_view, 4> kRedoMembers = {"shot", "painting", "tier", "webhook"};
constexpr std::array<std::string_view, 2> kWebhookMembers = {"url", "secret"};
constexpr std::size_t kMaxName = 256;

Error Bad(std::string message) { return InvalidArgument("job_request", std::move(message)); }

template <std::size_t N>
Result<void> CheckMembers(const Json& object, const std::array<std::string_view, N>& known,
                          std::string_view where) {
  for (const auto& [name, value] : object.items()) {
    bool found = false;
    for (const std::string_view member : known) found = found || member == name;
    if (!found) {
      std::string text;
      for (const std::string_view member : known) text += (text.empty() ? "" : ", ") + std::string(member);
      return Bad("unknown member '" + Printable(name) + "'" + std::string(where) + "; known are " + text);
    }
  }
  return {};
}

Result<std::string> Text(const Json& object, const std::string& name, std::size_t max_size,
                         std::string fallback) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return fallback;
  if (!found->is_string()) return Bad("'" + name + "' must be a string");
  auto text = found->get<std::string>();
  if (text.size() > max_size) {
    return Bad("'" + name + "' has " + std::to_string(text.size()) + " bytes; the limit is " +
               std::to_string(max_size));
  }
  return text;
}

/// A time from now, or nothing when the member is absent.
Result<std::optional<WallTime>> After(const Json& object, const std::string& name, WallTime now,
                                      Duration longest) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return std::optional<WallTime>();
  if (!found->is_number()) return Bad("'" + name + "' must be a number of seconds");
  const double seconds = found->get<double>();
  if (!(seconds > 0) || seconds > Seconds(longest)) {
    return Bad(fmt::format("'{}' must be in (0, {:.0f}], got {}", name, Seconds(longest), found->dump()));
  }
  return std::optional<WallTime>(now + FromSeconds(seconds));
}

Result<std::optional<jobs::WebhookTarget>> Webhook(const Json& object) {
  const auto found = object.find("webhook");
  if (found == object.end() || found->is_null()) return std::optional<jobs::WebhookTarget>();
  if (!found->is_object()) return Bad("'webhook' must be an object with url and secret");
  MEZZO_TRY_VOID(CheckMembers(*found, kWebhookMembers, " of 'webhook'"));
  jobs::WebhookTarget target;
  MEZZO_TRY(target.url, Text(*found, "url", jobs::kMaxWebhookUrlBytes, ""));
  MEZZO_TRY(target.secret, Text(*found, "secret", kMaxName, ""));
  MEZZO_TRY_VOID(jobs::CheckWebhookTarget(target));
  return std::optional<jobs::WebhookTarget>(std::move(target));
}

Json MaybeTime(const std::optional<WallTime>& time) { return time ? Json(TimeText(*time)) : Json(nullptr); }

Json ToJson(const jobs::Job& job, bool with_result) {
  Json json = {{"id", job.id.str()},
               {"object", "job"},
               {"kind", job.kind},
               {"model", job.model},
               {"status", jobs::StateName(job.state)},
               {"tier", jobs::TierName(job.tier)},
               {"progress", job.progress},
               {"stage", job.stage},
               {"attempt", job.attempt},
               {"cancel_requested", job.cancel_requested},
               {"created_at", TimeText(job.created)},
               {"started_at", MaybeTime(job.started)},
               {"finished_at", MaybeTime(job.finished)},
               {"deadline", MaybeTime(job.deadline)},
               {"run_after", MaybeTime(job.run_after)},
               {"predicted_cost_seconds", job.cost},
               {"error", nullptr},
               {"version", job.version}};
  if (job.error) json["error"] = {{"code", job.error->reason}, {"message", job.error->message}};
  if (with_result && job.state == jobs::JobState::kSucceeded) {
    Json result = Json::parse(job.result, nullptr, /*allow_exceptions=*/false);
    json["result"] = result.is_discarded() ? Json(nullptr) : std::move(result);
  }
  return json;
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

Result<jobs::NewJob> ParseJob(std::string_view body, const tenancy::Tenant& tenant, WallTime now,
                              const JobLimits& limits) {
  MEZZO_TRY(const Json json, ParseJsonObject<Json>(body, static_cast<int>(limits.max_depth), Bad));
  MEZZO_TRY_VOID(CheckMembers(json, kMembers, ""));
  jobs::NewJob job{.tenant = tenant.id, .weight = tenant.weight};
  MEZZO_TRY(job.kind, Text(json, "kind", kMaxName, ""));
  if (job.kind.empty()) return Bad("'kind' is missing");
  MEZZO_TRY(const std::string model, Text(json, "model", kMaxName, ""));
  MEZZO_TRY(const std::string version, Text(json, "version", kMaxName, ""));
  MEZZO_TRY(const std::string tier, Text(json, "tier", kMaxName, std::string(TierName(jobs::Tier::kFree))));
  MEZZO_TRY(job.tier, jobs::ParseTier(tier));
  MEZZO_TRY(job.deadline, After(json, "deadline_seconds", now, limits.longest_deadline));
  MEZZO_TRY(job.run_after, After(json, "delay_seconds", now, limits.longest_delay));
  MEZZO_TRY(job.webhook, Webhook(json));
  const auto input = json.find("input");
  if (input == json.end() || !input->is_object()) return Bad("'input' must be an object");
  job.request = Dump({{"model", model}, {"version", version}, {"input", *input}});
  if (job.request.size() > limits.max_request_bytes) {
    return Bad("the request has " + std::to_string(job.request.size()) + " bytes; the limit is " +
               std::to_string(limits.max_request_bytes));
  }
  return job;
}

Result<std::string> RedoBody(const jobs::Job& job, std::uint64_t shot, std::string_view body,
                             const JobLimits& limits) {
  if (job.kind != "storyboard" || job.state != jobs::JobState::kSucceeded) {
    return FailedPrecondition("job_not_ended", "job '" + job.id.str() + "' is " + job.kind + ", " +
                                                   std::string(jobs::StateName(job.state)) +
                                                   ": only shots of a finished storyboard can be made again");
  }
  MEZZO_TRY(const Json json,
            ParseJsonObject<Json>(body.empty() ? "{}" : body, static_cast<int>(limits.max_depth), Bad));
  MEZZO_TRY_VOID(CheckMembers(json, kRedoMembers, ""));
  Json change = json.value("shot", Json::object());
  if (!change.is_object()) return Bad("'shot' must be an object: the members of the shot that change");
  if (change.contains("shot")) return Bad("'shot.shot' is not a member of a shot: the path has its number");
  change["shot"] = shot;
  Json input = {{"redo", {{"job", job.id.str()}, {"shots", Json::array({std::move(change)})}}}};
  if (json.contains("painting")) input["painting"] = json["painting"];
  Json out = {{"kind", job.kind}, {"model", job.model}, {"input", std::move(input)}};
  out["tier"] = json.contains("tier") ? json["tier"] : Json(jobs::TierName(job.tier));
  if (json.contains("webhook")) out["webhook"] = json["webhook"];
  return Dump(out);
}

std::string TimeText(WallTime time) {
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(millis / 1000)),
                     millis % 1000);
}

std::string JobJson(const jobs::Job& job, bool with_result) { return Dump(ToJson(job, with_result)); }

std::string PageJson(const jobs::JobReader::Page& page) {
  Json data = Json::array();
  for (const jobs::Job& job : page.jobs) data.push_back(ToJson(job, false));
  const Json first = page.jobs.empty() ? Json(nullptr) : Json(page.jobs.front().id.str());
  const Json last = page.jobs.empty() ? Json(nullptr) : Json(page.jobs.back().id.str());
  return Dump({{"object", "list"},
               {"data", std::move(data)},
               {"first_id", first},
               {"last_id", last},
               {"has_more", page.has_more}});
}

}  // namespace mezzo::api::platform
