#pragma once

#include <string_view>

#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"

namespace mezzo::api::openai {

/// {"error":{"message":…,"type":…,"param":…,"code":…}} as OpenAI's clients read it, with the status of the
/// table and the headers of api::ErrorResponse(). `code` is OpenAI's where it has one ("model_not_found",
/// "invalid_api_key", "rate_limit_exceeded"), else the reason. Refusals with a time to come back also carry
/// retry-after-ms, which the official clients obey; failures that will not pass by themselves tell them not
/// to retry.
net::HttpResponse ErrorResponse(const Error& error);

/// The same with a status that the table does not give (405, 413).
net::HttpResponse ErrorResponse(int status, const Error& error);

}  // namespace mezzo::api::openai
