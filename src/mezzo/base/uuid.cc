#include "mezzo/base/uuid.h"

#include <sys/random.h>

#include <atomic>
#include <cstring>

#include "mezzo/base/check.h"

namespace mezzo {
namespace {

struct RandomPool {
  std::array<std::uint8_t, 256> bytes{};  // getrandom(2) never returns less than asked up to 256 bytes.
  std::size_t used = 256;
};

/// Milliseconds with 12 bits of fraction: later than those of the calls before.
std::uint64_t NextTick(WallTime now) {
  constexpr std::int64_t kNanosInMilli = 1'000'000;
  constexpr std::uint64_t kStep = std::uint64_t{10} << 12;  // Clocks that are put right go back by less.
  static std::atomic<std::uint64_t> last{0};                // No partner.
  const auto nanos = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(now.time_since_epoch()).count());
  const std::uint64_t tick = (nanos / kNanosInMilli << 12) | ((nanos % kNanosInMilli) * 4096 / kNanosInMilli);
  std::uint64_t before = last.load(std::memory_order_relaxed);
  std::uint64_t next = 0;
  do {
    next = tick <= before && before - tick < kStep ? before + 1 : tick;
  } while (!last.compare_exchange_weak(before, next, std::memory_order_relaxed));
  return next;
}

}  // namespace

void RandomBytes(std::uint8_t* out, std::size_t count) {
  thread_local RandomPool pool;
  while (count > 0) {
    if (pool.used == pool.bytes.size()) {
      MEZZO_CHECK(::getrandom(pool.bytes.data(), pool.bytes.size(), 0) ==
                  static_cast<ssize_t>(pool.bytes.size()));
      pool.used = 0;
    }
    const std::size_t take = std::min(count, pool.bytes.size() - pool.used);
    std::memcpy(out, pool.bytes.data() + pool.used, take);
    std::memset(pool.bytes.data() + pool.used, 0, take);
    pool.used += take;
    out += take;
    count -= take;
  }
}

std::uint64_t RandomUint64() {
  std::uint64_t value = 0;
  RandomBytes(reinterpret_cast<std::uint8_t*>(&value), sizeof(value));
  return value;
}

std::string NewUuidV7(WallTime now) {
  std::array<std::uint8_t, 16> id{};
  RandomBytes(id.data(), id.size());
  const std::uint64_t tick = NextTick(now);
  for (std::size_t i = 0; i < 6; ++i) id.at(i) = static_cast<std::uint8_t>(tick >> (52 - 8 * i));
  id[6] = static_cast<std::uint8_t>(0x70 | (tick >> 8 & 0x0f));
  id[7] = static_cast<std::uint8_t>(tick);
  id[8] = static_cast<std::uint8_t>(0x80 | (id[8] & 0x3f));
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < id.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[id.at(i) >> 4];
    text += kDigits[id.at(i) & 15];
  }
  return text;
}

}  // namespace mezzo
