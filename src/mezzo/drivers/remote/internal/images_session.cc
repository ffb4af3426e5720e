#include "mezzo/drivers/remote/internal/images_session.h"

#include <cstring>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/base/utf8.h"

namespace mezzo::drivers {
namespace {

using nlohmann::json;
using tensor::DType;
using tensor::Tensor;

constexpr std::int32_t kMaxPictures = 10;

engine::SessionFacts Facts() {
  const auto input = [](const char* name, DType dtype, bool optional) {
    return engine::TensorSpec{
        .name = name, .dtype = dtype, .shape = {1}, .symbols = {""}, .optional = optional};
  };
  engine::SessionFacts facts;
  facts.inputs = {input("prompt", DType::kBytes, false),       input("size", DType::kBytes, true),
                  input("quality", DType::kBytes, true),       input("background", DType::kBytes, true),
                  input("output_format", DType::kBytes, true), input("n", DType::kInt32, true)};
  facts.outputs = {{.name = "images", .dtype = DType::kBytes, .shape = {-1}, .symbols = {""}}};
  facts.provider = "remote";
  facts.has_loops = true;
  return facts;
}

Result<std::string> OnlyText(const std::string& name, const Tensor& tensor) {
  std::string text;
  tensor::ForEachBytesElement(tensor.data.view(), [&text](std::string_view element) { text = element; });
  if (!IsUtf8(text)) return InvalidArgument("upstream_rejected", "'" + name + "' is not UTF-8");
  return text;
}

}  // namespace

ImagesSession::ImagesSession(std::unique_ptr<UpstreamClient> client, std::string model)
    : client_(std::move(client)), model_(std::move(model)), facts_(Facts()) {}

Result<std::string> ImagesSession::Body(std::span<const Tensor* const> inputs) const {
  json body{{"model", model_}};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr) continue;
    const std::string& name = facts_.inputs[i].name;
    if (facts_.inputs[i].dtype == DType::kBytes) {
      MEZZO_TRY(body[name], OnlyText(name, *inputs[i]));
      continue;
    }
    std::int32_t number = 0;
    std::memcpy(&number, inputs[i]->data.data(), sizeof(number));
    if (number < 1 || number > kMaxPictures) {
      return InvalidArgument("upstream_rejected", "'" + name + "' is " + std::to_string(number) +
                                                      "; it must be between 1 and " +
                                                      std::to_string(kMaxPictures));
    }
    body[name] = number;
  }
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Tensor> ImagesSession::Pictures(const std::string& text) const {
  const json body = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto data = body.is_object() ? body.find("data") : body.end();
  if (!body.is_object() || data == body.end() || !data->is_array() || data->empty() ||
      data->size() > kMaxPictures) {
    return client_->Invalid("without pictures");
  }
  std::string elements;
  for (const json& entry : *data) {
    const auto encoded = entry.is_object() ? entry.find("b64_json") : entry.end();
    if (!entry.is_object() || encoded == entry.end() || !encoded->is_string()) {
      return client_->Invalid("a picture without 'b64_json'; one by URL is not fetched");
    }
    const auto picture = Base64Decode(encoded->get_ref<const std::string&>());
    if (!picture.ok()) return client_->Invalid("a picture that is no Base64");
    tensor::AppendBytesElement(elements, *picture);
  }
  return Tensor{.dtype = DType::kBytes,
                .shape = {static_cast<std::int64_t>(data->size())},
                .data = SharedBytes::FromString(std::move(elements))};
}

Result<std::vector<Tensor>> ImagesSession::Run(std::span<const Tensor* const> inputs,
                                               std::span<const std::size_t> wanted,
                                               engine::RunControl* control) {
  MEZZO_TRY(std::string body, Body(inputs));
  const UpstreamRequest request{.method = "POST",
                                .path = "/v1/images/generations",
                                .headers = {{"Content-Type", "application/json"}},
                                .body = std::move(body),
                                .repeatable = false};
  MEZZO_TRY(const net::ClientResponse response, client_->Send(request, static_cast<RemoteControl*>(control)));
  MEZZO_TRY(Tensor pictures, Pictures(response.body));
  return std::vector<Tensor>(wanted.size(), pictures);
}

}  // namespace mezzo::drivers
