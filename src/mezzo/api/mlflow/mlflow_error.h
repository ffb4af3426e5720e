#pragma once

#include <string_view>

#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"

namespace mezzo::api::mlflow {

struct MlflowStatus {
  int http = 0;
  std::string_view code;  ///< "RESOURCE_DOES_NOT_EXIST"
};
/// MLflow's name for the error, and the status it comes with. Clients try 429, 500, 502, 503 and 504 again,
/// up to minutes long: what no wait mends is never one of these.
MlflowStatus StatusOf(const Error& error);

/// {"error_code", "message"} with the headers of every refusal.
net::HttpResponse MlflowErrorResponse(const Error& error);
/// The same with another status, for BlobServer.
net::HttpResponse MlflowErrorResponse(int status, const Error& error);

}  // namespace mezzo::api::mlflow
