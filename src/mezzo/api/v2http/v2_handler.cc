#include "mezzo/api/v2http/v2_handler.h"

#include <limits>

#include "mezzo/api/http_error.h"
#include "mezzo/api/v2http/internal/routes.h"
#include "mezzo/api/v2http/model_json.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::v2http {
namespace {

ByteCount MaxBody(const V2Handler::Options& options, ByteCount body_class) {
  switch (body_class) {
    case kInferBody:
      return options.max_infer_body;
    case kControlBody:
      return options.max_control_body;
    case kLoadBody:
      return options.max_load_body;
    default:
      break;
  }
  // Clients may send a few bytes with a GET; nobody reads them.
  constexpr ByteCount kIgnored = 1024;
  return kIgnored;
}

}  // namespace

V2Handler::V2Handler(Options options, Ports ports) : options_(std::move(options)), ports_(ports) {}

std::span<const Route> V2Handler::routes() const { return Routes(); }

net::HttpResponse V2Handler::Refuse(const Error& error) const { return ErrorResponse(error); }

net::HttpResponse V2Handler::RefuseRoute(const net::HttpRequest& head, const RouteMatch& match) const {
  return NoRouteResponse(Routes(), head.path(), match);
}

net::BodyPlan V2Handler::Plan(const net::HttpRequest& head, const RouteMatch& match) const {
  net::BodyPlan plan;
  plan.max_body = MaxBody(options_, match.route->max_body);
  if (match.route->max_body != kInferBody) return plan;
  if (const auto header = head.Header("Inference-Header-Content-Length")) {
    const auto length = ParseHeaderLength(*header);
    if (length.ok()) {
      plan.align_offset = *length;
    } else {
      plan.refusal = std::make_unique<net::HttpResponse>(ErrorResponse(length.error()));
    }
  }
  return plan;
}

runtime::Task<net::HttpResponse> V2Handler::Handle(runtime::Context ctx, RoutedCall call) {
  Answer answer = Internal("route_unhandled", "this route has no handler");
  switch (call.route) {
    case kInfer:
    case kInferVersion: {
      const bool versioned = call.route == kInferVersion;
      answer = co_await Infer(std::move(ctx), std::move(call), versioned);
      break;
    }
    case kGenerate:
      answer = co_await Generate(std::move(ctx), std::move(call), false, false);
      break;
    case kGenerateVersion:
      answer = co_await Generate(std::move(ctx), std::move(call), true, false);
      break;
    case kGenerateStream:
      answer = co_await Generate(std::move(ctx), std::move(call), false, true);
      break;
    case kGenerateStreamVersion:
      answer = co_await Generate(std::move(ctx), std::move(call), true, true);
      break;
    case kLoad:
      answer = co_await Load(std::move(ctx), std::move(call));
      break;
    case kUnload:
      answer = co_await Unload(std::move(ctx), std::move(call));
      break;
    default:
      answer = AnswerNow(call);
      break;
  }
  co_return answer.ok() ? std::move(answer).value() : ErrorResponse(answer.error());
}

V2Handler::Answer V2Handler::AnswerNow(const Call& call) const {
  switch (call.route) {
    case kLive:
      return Health(true);
    case kReady:
      return Health(options_.is_ready ? options_.is_ready() : ports_.service.catalog().StartupDone());
    case kServer:
      return ServerMetadata();
    case kModels:
      return net::HttpResponse::Json(200, ModelNamesJson(ports_.service.catalog().Index(false)));
    case kModel:
      return ModelMetadata(call, false);
    case kModelVersion:
      return ModelMetadata(call, true);
    case kModelReady:
      return ModelReady(call, false);
    case kModelVersionReady:
      return ModelReady(call, true);
    case kConfig:
      return ModelConfiguration(call, false);
    case kConfigVersion:
      return ModelConfiguration(call, true);
    case kAllStatistics:
      return Statistics("", "");
    case kStatistics:
      return Statistics(call.captures[0], "");
    case kStatisticsVersion:
      return Statistics(call.captures[0], call.captures[1]);
    case kIndex:
      return Index(call);
    case kNamedRepository:
      return Unimplemented("repository_name_unsupported", "'repository_name' specification is not supported");
    case kSystemStatus:
    case kSystemRegionStatus:
    case kSystemRegister:
    case kSystemRegisterNameless:
    case kSystemUnregister:
    case kSystemUnregisterAll:
      return SystemMemory(call);
    case kCudaStatus:
    case kCudaRegionStatus:
    case kCudaRegister:
    case kCudaUnregister:
      return CudaMemory(call);
    case kTrace:
      return Trace(call, "");
    case kTraceModel:
      return Trace(call, call.captures[0]);
    case kLogging:
      return Logging(call);
    default:
      break;
  }
  return Internal("route_unhandled", "this route has no handler");
}

}  // namespace mezzo::api::v2http
