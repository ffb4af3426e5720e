#include "mezzo/api/platform/uploads_handler.h"

#include <array>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/platform/job_json.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

constexpr std::array<Route, 1> kRoutes = {
    Route{net::Method::kPost, "/v1/uploads", tenancy::Scope::kInfer, 0, 0}};

struct FileType {
  std::string_view content_type;
  std::string_view name;
};
constexpr std::array<FileType, 10> kTypes = {{{"image/png", "upload.png"},
                                              {"image/jpeg", "upload.jpeg"},
                                              {"image/webp", "upload.webp"},
                                              {"audio/mpeg", "upload.mp3"},
                                              {"audio/wav", "upload.wav"},
                                              {"audio/x-wav", "upload.wav"},
                                              {"audio/flac", "upload.flac"},
                                              {"audio/ogg", "upload.ogg"},
                                              {"audio/mp4", "upload.m4a"},
                                              {"audio/aac", "upload.aac"}}};

Result<FileType> TypeOf(const net::HttpRequest& head) {
  const std::string_view header = head.Header("Content-Type").value_or("");
  const std::string type = ToLower(Trim(header.substr(0, header.find(';'))));
  std::string known;
  for (const FileType& file : kTypes) {
    if (file.content_type == type) return file;
    known += (known.empty() ? "" : ", ") + std::string(file.content_type);
  }
  return InvalidArgument("upload_type",
                         "Content-Type is '" + Printable(header, 64) + "'; uploads are " + known);
}

}  // namespace

std::span<const Route> UploadsHandler::routes() const { return kRoutes; }

net::BodyPlan UploadsHandler::Plan(const net::HttpRequest& head, const RouteMatch& /*match*/) const {
  net::BodyPlan plan;
  plan.max_body = options_.max_body;
  if (const auto type = TypeOf(head); !type.ok()) {
    plan.refusal = std::make_unique<net::HttpResponse>(ProblemResponse(type.error()));
  }
  return plan;
}

runtime::Task<net::HttpResponse> UploadsHandler::Handle(runtime::Context ctx, RoutedCall call) {
  Result<net::HttpResponse> answer = co_await Keep(std::move(ctx), std::move(call));
  co_return ResponseOf(std::move(answer));
}

runtime::Task<Result<net::HttpResponse>> UploadsHandler::Keep(runtime::Context ctx, RoutedCall call) const {
  MEZZO_CO_TRY(const FileType type, TypeOf(*call.request));
  const std::string_view content = call.request->body().text();
  if (content.empty()) co_return InvalidArgument("upload_empty", "the body is empty: it has to be the file");
  std::vector<UploadKeeper::Upload> uploads = {
      {.name = std::string(type.name), .content_type = std::string(type.content_type), .content = content}};
  MEZZO_CO_TRY(const UploadKeeper::Kept kept,
               co_await ports_.keeper.Keep(std::move(ctx), call.caller->tenant->id, std::move(uploads)));
  const nlohmann::ordered_json json = {{"object", "upload"},
                                       {"artifact", kept.keys[0]},
                                       {"content_type", type.content_type},
                                       {"bytes", content.size()},
                                       {"expires_at", TimeText(kept.expires_at)}};
  constexpr int kCreated = 201;
  co_return net::HttpResponse::Json(kCreated, json.dump());
}

}  // namespace mezzo::api::platform
