#pragma once

#include "mezzo/base/result.h"

namespace mezzo::api {

/// How one canonical code leaves the server. The one table that every protocol uses.
struct WireStatus {
  int http = 500;
  int grpc = 2;  ///< google.rpc.Code.
};

/// HTTP numbers are Triton's where Triton has the code; see docs/protocol-http.md for the others.
[[nodiscard]] constexpr WireStatus WireStatusOf(Code code) {
  switch (code) {
    case Code::kCancelled:
      return {400, 1};
    case Code::kUnknown:
      return {400, 2};
    case Code::kInvalidArgument:
      return {400, 3};
    // Work that can't make its deadline is refused like a full queue: Triton answers 503 to both.
    case Code::kDeadlineExceeded:
      return {503, 4};
    case Code::kNotFound:
      return {404, 5};
    case Code::kAlreadyExists:
      return {400, 6};
    case Code::kPermissionDenied:
      return {403, 7};
    case Code::kResourceExhausted:
      return {429, 8};
    case Code::kFailedPrecondition:
      return {400, 9};
    case Code::kAborted:
      return {503, 10};
    case Code::kOutOfRange:
      return {400, 11};
    case Code::kUnimplemented:
      return {501, 12};
    case Code::kInternal:
      return {500, 13};
    case Code::kUnavailable:
      return {503, 14};
    case Code::kDataLoss:
      return {500, 15};
    case Code::kUnauthenticated:
      return {401, 16};
  }
  return {500, 2};
}

}  // namespace mezzo::api
