#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/observe/metrics.h"

namespace mezzo::observe {

enum class ExpositionFormat : std::uint8_t {
  kOpenMetrics,     ///< OpenMetrics 1.0 text, with units and exemplars.
  kPrometheusText,  ///< Classic Prometheus text 0.0.4.
};

/// The format an HTTP Accept header prefers: OpenMetrics when it is named (version 1.0.0, 0.0.1 or none) with
/// a quality not below that of plain text; classic text for everything else, wildcards and an empty header
/// included.
ExpositionFormat ChooseFormat(std::string_view accept);

/// The value of the Content-Type header.
std::string_view ContentType(ExpositionFormat format);

/// The whole registry as text; families and series in sorted order. Safe beside counting threads: a
/// histogram's count always equals its last bucket, and no count goes down between calls.
std::string Render(const Registry& registry, ExpositionFormat format);

}  // namespace mezzo::observe
