#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"

namespace mezzo::net {

/// A field of a form. `content_type` and `content` point into the headers and the body they were read from.
struct FormPart {
  std::string name;
  std::string file_name;  ///< As the client says: for messages, never for a path. Empty: a plain field.
  std::string_view content_type;  ///< Without parameters; empty when the part has none.
  std::string_view content;
};

struct FormLimits {
  std::size_t max_parts = 64;
  std::size_t max_header_bytes = 4096;  ///< Of one part.
};

/// Reads a complete body of multipart/form-data (RFC 7578), which `content_type` must announce with its
/// boundary (RFC 2046: 1 to 70 characters). Copies no contents; time is linear in the body. Fails with
/// kInvalidArgument "form_malformed" naming what and where, or "form_too_many_parts".
Result<std::vector<FormPart>> ParseFormData(std::string_view content_type, std::string_view body,
                                            const FormLimits& limits = {});

/// True for "multipart/form-data", whatever its parameters.
bool IsFormData(std::string_view content_type);

}  // namespace mezzo::net
