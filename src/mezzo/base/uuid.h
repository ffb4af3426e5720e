#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "mezzo/base/clock.h"

namespace mezzo {

/// RFC 9562 section 5.7: 48 bits of Unix milliseconds, 12 bits of their fraction (section 6.2, method 3),
/// then random bits. Text order is time order, and within this process the order of the calls: also when they
/// come at the same time, or at one that lies up to 10 ms before an earlier call's. Thread-safe; randomness
/// is getrandom(2), buffered per thread.
std::string NewUuidV7(WallTime now);

/// Fills with bytes of getrandom(2), buffered per thread.
void RandomBytes(std::uint8_t* out, std::size_t count);
std::uint64_t RandomUint64();

}  // namespace mezzo
