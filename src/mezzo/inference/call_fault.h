#pragma once

#include <cstdint>

#include "mezzo/base/result.h"

namespace mezzo::inference {

/// Who is to blame for a call that failed, as far as its error tells.
enum class Fault : std::uint8_t {
  kCaller,    ///< Has gone, is not allowed, or has met a limit: another version would not help.
  kEither,    ///< A bad request, or a version that does not take what others take.
  kVersion,   ///< The version, or what runs it.
  kOverload,  ///< The host has too much to do: says nothing about the version, and another may have room.
};
[[nodiscard]] Fault FaultOf(const Error& error);

}  // namespace mezzo::inference
