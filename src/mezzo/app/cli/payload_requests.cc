#include "grpc_service.pb.h"
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/payload.h"

namespace mezzo::app::cli {
namespace {

using Json = nlohmann::json;

std::int64_t Microseconds(Duration duration) {
  return std::chrono::ceil<std::chrono::microseconds>(duration).count();
}

/// Request line and common headers, without the empty line that ends them.
std::string Head(const RequestFrame& frame, std::string_view method, const std::string& path) {
  std::string head = std::string(method) + " " + frame.address.prefix + path +
                     " HTTP/1.1\r\nHost: " + frame.address.authority() + "\r\n";
  if (!frame.key.empty()) head += "Authorization: Bearer " + frame.key + "\r\n";
  return head;
}

Json Described(const NamedInput& input) {
  const auto dims = input.tensor.shape.dims();
  return {{"name", input.name},
          {"shape", std::vector<std::int64_t>(dims.begin(), dims.end())},
          {"datatype", tensor::DTypeName(input.tensor.dtype)}};
}

}  // namespace

std::string InferBody(const FlowSpec& flow, const std::vector<NamedInput>& inputs, std::size_t* json_length) {
  const bool binary = flow.protocol == Protocol::kHttp;
  Json body{{"inputs", Json::array()}};
  Json parameters = Json::object();
  if (binary) parameters["binary_data_output"] = true;
  if (flow.deadline.has_value()) parameters["timeout"] = Microseconds(*flow.deadline);
  if (flow.priority > 0) parameters["priority"] = flow.priority;
  if (!parameters.empty()) body["parameters"] = std::move(parameters);
  std::string tail;
  for (const NamedInput& input : inputs) {
    Json item = Described(input);
    if (binary) {
      item["parameters"] = {{"binary_data_size", input.tensor.data.size()}};
      tail += input.tensor.data.text();
    } else {
      item["data"] = Json::array();
    }
    body["inputs"].push_back(std::move(item));
  }
  std::string text = body.dump();
  if (!binary) {
    // The values are written by ValuesAsJson, which knows the precision of each type.
    std::size_t from = 0;
    for (const NamedInput& input : inputs) {
      constexpr std::string_view kEmpty = "\"data\":[]";
      const std::size_t at = text.find(kEmpty, from);
      const std::string values = "\"data\":" + ValuesAsJson(input.tensor);
      text.replace(at, kEmpty.size(), values);
      from = at + values.size();
    }
  }
  *json_length = text.size();
  return text + tail;
}

std::string HttpInferRequest(const RequestFrame& frame, const FlowSpec& flow,
                             const std::vector<NamedInput>& inputs) {
  std::size_t json_length = 0;
  const std::string body = InferBody(flow, inputs, &json_length);
  std::string head = Head(frame, "POST", ModelPath(flow.model, flow.version) + "/infer");
  if (flow.protocol == Protocol::kHttp) {
    head += "Content-Type: application/octet-stream\r\nInference-Header-Content-Length: " +
            std::to_string(json_length) + "\r\n";
  } else {
    head += "Content-Type: application/json\r\n";
  }
  return head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string HttpRawRequest(const RequestFrame& frame, const FlowSpec& flow, std::string_view body) {
  if (flow.body_file.empty()) return Head(frame, "GET", flow.path) + "\r\n";
  std::string request = Head(frame, "POST", flow.path) + "Content-Type: " + flow.content_type +
                        "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  return request.append(body);
}

std::string GrpcInferRequest(const FlowSpec& flow, const std::vector<NamedInput>& inputs) {
  inference::ModelInferRequest request;
  request.set_model_name(flow.model);
  request.set_model_version(flow.version);
  auto& parameters = *request.mutable_parameters();
  if (flow.deadline.has_value()) parameters["timeout"].set_int64_param(Microseconds(*flow.deadline));
  if (flow.priority > 0) parameters["priority"].set_uint64_param(flow.priority);
  for (const NamedInput& input : inputs) {
    auto& item = *request.add_inputs();
    item.set_name(input.name);
    item.set_datatype(std::string(tensor::DTypeName(input.tensor.dtype)));
    for (const std::int64_t dim : input.tensor.shape.dims()) item.add_shape(dim);
    request.add_raw_input_contents(std::string(input.tensor.data.text()));
  }
  return request.SerializeAsString();
}

}  // namespace mezzo::app::cli
