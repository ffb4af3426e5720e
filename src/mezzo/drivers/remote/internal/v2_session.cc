#include "mezzo/drivers/remote/internal/v2_session.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/remote/internal/v2_codec.h"

namespace mezzo::drivers {
namespace {

constexpr std::string_view kJsonSize = "Inference-Header-Content-Length";

}  // namespace

Result<std::unique_ptr<engine::Session>> V2Session::Open(std::unique_ptr<UpstreamClient> client,
                                                         const engine::LoadRequest& request) {
  std::string path = "/v2/models/" + PercentEncode(request.upstream.model);
  if (!request.upstream.version.empty()) path += "/versions/" + PercentEncode(request.upstream.version);
  const UpstreamRequest ask{.method = "GET", .path = path, .headers = {}, .body = {}};
  MEZZO_TRY(const net::ClientResponse response, client->Send(ask, nullptr));
  auto facts = DecodeV2Metadata(response.body);
  if (!facts.ok()) return client->Invalid(facts.error().message());
  for (engine::TensorSpec& input : facts->inputs) {
    input.optional = std::any_of(request.declared_inputs.begin(), request.declared_inputs.end(),
                                 [&input](const auto& d) { return d.name == input.name && d.optional; });
  }
  facts->provider = "remote";
  facts->has_loops = true;  // What the network and the other host do has no bound here.
  return std::unique_ptr<engine::Session>(
      std::make_unique<V2Session>(std::move(client), std::move(path), std::move(facts).value()));
}

Result<std::vector<tensor::Tensor>> V2Session::Run(std::span<const tensor::Tensor* const> inputs,
                                                   std::span<const std::size_t> wanted,
                                                   engine::RunControl* control) {
  V2Body body = EncodeV2Request(facts_, inputs, wanted);
  const UpstreamRequest request{.method = "POST",
                                .path = path_ + "/infer",
                                .headers = {{"Content-Type", "application/octet-stream"},
                                            {std::string(kJsonSize), std::to_string(body.json_size)}},
                                .body = std::move(body.bytes)};
  MEZZO_TRY(net::ClientResponse response, client_->Send(request, static_cast<RemoteControl*>(control)));
  const std::string_view said = response.Header(ToLower(kJsonSize));
  std::optional<std::size_t> json_size;
  if (!said.empty()) {
    json_size = ParseUint(said);
    if (!json_size.has_value()) return client_->Invalid("a length of its JSON that is no number");
  }
  auto outputs = DecodeV2Response(facts_, wanted, std::move(response.body), json_size);
  if (!outputs.ok()) return client_->Invalid(outputs.error().message());
  return outputs;
}

}  // namespace mezzo::drivers
