#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mezzo/api/router.h"
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

/// The same, saying which member of the request it is about; empty: what the reason tells.
net::HttpResponse ErrorResponse(const Error& error, std::string_view param);

/// Only the envelope: {"error":{…}}.
std::string ErrorBody(int status, const Error& error, std::string_view param);

/// 404, or 405 with Allow, for a request that no line of the table fits.
net::HttpResponse NoRouteResponse(std::span<const Route> table, const net::HttpRequest& request,
                                  const RouteMatch& match);

/// 413 when the head announces a body of more than `limit` bytes.
std::optional<net::HttpResponse> RefuseSize(const net::HttpRequest& head, ByteCount limit);

}  // namespace mezzo::api::openai
