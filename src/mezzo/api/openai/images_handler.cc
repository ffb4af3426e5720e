#include "mezzo/api/openai/images_handler.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/api/absolute_url.h"
#include "mezzo/api/json_text.h"
#include "mezzo/api/openai/openai_error.h"
#include "mezzo/api/openai/openai_handler.h"
#include "mezzo/api/route_headers.h"
#include "mezzo/base/strings.h"
#include "mezzo/media/picture_header.h"

namespace mezzo::api::openai {
namespace {

using Json = nlohmann::json;

enum RouteId : int { kGenerations, kEdits };
constexpr std::array<Route, 2> kRoutes = {
    Route{net::Method::kPost, "/v1/images/generations", tenancy::Scope::kInfer, 0, kGenerations},
    Route{net::Method::kPost, "/v1/images/edits", tenancy::Scope::kInfer, 0, kEdits}};

Error BadResult(const jobs::Job& job) {
  return Internal("job_result", "the result of job '" + job.id.str() + "' is not that of pictures");
}

}  // namespace

std::span<const Route> ImagesHandler::routes() const { return kRoutes; }

net::BodyPlan ImagesHandler::Plan(const net::HttpRequest& head, const RouteMatch& match) const {
  return PlanUpTo(match.route->id == kEdits ? options_.max_form : options_.max_json, head);
}

runtime::Task<net::HttpResponse> ImagesHandler::Handle(runtime::Context ctx, RoutedCall call) {
  const auto work = std::make_shared<Work>();
  work->edit = call.route == kEdits;
  work->tenant = call.caller->tenant;
  work->caller = call.caller;
  work->limit = call.limit;
  Answer answer = co_await Serve(std::move(ctx), call.request, work);
  net::HttpResponse response =
      answer.ok() ? std::move(answer).value() : ErrorResponse(answer.error(), work->param);
  if (!work->job.empty()) response.headers.emplace_back("X-Mezzo-Job", work->job.str());
  co_return response;
}

Result<std::vector<UploadKeeper::Upload>> ImagesHandler::PicturesOf(const std::vector<net::FormPart>& parts,
                                                                    MediaMembers& members) const {
  std::vector<UploadKeeper::Upload> uploads;
  const auto take = [&](const net::FormPart& part, const char* member) -> Result<void> {
    const auto format = media::FormatOf(AsBytes(part.content));
    if (!format) {
      return members.Bad(member, fmt::format("'{}' must be a PNG, JPEG or WebP file", member));
    }
    if (part.content.size() > options_.max_picture) {
      return members.Bad(member, fmt::format("'{}' has {} bytes; the limit is {}", member,
                                             part.content.size(), options_.max_picture));
    }
    uploads.push_back(
        {.name = member, .content_type = std::string(MediaType(*format)), .content = part.content});
    return {};
  };
  const net::FormPart* mask = nullptr;
  for (const net::FormPart& part : parts) {
    if (part.name == "mask") mask = &part;
    if (part.name != "image" && part.name != "image[]") continue;
    if (!uploads.empty()) return members.Bad("image", "one picture can be edited at a time, got several");
    MEZZO_TRY_VOID(take(part, "image"));
  }
  if (uploads.empty()) return members.Bad("image", "'image' is missing: the file to edit");
  if (mask != nullptr) MEZZO_TRY_VOID(take(*mask, "mask"));
  return uploads;
}

Result<std::vector<UploadKeeper::Upload>> ImagesHandler::Read(const net::HttpRequest& request,
                                                              Work& work) const {
  const std::string_view body = request.body().text();
  const auto read = [&](MediaMembers& members) -> Result<void> {
    auto image = ReadImageRequest(members, options_.default_model);
    work.param = members.param();
    MEZZO_TRY(work.image, std::move(image));
    return {};
  };
  if (!work.edit) {
    MEZZO_TRY(MediaMembers members, MediaMembers::FromJson(body));
    MEZZO_TRY_VOID(read(members));
    return std::vector<UploadKeeper::Upload>();
  }
  MEZZO_TRY(const auto parts, net::ParseFormData(request.Header("Content-Type").value_or(""), body));
  MEZZO_TRY(MediaMembers members, MediaMembers::FromForm(parts));
  MEZZO_TRY_VOID(read(members));
  auto uploads = PicturesOf(parts, members);
  work.param = members.param();
  return uploads;
}

runtime::Task<ImagesHandler::Answer> ImagesHandler::Serve(runtime::Context ctx, net::HttpRequest* request,
                                                          WorkRef work) const {
  MEZZO_CO_TRY(runtime::Context timed, WithDeadline(ctx, *request));
  work->until = std::min(timed.deadline(), AddSaturating(request->received_at(), options_.longest_wait));
  MEZZO_CO_TRY(std::vector<UploadKeeper::Upload> uploads, Read(*request, *work));
  const TenantId& tenant = work->tenant->id;
  MEZZO_CO_TRY(const UploadKeeper::Kept kept,
               co_await ports_.media.uploads().Keep(timed, tenant, std::move(uploads)));
  const std::vector<std::string>& keys = kept.keys;
  jobs::NewJob job{
      .tenant = tenant,
      .weight = work->tenant->weight,
      .kind = "image",
      .tier = work->image.tier,
      .request = ImageJobRequest(work->image, keys.empty() ? "" : keys[0], keys.size() < 2 ? "" : keys[1]),
      .webhook = work->image.webhook,
      .caller = work->caller,
      .limit = work->limit};
  // Whoever waits has no use for it later, wherever it waits then.
  const Clock& clock = ports_.media.clock();
  job.deadline =
      clock.WallNow() + std::max(work->until - clock.Now(), Duration(std::chrono::milliseconds(1)));
  MEZZO_CO_TRY(const jobs::JobStore::Submitted submitted,
               co_await ports_.media.jobs().Submit(timed, std::move(job)));
  work->job = submitted.id;
  if (work->image.stream) co_return Stream(work);
  MEZZO_CO_TRY(const jobs::Job done, co_await ports_.media.Await(timed, tenant, work->job, work->until));
  const auto encode = [&] { return Encode(*request, *work, done); };
  co_return co_await runtime::Offload(ports_.media.pool(), encode);
}

std::string ImagesHandler::RouteOf(const jobs::Job& job) {
  const Json result = Json::parse(job.result, nullptr, /*allow_exceptions=*/false);
  const bool routed = result.is_object() && result.contains("route") && result["route"].is_string();
  return routed ? result["route"].get<std::string>() : std::string();
}

Result<std::vector<ImagesHandler::Made>> ImagesHandler::MadeBy(const jobs::Job& job) {
  const Json result = Json::parse(job.result, nullptr, /*allow_exceptions=*/false);
  if (!result.is_object() || !result.contains("images") || !result["images"].is_array())
    return BadResult(job);
  std::vector<Made> pictures;
  for (const Json& image : result["images"]) {
    if (!image.is_object() || !image.contains("artifact") || !image["artifact"].is_string())
      return BadResult(job);
    Made made{.artifact = image["artifact"].get<std::string>(), .size = "", .seed = 0};
    const auto number = [&image](const char* name) -> std::uint64_t {
      return image.contains(name) && image[name].is_number_unsigned() ? image[name].get<std::uint64_t>() : 0;
    };
    made.size = fmt::format("{}x{}", number("width"), number("height"));
    made.seed = number("seed");
    pictures.push_back(std::move(made));
  }
  if (pictures.empty()) return BadResult(job);
  return pictures;
}

ImagesHandler::Answer ImagesHandler::Encode(const net::HttpRequest& request, const Work& work,
                                            const jobs::Job& job) const {
  MEZZO_TRY(const std::vector<Made> pictures, MadeBy(job));
  const auto created = std::chrono::floor<std::chrono::seconds>(job.created.time_since_epoch()).count();
  std::string text = "{\"created\":" + std::to_string(created) + ",\"data\":[";
  for (const Made& made : pictures) {
    text += text.back() == '[' ? "{" : ",{";
    if (work.image.as_url) {
      MEZZO_TRY(std::string url,
                ports_.media.SignArtifact(work.tenant->id, made.artifact, options_.url_lifetime));
      text += "\"url\":";
      AppendJsonString(AbsoluteUrl(request, std::move(url)), &text);
    } else {
      MEZZO_TRY(const std::string content, ports_.media.ReadArtifact(work.tenant->id, made.artifact));
      text += "\"b64_json\":\"" + Base64Encode(content) + "\"";
    }
    text += ",\"seed\":" + std::to_string(made.seed) + "}";
  }
  text += "],\"background\":\"opaque\",\"output_format\":\"" + work.image.output_format +
          "\",\"quality\":\"auto\",\"size\":\"" + pictures[0].size + "\"}";
  net::HttpResponse response = net::HttpResponse::Json(200, std::move(text));
  AddRouteHeader(RouteOf(job), response);
  return response;
}

}  // namespace mezzo::api::openai
