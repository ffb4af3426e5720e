#include "mezzo/api/openai/openai_handler.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "mezzo/api/json_text.h"
#include "mezzo/api/openai/openai_error.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::openai {
namespace {

enum RouteId : int { kEmbeddings, kModels, kModel };

constexpr ByteCount kIgnoredBody = 1024;  // Clients may send a few bytes with a GET; nobody reads them.

constexpr std::array<Route, 3> kRoutes = {
    Route{net::Method::kPost, "/v1/embeddings", tenancy::Scope::kInfer, 0, kEmbeddings},
    Route{net::Method::kGet, "/v1/models", tenancy::Scope::kRead, kIgnoredBody, kModels},
    Route{net::Method::kGet, "/v1/models/*", tenancy::Scope::kRead, kIgnoredBody, kModel}};

void AppendModel(std::string_view name, std::int64_t created, std::string* out) {
  out->append(R"({"id":)");
  AppendJsonString(name, out);
  out->append(R"(,"object":"model","created":)");
  AppendJsonInteger(created, out);
  out->append(R"(,"owned_by":"mezzo"})");
}

/// Models with a version that answers now or after its first use has loaded it.
std::set<std::string, std::less<>> ServedModels(models::Catalog& catalog) {
  std::set<std::string, std::less<>> names;
  for (const models::IndexEntry& entry : catalog.Index(/*ready_only=*/false)) {
    if (entry.state == models::VersionState::kReady || entry.state == models::VersionState::kOnDisk ||
        entry.state == models::VersionState::kLoading) {
      names.insert(entry.name);
    }
  }
  return names;
}

}  // namespace

OpenAiHandler::OpenAiHandler(Options options, Ports ports)
    : options_(options),
      ports_(ports),
      started_seconds_(
          std::chrono::duration_cast<std::chrono::seconds>(ports.clock.WallNow().time_since_epoch())
              .count()) {}

std::span<const Route> OpenAiHandler::routes() const { return kRoutes; }

net::BodyPlan OpenAiHandler::Plan(const net::HttpRequest& head, const RouteMatch& match) const {
  return PlanUpTo(match.route->id == kEmbeddings ? options_.max_body : match.route->max_body, head);
}

runtime::Task<net::HttpResponse> OpenAiHandler::Handle(runtime::Context ctx, RoutedCall call) {
  Answer answer = net::HttpResponse();
  if (call.route == kEmbeddings) {
    answer = co_await Embed(std::move(ctx), call.request, std::move(call.caller), call.limit);
  } else {
    answer = call.route == kModels ? ListModels() : DescribeModel(call.captures[0]);
  }
  co_return answer.ok() ? std::move(answer).value() : ErrorResponse(answer.error());
}

OpenAiHandler::Answer OpenAiHandler::ListModels() const {
  std::string json = R"({"object":"list","data":[)";
  const auto names = ServedModels(ports_.service.catalog());
  for (const std::string& name : names) {
    if (json.back() == '}') json += ',';
    AppendModel(name, started_seconds_, &json);
  }
  json += "]}";
  return net::HttpResponse::Json(200, std::move(json));
}

OpenAiHandler::Answer OpenAiHandler::DescribeModel(std::string_view name) const {
  if (!ServedModels(ports_.service.catalog()).contains(name)) {
    return NotFound("model_unknown", "the model '" + Printable(name) + "' does not exist");
  }
  std::string json;
  AppendModel(name, started_seconds_, &json);
  return net::HttpResponse::Json(200, std::move(json));
}

Result<runtime::Context> WithDeadline(const runtime::Context& ctx, const net::HttpRequest& request) {
  const auto header = request.Header("X-Mezzo-Deadline-Ms");
  if (!header) return ctx;
  constexpr std::uint64_t kLongest = 1000ULL * 3600 * 24 * 365;
  const auto millis = ParseUint(Trim(*header));
  if (!millis || *millis == 0 || *millis > kLongest) {
    return InvalidArgument("deadline_header", "X-Mezzo-Deadline-Ms must be a number of milliseconds in [1, " +
                                                  std::to_string(kLongest) + "], got '" + Printable(*header) +
                                                  "'");
  }
  return ctx.WithDeadline(AddSaturating(request.received_at(), std::chrono::milliseconds(*millis)));
}

}  // namespace mezzo::api::openai
