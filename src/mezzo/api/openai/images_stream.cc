// The server-sent events of ImagesHandler: partial pictures while a job runs, finished ones at its end.

#include <chrono>
#include <utility>

#include "mezzo/api/json_text.h"
#include "mezzo/api/openai/images_handler.h"
#include "mezzo/api/openai/openai_error.h"
#include "mezzo/api/status_table.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::openai {
namespace {

/// Artifacts that are pictures on the way: "partial-<image>-<number>.<format>".
constexpr std::string_view kPartial = "partial-";

std::string EventName(bool edit, std::string_view what) {
  return std::string(edit ? "image_edit." : "image_generation.") + std::string(what);
}

/// What partial and finished pictures have alike, up to the members of their own.
std::string EventHead(const std::string& name, const ImageRequest& image, WallTime now,
                      const std::string& size, const std::string& content) {
  const auto created = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
  return "event: " + name + "\ndata: {\"type\":\"" + name + "\",\"b64_json\":\"" + Base64Encode(content) +
         "\",\"background\":\"opaque\",\"created_at\":" + std::to_string(created) + ",\"output_format\":\"" +
         image.output_format + "\",\"quality\":\"auto\",\"size\":\"" + size + "\"";
}

std::string ErrorEvent(const Error& error) {
  return "event: error\ndata: " + ErrorBody(WireStatusOf(error.code()).http, error, "") + "\n\n";
}

/// The two numbers in a partial picture's name; nothing for other names.
std::optional<std::pair<std::uint64_t, std::uint64_t>> NumbersOf(std::string_view name) {
  name = name.substr(kPartial.size(), name.find('.') - kPartial.size());
  const std::size_t dash = name.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto image = ParseUint(name.substr(0, dash));
  const auto number = ParseUint(name.substr(dash + 1));
  if (!image || !number) return std::nullopt;
  return std::pair(*image, *number);
}

}  // namespace

net::HttpResponse ImagesHandler::Stream(WorkRef work) const {
  net::HttpResponse response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("X-Accel-Buffering", "no");
  response.stream = [this, work = std::move(work)](runtime::Context ctx, net::BodyWriter* out) {
    return RunStream(std::move(ctx), out, work);
  };
  return response;
}

runtime::Task<Result<void>> ImagesHandler::RunStream(runtime::Context ctx, net::BodyWriter* out,
                                                     WorkRef work) const {
  Result<void> followed = co_await Follow(ctx, out, work);
  if (followed.ok()) co_return followed;
  co_await ports_.media.Abandon(work->tenant->id, work->job);
  if (ctx.cancelled()) co_return followed;
  // The head has gone out: the failure is an event.
  co_return co_await out->WriteText(ErrorEvent(followed.error()));
}

runtime::Task<Result<void>> ImagesHandler::Follow(runtime::Context ctx, net::BodyWriter* out,
                                                  WorkRef work) const {
  std::set<std::string> seen;
  std::int64_t version = 0;
  const Clock& clock = ports_.media.clock();
  while (true) {
    const TimePoint until = std::min(work->until, AddSaturating(clock.Now(), options_.heartbeat));
    MEZZO_CO_TRY(const jobs::Job job,
                 co_await ports_.media.jobs().Wait(ctx, work->tenant->id, work->job, version,
                                                   /*until_end=*/false, until));
    const bool ended = jobs::IsTerminal(job.state);
    if (ended && job.state != jobs::JobState::kSucceeded) co_return MediaJobs::FailureOf(job);
    if (!ended && clock.Now() >= work->until) {
      co_return DeadlineExceeded("media_timeout", "the pictures were not made in time");
    }
    std::string events = job.version > version ? "" : ": nothing new\n\n";
    version = job.version;
    const auto encode = [&]() -> Result<std::string> {
      MEZZO_TRY(std::string text, PartialEvents(*work, job.attempt, &seen));
      if (ended) {
        MEZZO_TRY(const std::string completed, CompletedEvents(*work, job));
        text += completed;
      }
      return text;
    };
    MEZZO_CO_TRY(const std::string made, co_await runtime::Offload(ports_.media.pool(), encode));
    events += made;
    if (!events.empty()) MEZZO_CO_TRY_VOID(co_await out->WriteText(std::move(events)));
    if (ended) co_return Result<void>();
  }
}

Result<std::string> ImagesHandler::PartialEvents(const Work& work, std::int64_t attempt,
                                                 std::set<std::string>* seen) const {
  std::string events;
  if (work.image.partial_images == 0 || attempt == 0) return events;
  MEZZO_TRY(const auto keys, ports_.media.NewArtifacts(work.tenant->id, work.job, attempt, kPartial, seen));
  for (const storage::BlobKey& key : keys) {
    const auto numbers = NumbersOf(key.name());
    if (!numbers) continue;
    const auto content = ports_.media.ReadArtifact(work.tenant->id, key.text());
    // A job that has just ended may have cleaned up.
    if (!content.ok() && content.error().code() == Code::kNotFound) continue;
    MEZZO_TRY_VOID(content);
    const std::string size = work.image.size.empty() ? "auto" : work.image.size;
    events += EventHead(EventName(work.edit, "partial_image"), work.image, ports_.media.clock().WallNow(),
                        size, *content) +
              ",\"image_index\":" + std::to_string(numbers->first) +
              ",\"partial_image_index\":" + std::to_string(numbers->second) + "}\n\n";
  }
  return events;
}

Result<std::string> ImagesHandler::CompletedEvents(const Work& work, const jobs::Job& job) const {
  std::string events;
  MEZZO_TRY(const std::vector<Made> pictures, MadeBy(job));
  std::string route;  // The head went out before it was known.
  if (const std::string stamp = RouteOf(job); !stamp.empty()) {
    route = ",\"route\":";
    AppendJsonString(stamp, &route);
  }
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    MEZZO_TRY(const std::string content, ports_.media.ReadArtifact(work.tenant->id, pictures[i].artifact));
    events += EventHead(EventName(work.edit, "completed"), work.image, ports_.media.clock().WallNow(),
                        pictures[i].size, content) +
              ",\"image_index\":" + std::to_string(i) + ",\"seed\":" + std::to_string(pictures[i].seed) +
              route + "}\n\n";
  }
  return events;
}

}  // namespace mezzo::api::openai
