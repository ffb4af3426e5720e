#include "mezzo/api/console/console_assets.h"

#ifdef MEZZO_CONSOLE
#include <array>
#include <cstddef>

// As the assembler has it (console_bytes.S).
extern "C" const std::byte mezzo_console_bytes[];  // NOLINT(readability-identifier-naming)
#endif

namespace mezzo::api::console {

#ifdef MEZZO_CONSOLE

namespace {

struct Packed {
  std::string_view path, content_type, etag;
  std::size_t plain, plain_size, gzip, gzip_size;  // Offsets and sizes in the bytes.
};

constexpr auto kPacked = std::to_array<Packed>({
#include "console_assets.inc"
});

auto Unpack() {
  std::array<ConsoleAsset, kPacked.size()> assets;
  for (std::size_t i = 0; i < assets.size(); ++i) {
    const Packed& packed = kPacked[i];
    assets[i] = {.path = packed.path,
                 .content_type = packed.content_type,
                 .etag = packed.etag,
                 .plain = BytesView(mezzo_console_bytes + packed.plain, packed.plain_size),
                 .gzip = BytesView(mezzo_console_bytes + packed.gzip, packed.gzip_size)};
  }
  return assets;
}

}  // namespace

std::span<const ConsoleAsset> ConsoleAssets() {
  static const auto assets = Unpack();
  return assets;
}

#else

std::span<const ConsoleAsset> ConsoleAssets() { return {}; }

#endif

}  // namespace mezzo::api::console
