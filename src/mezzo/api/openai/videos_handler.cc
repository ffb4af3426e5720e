#include "mezzo/api/openai/videos_handler.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/api/idempotency_key.h"
#include "mezzo/api/openai/image_request.h"
#include "mezzo/api/openai/openai_error.h"
#include "mezzo/api/page_limit.h"
#include "mezzo/base/strings.h"
#include "mezzo/media/picture_header.h"
#include "mezzo/net/http_client.h"

namespace mezzo::api::openai {
namespace {

using Json = nlohmann::ordered_json;
using jobs::JobState;

enum RouteId : int { kCreate, kList, kGet, kContent, kRemix, kDelete };
constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kRemixBody = 256 << 10;
constexpr std::array<Route, 6> kRoutes = {
    Route{net::Method::kPost, "/v1/videos", tenancy::Scope::kInfer, 0, kCreate},
    Route{net::Method::kGet, "/v1/videos", tenancy::Scope::kRead, kIgnoredBody, kList},
    Route{net::Method::kGet, "/v1/videos/*", tenancy::Scope::kRead, kIgnoredBody, kGet},
    Route{net::Method::kGet, "/v1/videos/*/content", tenancy::Scope::kRead, kIgnoredBody, kContent},
    Route{net::Method::kPost, "/v1/videos/*/remix", tenancy::Scope::kInfer, kRemixBody, kRemix},
    Route{net::Method::kDelete, "/v1/videos/*", tenancy::Scope::kInfer, kIgnoredBody, kDelete}};

constexpr std::string_view kKind = "storyboard";
constexpr std::string_view kIdPrefix = "video_";

Error Unknown(const std::string& id) {
  return NotFound("video_unknown", "there is no video '" + Printable(id) + "'");
}

std::string_view StatusOf(JobState state) {
  switch (state) {
    case JobState::kScheduled:
    case JobState::kQueued:
      return "queued";
    case JobState::kRunning:
      return "in_progress";
    case JobState::kSucceeded:
      return "completed";
    case JobState::kFailed:
    case JobState::kCancelled:
      break;
  }
  return "failed";  // OpenAI has no word for cancelled; the error says it.
}

Json UnixTime(const std::optional<WallTime>& time) {
  if (!time) return nullptr;
  return std::chrono::floor<std::chrono::seconds>(time->time_since_epoch()).count();
}

/// "data:image/png;base64,…" as bytes. Other URLs are not fetched.
Result<std::string> DecodeDataUrl(std::string_view url, MediaMembers& members) {
  constexpr std::string_view kBase64 = ";base64,";
  const std::size_t comma = url.find(kBase64);
  if (!url.starts_with("data:") || comma == std::string_view::npos) {
    return members.Bad("input_reference",
                       "'input_reference.image_url' must be an http(s): URL, or a data: URL in base64");
  }
  auto bytes = Base64Decode(url.substr(comma + kBase64.size()));
  if (bytes.ok()) return bytes;
  return members.Bad("input_reference", "'input_reference.image_url': " + bytes.error().message());
}

}  // namespace

std::span<const Route> VideosHandler::routes() const { return kRoutes; }

net::BodyPlan VideosHandler::Plan(const net::HttpRequest& head, const RouteMatch& match) const {
  return PlanUpTo(match.route->id == kCreate ? options_.max_body : match.route->max_body, head);
}

runtime::Task<net::HttpResponse> VideosHandler::Handle(runtime::Context ctx, RoutedCall routed) {
  const auto call = std::make_shared<Call>();
  call->request = routed.request;
  call->tenant = routed.caller->tenant;
  call->caller = routed.caller;
  call->limit = routed.limit;
  call->id = routed.captures[0];
  Answer answer = co_await Dispatch(std::move(ctx), routed.route, call);
  co_return answer.ok() ? std::move(answer).value() : ErrorResponse(answer.error(), call->param);
}

runtime::Task<VideosHandler::Answer> VideosHandler::Dispatch(runtime::Context ctx, int route,
                                                             CallRef call) const {
  switch (route) {
    case kCreate:
      co_return co_await Create(ctx, call);
    case kList:
      co_return co_await List(ctx, call);
    case kGet:
      co_return co_await Get(ctx, call);
    case kContent:
      co_return co_await Content(ctx, call);
    case kRemix:
      co_return co_await Remix(ctx, call);
    default:
      co_return co_await Delete(ctx, call);
  }
}

Result<VideoRequest> VideosHandler::Read(Call& call, std::vector<UploadKeeper::Upload>* uploads,
                                         std::string* decoded) const {
  const std::string_view body = call.request->body().text();
  const std::string_view type = call.request->Header("Content-Type").value_or("");
  std::vector<net::FormPart> parts;
  if (net::IsFormData(type)) {
    MEZZO_TRY(parts, net::ParseFormData(type, body));
  }
  auto members = net::IsFormData(type) ? MediaMembers::FromForm(parts) : MediaMembers::FromJson(body);
  if (!members.ok()) return std::move(members).error();
  const auto read = [&]() -> Result<VideoRequest> {
    MEZZO_TRY(VideoRequest video, ReadVideoRequest(*members, options_.default_model));
    std::string_view picture;
    const auto file = std::find_if(parts.begin(), parts.end(), [](const net::FormPart& part) {
      return part.name == "input_reference" && !part.file_name.empty();
    });
    if (file != parts.end()) {
      picture = file->content;
    } else if (parts.empty()) {
      MEZZO_TRY(const std::string url, members->TextIn("input_reference", "image_url", options_.max_body));
      if (url.empty() && members->Has("input_reference")) {
        return members->Bad("input_reference",
                            "'input_reference' needs 'image_url', an http(s): or data: URL");
      }
      if (net::IsHttpUrl(url)) {
        video.reference = url;  // The job fetches it.
        return video;
      }
      if (!url.empty()) {
        MEZZO_TRY(*decoded, DecodeDataUrl(url, *members));
      }
      picture = *decoded;
    }
    if (picture.empty() && file == parts.end()) return video;
    const auto format = media::FormatOf(AsBytes(picture));
    if (!format)
      return members->Bad("input_reference", "'input_reference' must be a PNG, JPEG or WebP picture");
    if (picture.size() > options_.max_picture) {
      return members->Bad("input_reference", fmt::format("'input_reference' has {} bytes; the limit is {}",
                                                         picture.size(), options_.max_picture));
    }
    uploads->push_back(
        {.name = "reference", .content_type = std::string(MediaType(*format)), .content = picture});
    return video;
  };
  auto video = read();
  call.param = members->param();
  return video;
}

runtime::Task<VideosHandler::Answer> VideosHandler::Create(runtime::Context ctx, CallRef call) const {
  std::vector<UploadKeeper::Upload> uploads;
  std::string decoded;  // What the uploads may point to.
  MEZZO_CO_TRY(VideoRequest video, Read(*call, &uploads, &decoded));
  MEZZO_CO_TRY(const UploadKeeper::Kept kept,
               co_await ports_.media.uploads().Keep(ctx, call->tenant->id, std::move(uploads)));
  if (!kept.keys.empty()) video.reference = kept.keys[0];
  co_return co_await Submit(ctx, std::move(call), std::move(video));
}

runtime::Task<VideosHandler::Answer> VideosHandler::Submit(runtime::Context ctx, CallRef call,
                                                           VideoRequest video) const {
  jobs::NewJob job{.tenant = call->tenant->id,
                   .weight = call->tenant->weight,
                   .kind = std::string(kKind),
                   .tier = video.tier,
                   .request = StoryboardJobRequest(video),
                   .webhook = video.webhook,
                   .caller = call->caller,
                   .limit = call->limit};
  if (const auto key = call->request->Header("Idempotency-Key")) {
    MEZZO_CO_TRY(job.idempotency_key, ParseIdempotencyKey(*key));
    // Of the path too: a remix and a video of one prompt are not the same.
    job.fingerprint =
        Sha256Hex(std::string(call->request->path()) + "\n" + std::string(call->request->body().text()));
  }
  MEZZO_CO_TRY(const jobs::JobStore::Submitted submitted,
               co_await ports_.media.jobs().Submit(ctx, std::move(job)));
  MEZZO_CO_TRY(const jobs::Job made, co_await ports_.media.jobs().Get(ctx, call->tenant->id, submitted.id));
  co_return Respond(made);
}

runtime::Task<Result<jobs::Job>> VideosHandler::Find(runtime::Context ctx, CallRef call) const {
  if (!call->id.starts_with(kIdPrefix)) co_return Unknown(call->id);
  const jobs::JobId id(call->id.substr(kIdPrefix.size()));
  Result<jobs::Job> job = co_await ports_.media.jobs().Get(ctx, call->tenant->id, id);
  const bool missing = !job.ok() && job.error().code() == Code::kNotFound;
  if (missing || (job.ok() && job->kind != kKind)) co_return Unknown(call->id);
  co_return job;
}

runtime::Task<VideosHandler::Answer> VideosHandler::Get(runtime::Context ctx, CallRef call) const {
  MEZZO_CO_TRY(const jobs::Job job, co_await Find(ctx, call));
  co_return Respond(job);
}

Result<jobs::JobReader::ListRequest> VideosHandler::ListOf(const Call& call) const {
  jobs::JobReader::ListRequest list{.tenant = call.tenant->id, .kind = std::string(kKind)};
  const net::HttpRequest& request = *call.request;
  MEZZO_TRY(list.limit, PageLimit(request, list.limit, options_.max_page));
  if (const auto order = request.QueryValue("order")) {
    if (*order != "asc" && *order != "desc") {
      return InvalidArgument("query_value",
                             "query parameter 'order' must be asc or desc, got '" + Printable(*order) + "'");
    }
    list.newest_first = *order == "desc";
  }
  if (const auto after = request.QueryValue("after")) {
    if (!after->starts_with(kIdPrefix)) return Unknown(std::string(*after));
    list.after = jobs::JobId(std::string(after->substr(kIdPrefix.size())));
  }
  return list;
}

runtime::Task<VideosHandler::Answer> VideosHandler::List(runtime::Context ctx, CallRef call) const {
  MEZZO_CO_TRY(jobs::JobReader::ListRequest list, ListOf(*call));
  MEZZO_CO_TRY(const jobs::JobReader::Page page, co_await ports_.media.jobs().List(ctx, std::move(list)));
  std::string data;
  for (const jobs::Job& listed : page.jobs) {
    // A page has no requests, and a video shows its prompt.
    Result<jobs::Job> job = co_await ports_.media.jobs().Get(ctx, call->tenant->id, listed.id);
    if (!job.ok() && job.error().code() == Code::kNotFound) continue;  // It was deleted just now.
    MEZZO_CO_TRY_VOID(job);
    data += (data.empty() ? "" : ",") + VideoJson(*job);
  }
  const auto id = [](const jobs::Job& job) { return "\"" + std::string(kIdPrefix) + job.id.str() + "\""; };
  std::string text = R"({"object":"list","data":[)" + data + R"(],"first_id":)";
  text += page.jobs.empty() ? "null" : id(page.jobs.front());
  text += R"(,"last_id":)" + (page.jobs.empty() ? "null" : id(page.jobs.back()));
  text += std::string(R"(,"has_more":)") + (page.has_more ? "true}" : "false}");
  co_return net::HttpResponse::Json(200, std::move(text));
}

runtime::Task<VideosHandler::Answer> VideosHandler::Content(runtime::Context ctx, CallRef call) const {
  const std::string_view variant = call->request->QueryValue("variant").value_or("video");
  const char* member = variant == "video"         ? "video"
                       : variant == "thumbnail"   ? "thumbnail"
                       : variant == "spritesheet" ? "sprites"
                                                  : nullptr;
  if (member == nullptr) {
    call->param = "variant";
    co_return InvalidArgument("query_value",
                              "query parameter 'variant' must be video, thumbnail or spritesheet, got '" +
                                  Printable(variant) + "'");
  }
  MEZZO_CO_TRY(const jobs::Job job, co_await Find(ctx, call));
  if (job.state != JobState::kSucceeded) {
    co_return FailedPrecondition("video_not_ready", "video '" + call->id + "' is " +
                                                        std::string(StatusOf(job.state)) + ", not completed");
  }
  const Json result = Json::parse(job.result, nullptr, /*allow_exceptions=*/false);
  const auto part = result.is_object() ? result.find(member) : result.end();
  if (!result.is_object() || part == result.end() || !part->is_object() || !part->contains("artifact") ||
      !(*part)["artifact"].is_string()) {
    co_return Internal("job_result", "the result of video '" + call->id + "' names no " + member);
  }
  MEZZO_CO_TRY(storage::BlobKey key,
               MediaJobs::KeyOf(call->tenant->id, (*part)["artifact"].get<std::string>()));
  BlobServer::Presentation presentation{.file_name = "", .refusal = &ErrorResponse};
  co_return co_await ports_.blobs.Serve(ctx, std::move(key), call->request, std::move(presentation));
}

runtime::Task<VideosHandler::Answer> VideosHandler::Remix(runtime::Context ctx, CallRef call) const {
  MEZZO_CO_TRY(const jobs::Job job, co_await Find(ctx, call));
  auto video = VideoRequestOf(job.request);
  if (!video || job.state != JobState::kSucceeded) {
    co_return FailedPrecondition("video_not_ready",
                                 "video '" + call->id +
                                     "' can't be remixed: it is not completed, or was not made "
                                     "by /v1/videos");
  }
  MEZZO_CO_TRY(MediaMembers members, MediaMembers::FromJson(call->request->body().text()));
  const auto read = [&]() -> Result<VideoRequest> {
    constexpr std::size_t kMaxPrompt = 32'000;
    MEZZO_TRY(video->prompt, members.Text("prompt", kMaxPrompt));
    if (video->prompt.empty()) return members.Bad("prompt", "'prompt' is missing");
    MEZZO_TRY(video->tier, members.Tier());
    MEZZO_TRY(video->webhook, members.Webhook());
    video->remixed_from = call->id;
    return *video;
  };
  auto changed = read();
  call->param = members.param();
  MEZZO_CO_TRY(VideoRequest again, std::move(changed));
  co_return co_await Submit(ctx, std::move(call), std::move(again));
}

runtime::Task<VideosHandler::Answer> VideosHandler::Delete(runtime::Context ctx, CallRef call) const {
  MEZZO_CO_TRY(jobs::Job job, co_await Find(ctx, call));
  const TenantId& tenant = call->tenant->id;
  if (!jobs::IsTerminal(job.state)) {
    MEZZO_CO_TRY_VOID(co_await ports_.media.jobs().Cancel(ctx, tenant, job.id));
    const TimePoint until = ports_.media.clock().Now() + options_.longest_cancel;
    MEZZO_CO_TRY(job, co_await ports_.media.jobs().Wait(ctx, tenant, job.id, 0, /*until_end=*/true, until));
  }
  // First the row: what it names must be there as long as it is.
  MEZZO_CO_TRY_VOID(co_await ports_.media.jobs().Delete(ctx, tenant, job.id));
  MEZZO_CO_TRY_VOID(co_await ports_.media.Discard(ctx, tenant, job.id));
  co_return net::HttpResponse::Json(200, R"({"id":")" + std::string(kIdPrefix) + job.id.str() +
                                             R"(","object":"video.deleted","deleted":true})");
}

net::HttpResponse VideosHandler::Respond(const jobs::Job& job) const {
  net::HttpResponse response = net::HttpResponse::Json(200, VideoJson(job));
  // How long the official clients wait before they ask again.
  if (!jobs::IsTerminal(job.state)) response.headers.emplace_back("openai-poll-after-ms", "1000");
  return response;
}

std::string VideosHandler::VideoJson(const jobs::Job& job) const {
  const auto video = VideoRequestOf(job.request);
  const Json result = Json::parse(job.result, nullptr, /*allow_exceptions=*/false);
  // What /v1/jobs was asked for is told by its result.
  std::string seconds = video ? std::to_string(video->seconds) : "0";
  std::string size = video ? video->size : "auto";
  if (!video && result.is_object() && result.contains("video") && result["video"].is_object()) {
    const Json& made = result["video"];
    seconds = fmt::format("{:.0f}", made.value("duration_seconds", 0.0));
    size = fmt::format("{}x{}", made.value("width", 0), made.value("height", 0));
  }
  std::optional<WallTime> expires;
  if (job.state == JobState::kSucceeded && job.finished && options_.retention)
    expires = *job.finished + *options_.retention;
  constexpr double kPercent = 100;
  Json json = {{"id", std::string(kIdPrefix) + job.id.str()},
               {"object", "video"},
               {"model", job.model},
               {"status", StatusOf(job.state)},
               {"progress", static_cast<int>(job.progress * kPercent)},
               {"created_at", UnixTime(job.created)},
               {"completed_at", job.state == JobState::kSucceeded ? UnixTime(job.finished) : Json(nullptr)},
               {"expires_at", UnixTime(expires)},
               {"prompt", video ? Json(video->prompt) : Json(nullptr)},
               {"size", size},
               {"seconds", seconds},
               {"remixed_from_video_id",
                video && !video->remixed_from.empty() ? Json(video->remixed_from) : Json(nullptr)},
               {"error", nullptr}};
  if (job.state == JobState::kCancelled)
    json["error"] = {{"code", "job_cancelled"}, {"message", "it was cancelled"}};
  if (job.error) json["error"] = {{"code", job.error->reason}, {"message", job.error->message}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mezzo::api::openai
