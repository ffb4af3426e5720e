#pragma once

#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/net/http_client.h"
#include "mezzo/observe/span_sink.h"

namespace mezzo::app {

/// Posts spans to the operator's collector (OTLP/HTTP, JSON encoding). Used by the sink's one thread.
class OtlpExporter final : public observe::SpanExporter {
 public:
  /// `authorization` may be empty.
  OtlpExporter(std::string endpoint, std::string authorization, const Clock& clock);

  Result<void> Export(std::string otlp_json, Duration timeout) override;

 private:
  const std::string endpoint_;
  const std::string authorization_;
  const Clock& clock_;
  net::HttpClient client_;
};

}  // namespace mezzo::app
