// The model repository: index, load, unload.

#include "mezzo/api/v2http/control_requests.h"
#include "mezzo/api/v2http/model_json.h"
#include "mezzo/api/v2http/v2_handler.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::v2http {
namespace {

// Below this, decoding a load request takes less time than moving it to another thread.
constexpr std::size_t kOffloadBytes = 64 << 10;

net::HttpResponse Done() {
  net::HttpResponse response;
  response.content_type = "application/json";
  return response;
}

/// Names become folder names further down: refuse here what can't be one.
Result<ModelName> CheckName(std::string_view name) {
  if (IsSafeName(name)) return ModelName(std::string(name));
  return InvalidArgument("model_name_invalid",
                         "invalid model name '" + Printable(name) +
                             "': expected 1 to 128 of [A-Za-z0-9._-], not starting with '.'");
}

}  // namespace

V2Handler::Answer V2Handler::Index(const Call& call) const {
  MEZZO_TRY(const bool ready_only, ReadIndexRequest(call.request->body().text()));
  return net::HttpResponse::Json(200, IndexJson(ports_.service.catalog().Index(ready_only)));
}

runtime::Task<V2Handler::Answer> V2Handler::Load(runtime::Context ctx, Call call) const {
  MEZZO_CO_TRY(ModelName model, CheckName(call.captures[0]));
  const SharedBytes body = call.request->body();
  auto read = [body] { return ReadLoadRequest(body.text()); };
  Result<models::LoadOverrides> overrides = models::LoadOverrides();
  if (ports_.pool != nullptr && body.size() > kOffloadBytes) {
    overrides = co_await runtime::Offload(*ports_.pool, std::move(read));
  } else {
    overrides = read();
  }
  if (!overrides.ok()) co_return std::move(overrides).error();
  MEZZO_CO_TRY_VOID(
      co_await ports_.service.catalog().Load(ctx, std::move(model), std::move(overrides).value()));
  co_return Done();
}

runtime::Task<V2Handler::Answer> V2Handler::Unload(runtime::Context ctx, Call call) const {
  MEZZO_CO_TRY(ModelName model, CheckName(call.captures[0]));
  MEZZO_CO_TRY_VOID(CheckUnloadRequest(call.request->body().text()));
  MEZZO_CO_TRY_VOID(co_await ports_.service.catalog().Unload(ctx, std::move(model)));
  co_return Done();
}

}  // namespace mezzo::api::v2http
