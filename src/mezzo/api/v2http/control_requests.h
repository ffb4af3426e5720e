#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/api/settings.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/models/catalog.h"

namespace mezzo::api::v2http {

/// The bodies of control requests. An empty one is taken for {}, as Triton does where it can. Unknown members
/// are ignored unless said otherwise. All errors are kInvalidArgument and name the member.

/// {"ready": bool}; false when absent.
Result<bool> ReadIndexRequest(std::string_view body);

/// {"parameters":{"config":"<json>","file:<version>/<name>":"<base64>"}}. Other parameters are refused
/// ("parameter_unknown"), files without a config, too ("load_config_missing").
Result<models::LoadOverrides> ReadLoadRequest(std::string_view body);

/// {"parameters":{"unload_dependents": bool}}: checked only, nothing here depends on another model.
Result<void> CheckUnloadRequest(std::string_view body);

struct RegisterRequest {
  std::string key;
  ByteCount offset = 0;
  ByteCount byte_size = 0;
};
/// {"key":"/name","offset":0,"byte_size":64}
Result<RegisterRequest> ReadRegisterRequest(std::string_view body);

/// {"trace_level":["TIMESTAMPS"],"trace_rate":"1000"}: null clears; numbers may stand where Triton wants
/// text.
Result<std::vector<TraceChange>> ReadTraceRequest(std::string_view body);

/// {"log_info":true,"log_verbose_level":1}: null changes nothing.
Result<std::vector<LogChange>> ReadLogRequest(std::string_view body);

}  // namespace mezzo::api::v2http
