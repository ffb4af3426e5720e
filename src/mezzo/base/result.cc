#include "mezzo/base/result.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace mezzo {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kUnknown:
      return "UNKNOWN";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kPermissionDenied:
      return "PERMISSION_DENIED";
    case Code::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case Code::kAborted:
      return "ABORTED";
    case Code::kOutOfRange:
      return "OUT_OF_RANGE";
    case Code::kUnimplemented:
      return "UNIMPLEMENTED";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kDataLoss:
      return "DATA_LOSS";
    case Code::kUnauthenticated:
      return "UNAUTHENTICATED";
  }
  return "UNKNOWN";
}

std::string Error::ToString() const {
  std::string text(CodeName(code_));
  text += ' ';
  text += reason_;
  text += ": ";
  text += message_;
  return text;
}

void CheckFailed(std::string_view condition, const char* file, int line) {
  char text[512];
  const int size = std::snprintf(text, sizeof(text), "MEZZO_CHECK failed: %.*s at %s:%d\n",
                                 static_cast<int>(condition.size()), condition.data(), file, line);
  if (size > 0) {
    const auto count =
        static_cast<std::size_t>(size) < sizeof(text) ? static_cast<std::size_t>(size) : sizeof(text) - 1;
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, count);
  }
  std::abort();
}

}  // namespace mezzo
