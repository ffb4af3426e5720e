#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "mezzo/base/clock.h"

namespace mezzo {

/// RFC 9562 section 5.7: 48 bits of Unix milliseconds, then random bits. Text order is time order.
/// Thread-safe; randomness is getrandom(2), buffered per thread.
std::string NewUuidV7(WallTime now);

/// Fills with bytes of getrandom(2), buffered per thread.
void RandomBytes(std::uint8_t* out, std::size_t count);
std::uint64_t RandomUint64();

}  // namespace mezzo
