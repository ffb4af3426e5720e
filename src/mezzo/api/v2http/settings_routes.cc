// Shared memory, trace and log settings.

#include "mezzo/api/json_text.h"
#include "mezzo/api/v2http/control_requests.h"
#include "mezzo/api/v2http/internal/routes.h"
#include "mezzo/api/v2http/v2_handler.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::v2http {
namespace {

net::HttpResponse Done() {
  net::HttpResponse response;
  response.content_type = "application/json";
  return response;
}

std::string RegionsJson(const std::vector<SharedMemoryRegions::Region>& regions) {
  std::string out = "[";
  for (const auto& region : regions) {
    if (out.size() > 1) out += ',';
    out += "{\"name\":";
    AppendJsonString(region.name, &out);
    out += ",\"key\":";
    AppendJsonString(region.key, &out);
    out += ",\"offset\":";
    AppendJsonInteger(region.offset, &out);
    out += ",\"byte_size\":";
    AppendJsonInteger(region.byte_size, &out);
    out += '}';
  }
  out += ']';
  return out;
}

std::string TraceJson(const TraceSetting& setting) {
  std::string out = "{\"trace_level\":[\"";
  out += setting.timestamps ? "TIMESTAMPS" : "OFF";
  out += "\"],\"trace_rate\":\"" + std::to_string(setting.rate);
  out += "\",\"trace_count\":\"" + std::to_string(setting.count);
  out += "\",\"log_frequency\":\"" + std::to_string(setting.log_frequency);
  out += "\",\"trace_file\":\"\",\"trace_mode\":\"opentelemetry\"}";
  return out;
}

std::string LogJson(const LogSetting& setting) {
  std::string out = "{\"log_file\":\"\",\"log_info\":";
  AppendJsonBool(setting.info, &out);
  out += ",\"log_warning\":";
  AppendJsonBool(setting.warning, &out);
  out += ",\"log_error\":";
  AppendJsonBool(setting.error, &out);
  out += ",\"log_verbose_level\":" + std::to_string(setting.verbose_level) + ",\"log_format\":";
  AppendJsonString(setting.format, &out);
  out += '}';
  return out;
}

}  // namespace

V2Handler::Answer V2Handler::RegisterSystemMemory(const Call& call) const {
  MEZZO_TRY(RegisterRequest request, ReadRegisterRequest(call.request->body().text()));
  MEZZO_TRY_VOID(ports_.regions.Register(call.caller->tenant->id, std::string(call.captures[0]),
                                         std::move(request.key), request.offset, request.byte_size));
  return Done();
}

V2Handler::Answer V2Handler::SystemMemory(const Call& call) const {
  switch (call.route) {
    case kSystemRegister:
      return RegisterSystemMemory(call);
    case kSystemRegisterNameless:
      return InvalidArgument("shared_memory_key",
                             "'region name' is necessary to register system shared memory region");
    case kSystemUnregister:
    case kSystemUnregisterAll:
      MEZZO_TRY_VOID(ports_.regions.Unregister(call.caller->tenant->id, call.captures[0]));
      return Done();
    default:
      break;
  }
  MEZZO_TRY(const auto regions, ports_.regions.Status(call.caller->tenant->id, call.captures[0]));
  return net::HttpResponse::Json(200, RegionsJson(regions));
}

V2Handler::Answer V2Handler::CudaMemory(const Call& call) const {
  const std::string region = Printable(call.captures[0]);
  switch (call.route) {
    case kCudaStatus:
      return net::HttpResponse::Json(200, "[]");
    case kCudaRegionStatus:
      return NotFound("shared_memory_unknown", "Unable to find cuda shared memory region: '" + region + "'");
    case kCudaUnregister:
      return Done();
    default:
      break;
  }
  return Unimplemented(
      "cuda_shared_memory_unsupported",
      "failed to register CUDA shared memory region: '" + region + "', CUDA shared memory is not supported");
}

V2Handler::Answer V2Handler::Trace(const Call& call, std::string_view model) const {
  if (!model.empty() && !ports_.service.catalog().ConfigOf(model, "").ok()) {
    return InvalidArgument("model_unknown", "Request for unknown model : " + Printable(model));
  }
  if (call.request->method() == net::Method::kGet) {
    return net::HttpResponse::Json(200, TraceJson(ports_.traces.Get(model)));
  }
  MEZZO_TRY(const std::vector<TraceChange> changes, ReadTraceRequest(call.request->body().text()));
  MEZZO_TRY(const TraceSetting now, ports_.traces.Update(model, changes));
  return net::HttpResponse::Json(200, TraceJson(now));
}

V2Handler::Answer V2Handler::Logging(const Call& call) const {
  if (call.request->method() == net::Method::kGet) {
    return net::HttpResponse::Json(200, LogJson(ports_.logs.Get()));
  }
  MEZZO_TRY(const std::vector<LogChange> changes, ReadLogRequest(call.request->body().text()));
  MEZZO_TRY(const LogSetting now, ports_.logs.Update(changes));
  return net::HttpResponse::Json(200, LogJson(now));
}

}  // namespace mezzo::api::v2http
