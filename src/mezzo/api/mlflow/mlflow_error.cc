#include "mezzo/api/mlflow/mlflow_error.h"

#include <nlohmann/json.hpp>

#include "mezzo/api/http_error.h"

namespace mezzo::api::mlflow {

MlflowStatus StatusOf(const Error& error) {
  const std::string_view reason = error.reason();
  if (reason == "mlflow_endpoint_unknown") return {404, "ENDPOINT_NOT_FOUND"};
  if (reason == "mlflow_body_too_large") return {413, "RESOURCE_LIMIT_EXCEEDED"};
  if (reason == "registry_full" || reason == "tracking_full") return {400, "RESOURCE_LIMIT_EXCEEDED"};
  if (reason == "registry_conflict" || reason == "tracking_artifact_conflict")
    return {409, "RESOURCE_CONFLICT"};
  switch (error.code()) {
    case Code::kInvalidArgument:
    case Code::kOutOfRange:
    case Code::kFailedPrecondition:
      return {400, "INVALID_PARAMETER_VALUE"};
    case Code::kNotFound:
      return {404, "RESOURCE_DOES_NOT_EXIST"};
    case Code::kAlreadyExists:
      return {400, "RESOURCE_ALREADY_EXISTS"};
    case Code::kUnauthenticated:
      return {401, "UNAUTHENTICATED"};
    case Code::kPermissionDenied:
      return {403, "PERMISSION_DENIED"};
    case Code::kResourceExhausted:
      return {429, "REQUEST_LIMIT_EXCEEDED"};
    case Code::kUnimplemented:
      return {501, "NOT_IMPLEMENTED"};
    case Code::kCancelled:
      return {499, "CANCELLED"};
    case Code::kAborted:
    case Code::kUnavailable:
      return {503, "TEMPORARILY_UNAVAILABLE"};
    case Code::kDeadlineExceeded:
      return {504, "DEADLINE_EXCEEDED"};
    case Code::kUnknown:
    case Code::kInternal:
    case Code::kDataLoss:
      break;
  }
  return {500, "INTERNAL_ERROR"};
}

net::HttpResponse MlflowErrorResponse(const Error& error) {
  return MlflowErrorResponse(StatusOf(error).http, error);
}

net::HttpResponse MlflowErrorResponse(int status, const Error& error) {
  const nlohmann::ordered_json json = {{"error_code", StatusOf(error).code}, {"message", error.message()}};
  net::HttpResponse response = ErrorResponse(error);
  response.status = status;
  response.text = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return response;
}

}  // namespace mezzo::api::mlflow
