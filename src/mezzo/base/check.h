#pragma once

#include <string_view>

namespace mezzo {

/// Writes the failed condition with its place to standard error and aborts. Async-signal-safe.
[[noreturn]] void CheckFailed(std::string_view condition, const char* file, int line);

}  // namespace mezzo

/// Aborts when an invariant is broken. Never reachable from outside input: that is a Result.
#define MEZZO_CHECK(condition)                              \
  do {                                                      \
    if (!(condition)) [[unlikely]]                          \
      ::mezzo::CheckFailed(#condition, __FILE__, __LINE__); \
  } while (false)
