#pragma once

#include <onnxruntime_c_api.h>

#include <span>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"

namespace mezzo::drivers {

/// The library's text made fit for a client: `hidden` paths and other absolute host paths shortened to their
/// last part, one line, at most 600 bytes.
std::string CleanOrtMessage(std::string_view message, std::span<const std::string> hidden = {});

/// Errors of Run(); kResourceExhausted "engine_memory" when there was no memory for a tensor. Takes over
/// `status`, which must not be null.
Error RunError(const OrtApi& api, OrtStatus* status);

/// Errors of Load(): kInvalidArgument "model_invalid" with the library's reason, or "engine_memory"
/// as above. Takes over `status`.
Error LoadError(const OrtApi& api, OrtStatus* status, std::span<const std::string> hidden);

/// Other calls, which fail only when something is broken: kInternal "engine_failed". Takes over `status`;
/// null is ok.
Result<void> OrtResult(const OrtApi& api, OrtStatus* status);

}  // namespace mezzo::drivers

/// Returns kInternal "engine_failed" from this function when a call of the C interface fails.
#define MEZZO_ORT_TRY(api, ...) MEZZO_TRY_VOID(::mezzo::drivers::OrtResult(api, __VA_ARGS__))
