#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {

/// kInternal "bad_answer", with the beginning of the answer.
inline Error BadAnswer(std::string_view text) {
  return Internal("bad_answer", "the server's answer is not what was asked for: " + Printable(text, 200));
}

/// The JSON object that the server answers. V2Client::CallOk()'s errors, and "bad_answer".
inline Result<nlohmann::ordered_json> AskJson(const V2Client& client, const char* method,
                                              const std::string& path, const std::string& body = {},
                                              const V2Client::Headers& headers = {}) {
  MEZZO_TRY(const HttpReply reply, client.CallOk(method, path, body, headers));
  auto json = nlohmann::ordered_json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return BadAnswer(reply.body);
  return json;
}

}  // namespace mezzo::app::cli
