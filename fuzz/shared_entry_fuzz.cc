// Entries of the tier that hosts share. As they come, hardly any opens; so each input is read a second time
// with the HMAC that a host would have given it.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/base/sha256.h"
#include "mezzo/cache/internal/shared_entry.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mezzo;
  constexpr std::string_view kSecret = "a secret of the fuzzer's";
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  MEZZO_CHECK(!cache::internal::OpenEntry(bytes, kSecret).has_value());
  std::string sealed(bytes);
  const Sha256Digest mac = HmacSha256(kSecret, bytes);
  sealed += AsText(mac);
  const auto entry = cache::internal::OpenEntry(sealed, kSecret);
  if (!entry.has_value()) return 0;
  MEZZO_CHECK(cache::internal::SealEntry(*entry, kSecret) == sealed);
  (void)cache::internal::ReadErrorPayload(entry->payload);
  return 0;
}
