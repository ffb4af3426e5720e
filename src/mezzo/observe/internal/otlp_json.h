#pragma once

#include <memory>
#include <span>
#include <string>

#include "mezzo/observe/trace.h"

namespace mezzo::observe::internal {

/// An ExportTraceServiceRequest (OTLP/HTTP 1.x) in JSON: ids as hex, 64-bit numbers as strings. A span's
/// stages become internal child spans with ids derived from the span's, so that sending a batch again sends
/// the same spans.
std::string EncodeOtlp(std::span<const std::unique_ptr<const Span>> spans, const std::string& service_name,
                       const std::string& service_version);

}  // namespace mezzo::observe::internal
