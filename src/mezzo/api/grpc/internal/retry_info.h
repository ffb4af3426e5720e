#pragma once

#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::api::rpc {

/// The serialised google.rpc.Status that a client finds in grpc-status-details-bin: code and message of
/// `error`, and a google.rpc.RetryInfo with the time to come back after. Empty when the error names no time.
/// (google/rpc/status.proto, google/rpc/error_details.proto; written by hand: three small messages.)
std::string RetryDetails(const Error& error, int code);

}  // namespace mezzo::api::rpc
