// Inference: the hot path of the protocol.

#include <algorithm>

#include <fmt/format.h>

#include "mezzo/api/cache_control.h"
#include "mezzo/api/route_headers.h"
#include "mezzo/api/v2http/generate.h"
#include "mezzo/api/v2http/json_response.h"
#include "mezzo/api/v2http/v2_handler.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::v2http {
namespace {

/// Where the call's time went, in the form of W3C Server Timing. `total` runs from the parsed head to the
/// answer that is ready to be written.
std::string ServerTiming(const inference::StageTimes& stages, Duration decode, Duration encode,
                         Duration total) {
  const auto millis = [](Duration time) { return std::chrono::duration<double, std::milli>(time).count(); };
  return fmt::format(
      "decode;dur={:.4f}, queue;dur={:.4f}, gather;dur={:.4f}, run;dur={:.4f}, scatter;dur={:.4f}, "
      "encode;dur={:.4f}, "
      "total;dur={:.4f}",
      millis(decode), millis(stages.queue), millis(stages.gather), millis(stages.run), millis(stages.scatter),
      millis(encode), millis(total));
}

/// What the cache and the model's route had to do with the answer.
void AddAnswerHeaders(const inference::InferenceAnswer& answer, net::HttpResponse& response) {
  if (answer.cache) response.headers.emplace_back("X-Mezzo-Cache", inference::CacheUseName(*answer.cache));
  AddRouteHeader(answer.route, response);
}

}  // namespace

Result<runtime::Context> V2Handler::WithDeadline(const runtime::Context& ctx, const net::HttpRequest& request,
                                                 const std::optional<Duration>& timeout) {
  TimePoint deadline = kNever;
  if (timeout) deadline = AddSaturating(request.received_at(), *timeout);
  if (const auto header = request.Header("X-Mezzo-Deadline-Ms")) {
    constexpr std::uint64_t kLongest = 1000ULL * 3600 * 24 * 365;
    const auto millis = ParseUint(Trim(*header));
    if (!millis || *millis == 0 || *millis > kLongest) {
      return InvalidArgument("deadline_header",
                             "X-Mezzo-Deadline-Ms must be a number of milliseconds in [1, " +
                                 std::to_string(kLongest) + "], got '" + Printable(*header) + "'");
    }
    deadline = std::min(deadline, AddSaturating(request.received_at(), std::chrono::milliseconds(*millis)));
  }
  return ctx.WithDeadline(deadline);
}

Result<std::shared_ptr<const models::ModelConfig>> V2Handler::ConfigToReadBy(std::string_view model,
                                                                             std::string_view version) const {
  if (!version.empty()) return ports_.service.catalog().ConfigOf(model, version);
  return ports_.service.catalog().ConfigOf(model, ports_.service.VersionToReadBy(model));
}

Result<DecodedRequest> V2Handler::DecodeInfer(const Call& call, std::string_view version) const {
  MEZZO_TRY_VOID(CheckVersion(version));
  const SharedBytes& body = call.request->body();
  std::size_t header_length = body.size();
  if (const auto header = call.request->Header("Inference-Header-Content-Length")) {
    MEZZO_TRY(header_length, ParseHeaderLength(*header));
    if (header_length == 0) {
      MEZZO_TRY(const auto config, ConfigToReadBy(call.captures[0], version));
      return DecodeRawRequest(body, call.captures[0], version, *config);
    }
  }
  const DecodeSources sources{.regions = &ports_.regions, .tenant = call.caller->tenant->id};
  return DecodeRequest(body, header_length, call.captures[0], version, sources, options_.decode);
}

runtime::Task<V2Handler::Answer> V2Handler::Infer(runtime::Context ctx, Call call, bool versioned) const {
  const TimePoint started = Now();
  MEZZO_CO_TRY(DecodedRequest decoded, DecodeInfer(call, versioned ? call.captures[1] : std::string_view()));
  MEZZO_CO_TRY(runtime::Context timed, WithDeadline(ctx, *call.request, decoded.timeout));
  TakeCacheControl(call.request->Header("Cache-Control").value_or(""), decoded.call);
  const TimePoint admitted = Now();
  decoded.call.limit = call.limit;
  decoded.call.headers = HeadersOf(*call.request);
  MEZZO_CO_TRY(
      const inference::InferenceAnswer answer,
      co_await ports_.service.Infer(std::move(timed), std::move(call.caller), std::move(decoded.call)));
  const TimePoint answered = Now();
  const models::ModelConfig* config = answer.served_by == nullptr ? nullptr : answer.served_by->config.get();
  MEZZO_CO_TRY(EncodedResponse encoded, EncodeResponse(answer, decoded.plan, config));

  net::HttpResponse response;
  response.compressible = true;
  if (encoded.pieces.empty()) {
    response.content_type = "application/json";
  } else {
    response.content_type = "application/octet-stream";
    response.headers.emplace_back("Inference-Header-Content-Length", std::to_string(encoded.json.size()));
  }
  response.text = std::move(encoded.json);
  response.pieces = std::move(encoded.pieces);
  AddAnswerHeaders(answer, response);
  if (ports_.clock != nullptr) {
    const TimePoint encoded_at = Now();
    ports_.service.RecordEdges(answer, admitted - started, encoded_at - answered);
    if (call.request->Header("X-Mezzo-Timing")) {
      response.headers.emplace_back("Server-Timing",
                                    ServerTiming(answer.times, admitted - started, encoded_at - answered,
                                                 encoded_at - call.request->received_at()));
    }
  }
  co_return response;
}

runtime::Task<V2Handler::Answer> V2Handler::Generate(runtime::Context ctx, Call call, bool versioned,
                                                     bool stream) const {
  const std::string_view version = versioned ? call.captures[1] : std::string_view();
  MEZZO_CO_TRY_VOID(CheckVersion(version));
  const TimePoint started = Now();
  MEZZO_CO_TRY(const auto config, ConfigToReadBy(call.captures[0], version));
  MEZZO_CO_TRY(inference::InferenceCall inference,
               DecodeGenerate(call.request->body(), call.captures[0], version, *config, options_.decode));
  TakeCacheControl(call.request->Header("Cache-Control").value_or(""), inference);
  MEZZO_CO_TRY(runtime::Context timed, WithDeadline(ctx, *call.request, std::nullopt));
  const TimePoint admitted = Now();
  inference.limit = call.limit;
  inference.headers = HeadersOf(*call.request);
  MEZZO_CO_TRY(const inference::InferenceAnswer answer,
               co_await ports_.service.Infer(std::move(timed), std::move(call.caller), std::move(inference)));
  const TimePoint answered = Now();
  MEZZO_CO_TRY(std::string json, EncodeGenerate(answer));
  if (ports_.clock != nullptr) ports_.service.RecordEdges(answer, admitted - started, Now() - answered);
  if (!stream) {
    net::HttpResponse response = net::HttpResponse::Json(200, std::move(json));
    AddAnswerHeaders(answer, response);
    co_return response;
  }
  // Models answer once, so the stream is one event.
  net::HttpResponse response;
  AddAnswerHeaders(answer, response);
  response.content_type = "text/event-stream; charset=utf-8";
  response.text = "data: " + json + "\n\n";
  co_return response;
}

}  // namespace mezzo::api::v2http
