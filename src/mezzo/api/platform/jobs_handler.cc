#include "mezzo/api/platform/jobs_handler.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mezzo/api/idempotency_key.h"
#include "mezzo/api/page_limit.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

enum RouteId : int { kSubmit, kList, kGet, kEvents, kArtifacts, kCancel, kRetry, kRedo };

constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kMaxBody = ByteCount{5} << 20;
constexpr ByteCount kRedoBody = ByteCount{256} << 10;
constexpr std::array<Route, 8> kRoutes = {
    Route{net::Method::kPost, "/v1/jobs", tenancy::Scope::kInfer, kMaxBody, kSubmit},
    Route{net::Method::kGet, "/v1/jobs", tenancy::Scope::kRead, kIgnoredBody, kList},
    Route{net::Method::kGet, "/v1/jobs/*", tenancy::Scope::kRead, kIgnoredBody, kGet},
    Route{net::Method::kGet, "/v1/jobs/*/events", tenancy::Scope::kRead, kIgnoredBody, kEvents},
    Route{net::Method::kGet, "/v1/jobs/*/artifacts", tenancy::Scope::kRead, kIgnoredBody, kArtifacts},
    Route{net::Method::kPost, "/v1/jobs/*/cancel", tenancy::Scope::kInfer, kIgnoredBody, kCancel},
    Route{net::Method::kPost, "/v1/jobs/*/retry", tenancy::Scope::kInfer, kIgnoredBody, kRetry},
    Route{net::Method::kPost, "/v1/jobs/*/shots/#/redo", tenancy::Scope::kInfer, kRedoBody, kRedo}};

/// A version of a job's row as one server-sent event; its id is the version, by which a stream is resumed.
std::string EventText(const jobs::Job& job) {
  return "id: " + std::to_string(job.version) + "\nevent: job." + std::string(jobs::StateName(job.state)) +
         "\ndata: " + JobJson(job, /*with_result=*/true) + "\n\n";
}

}  // namespace

std::span<const Route> JobsHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> JobsHandler::Handle(runtime::Context ctx, RoutedCall routed) {
  Call call{.request = routed.request,
            .tenant = routed.caller->tenant,
            .caller = routed.caller,
            .limit = routed.limit,
            .id = jobs::JobId(std::string(routed.captures[0]))};
  call.shot = std::string(routed.captures[1]);
  Answer answer = co_await Dispatch(std::move(ctx), routed.route, std::move(call));
  co_return answer.ok() ? std::move(answer).value() : ProblemResponse(answer.error(), routed.limit);
}

runtime::Task<JobsHandler::Answer> JobsHandler::Dispatch(runtime::Context ctx, int route, Call call) const {
  MEZZO_CO_TRY(call.wait, WaitOf(*call.request));
  switch (route) {
    case kSubmit:
      co_return co_await Submit(ctx, std::move(call));
    case kList:
      co_return co_await List(ctx, std::move(call));
    case kGet:
      co_return co_await Get(ctx, std::move(call));
    case kEvents:
      co_return co_await Events(ctx, std::move(call));
    case kArtifacts:
      co_return co_await Artifacts(ctx, std::move(call));
    case kCancel:
      co_return co_await Cancel(ctx, std::move(call));
    case kRedo:
      co_return co_await Redo(ctx, std::move(call));
    default:
      co_return co_await Retry(ctx, std::move(call));
  }
}

Result<Duration> JobsHandler::WaitOf(const net::HttpRequest& request) const {
  const auto text = request.QueryValue("wait");
  if (!text) return Duration::zero();
  const auto seconds = ParseUint(*text);
  const auto longest = static_cast<std::uint64_t>(Seconds(options_.longest_wait));
  if (!seconds || *seconds > longest) {
    return InvalidArgument("query_value", "query parameter 'wait' must be a number of seconds in [0, " +
                                              std::to_string(longest) + "], got '" + Printable(*text) + "'");
  }
  return Duration(std::chrono::seconds(*seconds));
}

runtime::Task<JobsHandler::Answer> JobsHandler::Submit(runtime::Context ctx, Call call) const {
  const std::string_view body = call.request->body().text();
  co_return co_await Enqueue(ctx, std::move(call), body);
}

runtime::Task<JobsHandler::Answer> JobsHandler::Redo(runtime::Context ctx, Call call) const {
  const auto shot = ParseUint(call.shot);
  if (!shot) co_return NotFound("unknown_url", "'" + Printable(call.shot) + "' is not the number of a shot");
  MEZZO_CO_TRY(const jobs::Job job, co_await ports_.service.Get(ctx, call.tenant->id, call.id));
  MEZZO_CO_TRY(const std::string body, RedoBody(job, *shot, call.request->body().text(), options_.limits));
  co_return co_await Enqueue(ctx, std::move(call), body);
}

runtime::Task<JobsHandler::Answer> JobsHandler::Enqueue(runtime::Context ctx, Call call,
                                                        std::string_view body) const {
  MEZZO_CO_TRY(jobs::NewJob job, ParseJob(body, *call.tenant, ports_.clock.WallNow(), options_.limits));
  job.caller = call.caller;
  job.limit = call.limit;
  if (const auto key = call.request->Header("Idempotency-Key")) {
    MEZZO_CO_TRY(job.idempotency_key, ParseIdempotencyKey(*key));
    job.fingerprint = Sha256Hex(body);
  }
  MEZZO_CO_TRY(const jobs::JobStore::Submitted submitted,
               co_await ports_.service.Submit(ctx, std::move(job)));
  call.id = submitted.id;
  const TimePoint until = AddSaturating(ports_.clock.Now(), call.wait);
  MEZZO_CO_TRY(const jobs::Job now,
               co_await ports_.service.Wait(ctx, call.tenant->id, call.id, 0, /*until_end=*/true, until));
  constexpr int kOk = 200;
  constexpr int kAccepted = 202;
  net::HttpResponse response = net::HttpResponse::Json(jobs::IsTerminal(now.state) ? kOk : kAccepted,
                                                       JobJson(now, /*with_result=*/true));
  response.headers.emplace_back("Location", "/v1/jobs/" + call.id.str());
  if (submitted.replayed) response.headers.emplace_back("Idempotent-Replayed", "true");
  co_return response;
}

runtime::Task<JobsHandler::Answer> JobsHandler::Get(runtime::Context ctx, Call call) const {
  const TimePoint until = AddSaturating(ports_.clock.Now(), call.wait);
  MEZZO_CO_TRY(const jobs::Job job,
               co_await ports_.service.Wait(ctx, call.tenant->id, call.id, 0, /*until_end=*/true, until));
  co_return net::HttpResponse::Json(200, JobJson(job, /*with_result=*/true));
}

Result<jobs::JobReader::ListRequest> JobsHandler::ListOf(const Call& call) const {
  jobs::JobReader::ListRequest list{.tenant = call.tenant->id};
  const net::HttpRequest& request = *call.request;
  MEZZO_TRY(list.limit, PageLimit(request, list.limit, options_.max_page));
  if (const auto status = request.QueryValue("status")) {
    MEZZO_TRY(list.state, jobs::ParseState(*status));
  }
  if (const auto order = request.QueryValue("order")) {
    if (*order != "asc" && *order != "desc") {
      return InvalidArgument("query_value",
                             "query parameter 'order' must be asc or desc, got '" + Printable(*order) + "'");
    }
    list.newest_first = *order == "desc";
  }
  list.kind = request.QueryValue("kind").value_or("");
  list.after = jobs::JobId(std::string(request.QueryValue("after").value_or("")));
  return list;
}

runtime::Task<JobsHandler::Answer> JobsHandler::List(runtime::Context ctx, Call call) const {
  MEZZO_CO_TRY(jobs::JobReader::ListRequest list, ListOf(call));
  MEZZO_CO_TRY(const jobs::JobReader::Page page, co_await ports_.service.List(ctx, std::move(list)));
  co_return net::HttpResponse::Json(200, PageJson(page));
}

runtime::Task<JobsHandler::Answer> JobsHandler::Cancel(runtime::Context ctx, Call call) const {
  MEZZO_CO_TRY_VOID(co_await ports_.service.Cancel(ctx, call.tenant->id, call.id));
  co_return co_await Get(ctx, std::move(call));
}

runtime::Task<JobsHandler::Answer> JobsHandler::Retry(runtime::Context ctx, Call call) const {
  MEZZO_CO_TRY(call.id,
               co_await ports_.service.Retry(ctx, call.tenant->id, call.id, call.caller, call.limit));
  MEZZO_CO_TRY(const jobs::Job job, co_await ports_.service.Get(ctx, call.tenant->id, call.id));
  constexpr int kAccepted = 202;
  net::HttpResponse response = net::HttpResponse::Json(kAccepted, JobJson(job, /*with_result=*/true));
  response.headers.emplace_back("Location", "/v1/jobs/" + call.id.str());
  co_return response;
}

runtime::Task<JobsHandler::Answer> JobsHandler::Artifacts(runtime::Context ctx, Call call) const {
  if (ports_.artifacts == nullptr) {
    co_return Unimplemented("artifacts_off", "this server keeps no artifacts");
  }
  MEZZO_CO_TRY(const std::size_t limit, PageLimit(*call.request, options_.max_page, options_.max_page));
  MEZZO_CO_TRY_VOID(co_await ports_.service.Get(ctx, call.tenant->id, call.id));
  std::string after(call.request->QueryValue("after").value_or(""));
  MEZZO_CO_TRY(std::string json, co_await ports_.artifacts->List(call.tenant->id, call.id, std::move(after),
                                                                 limit, call.request));
  net::HttpResponse response = net::HttpResponse::Json(200, std::move(json));
  response.headers.emplace_back("Cache-Control", "no-store");  // Whoever has the URLs may read.
  co_return response;
}

runtime::Task<JobsHandler::Answer> JobsHandler::Events(runtime::Context ctx, Call call) const {
  std::int64_t after = 0;
  if (const auto last = call.request->Header("Last-Event-ID")) {
    const auto number = ParseUint(Trim(*last));
    if (!number || *number > static_cast<std::uint64_t>(INT64_MAX)) {
      co_return InvalidArgument(
          "last_event_id",
          "Last-Event-ID must be the id of an event of this stream, got '" + Printable(*last) + "'");
    }
    after = static_cast<std::int64_t>(*number);
  }
  MEZZO_CO_TRY(const jobs::Job job, co_await ports_.service.Get(ctx, call.tenant->id, call.id));
  net::HttpResponse response;
  if (jobs::IsTerminal(job.state) && job.version <= after) {
    constexpr int kNoContent = 204;  // Tells the client to stop reconnecting.
    response.status = kNoContent;
    co_return response;
  }
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("X-Accel-Buffering", "no");
  response.stream = [this, tenant = call.tenant, id = call.id, after](runtime::Context stream_ctx,
                                                                      net::BodyWriter* out) {
    return StreamEvents(std::move(stream_ctx), out, tenant, id, after);
  };
  co_return response;
}

runtime::Task<Result<void>> JobsHandler::StreamEvents(runtime::Context ctx, net::BodyWriter* out,
                                                      tenancy::TenantRef tenant, jobs::JobId id,
                                                      std::int64_t after) const {
  while (true) {
    const TimePoint until = AddSaturating(ports_.clock.Now(), options_.heartbeat);
    MEZZO_CO_TRY(const jobs::Job job,
                 co_await ports_.service.Wait(ctx, tenant->id, id, after, /*until_end=*/false, until));
    std::string text = ": nothing new\n\n";
    if (job.version > after) {
      after = job.version;
      text = EventText(job);
    }
    MEZZO_CO_TRY_VOID(co_await out->WriteText(std::move(text)));
    if (jobs::IsTerminal(job.state)) co_return Result<void>();
  }
}

}  // namespace mezzo::api::platform
