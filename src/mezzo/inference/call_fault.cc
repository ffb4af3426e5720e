#include "mezzo/inference/call_fault.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace mezzo::inference {

Fault FaultOf(const Error& error) {
  constexpr std::array<std::string_view, 5> kLimits = {"rate_limited", "concurrency_limited", "queue_limited",
                                                       "quota_exceeded", "limits_full"};
  switch (error.code()) {
    case Code::kCancelled:
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
      return Fault::kCaller;
    case Code::kInvalidArgument:
    case Code::kOutOfRange:
    case Code::kFailedPrecondition:
    case Code::kAlreadyExists:
      return Fault::kEither;
    case Code::kResourceExhausted:
      return std::find(kLimits.begin(), kLimits.end(), error.reason()) != kLimits.end() ? Fault::kCaller
                                                                                        : Fault::kVersion;
    case Code::kUnavailable:
      if (error.reason() == "shutting_down") return Fault::kCaller;  // The host goes: no version helps.
      return error.reason() == "overloaded" ? Fault::kOverload : Fault::kVersion;
    case Code::kUnknown:
    case Code::kDeadlineExceeded:
    case Code::kNotFound:
    case Code::kAborted:
    case Code::kUnimplemented:
    case Code::kInternal:
    case Code::kDataLoss:
      break;
  }
  return Fault::kVersion;
}

}  // namespace mezzo::inference
