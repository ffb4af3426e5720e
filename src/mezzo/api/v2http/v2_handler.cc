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

bool V2Handler::Owns(std::string_view path) {
  constexpr std::string_view kRoot = "/v2";
  return path.substr(0, kRoot.size()) == kRoot && (path.size() == kRoot.size() || path[kRoot.size()] == '/');
}

Result<tenancy::TenantRef> V2Handler::Admit(const net::HttpRequest& request, const Route& route) const {
  if (!route.scope) return tenancy::TenantRef();
  std::optional<std::string_view> credential;
  if (ports_.directory.has_keys()) {
    credential = request.Header("Authorization");
    if (!credential) credential = request.Header("X-Api-Key");
  }
  return tenancy::Admit(ports_.directory, credential.value_or(""), request.is_loopback(), *route.scope);
}

net::BodyPlan V2Handler::PlanBody(const net::HttpRequest& head) const {
  net::BodyPlan plan;
  const RouteMatch match = MatchRoute(Routes(), head.method(), head.path());
  const auto refuse = [&plan](net::HttpResponse response) {
    plan.refusal = std::make_unique<net::HttpResponse>(std::move(response));
  };
  if (match.route == nullptr) {
    refuse(NoRouteResponse(Routes(), head.path(), match));
    return plan;
  }
  if (const auto tenant = Admit(head, *match.route); !tenant.ok()) {
    refuse(ErrorResponse(tenant.error()));
    return plan;
  }
  plan.max_body = MaxBody(options_, match.route->max_body);
  if (match.route->max_body == kInferBody) {
    if (const auto header = head.Header("Inference-Header-Content-Length")) {
      auto length = ParseHeaderLength(*header);
      if (!length.ok()) {
        refuse(ErrorResponse(length.error()));
        return plan;
      }
      plan.align_offset = *length;
    }
  }
  return plan;
}

runtime::Task<net::HttpResponse> V2Handler::Handle(runtime::Context ctx, net::HttpRequest* request) {
  const RouteMatch match = MatchRoute(Routes(), request->method(), request->path());
  if (match.route == nullptr) co_return NoRouteResponse(Routes(), request->path(), match);
  auto tenant = Admit(*request, *match.route);
  Answer answer = Internal("route_unhandled", "this route has no handler");
  if (!tenant.ok()) {
    answer = std::move(tenant).error();
  } else {
    Call call{.request = request,
              .tenant = std::move(*tenant),
              .route = match.route->id,
              .captures = match.captures};
    switch (match.route->id) {
      case kInfer:
      case kInferVersion:
        answer = co_await Infer(ctx, std::move(call), match.route->id == kInferVersion);
        break;
      case kGenerate:
        answer = co_await Generate(ctx, std::move(call), false, false);
        break;
      case kGenerateVersion:
        answer = co_await Generate(ctx, std::move(call), true, false);
        break;
      case kGenerateStream:
        answer = co_await Generate(ctx, std::move(call), false, true);
        break;
      case kGenerateStreamVersion:
        answer = co_await Generate(ctx, std::move(call), true, true);
        break;
      case kLoad:
        answer = co_await Load(ctx, std::move(call));
        break;
      case kUnload:
        answer = co_await Unload(ctx, std::move(call));
        break;
      default:
        answer = AnswerNow(call);
        break;
    }
  }
  net::HttpResponse response = answer.ok() ? std::move(answer).value() : ErrorResponse(answer.error());
  if (!ctx.request_id().empty()) response.headers.emplace_back("X-Request-Id", ctx.request_id());
  co_return response;
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
