// Reads arbitrary bytes as the head of a picture.

#include <cstddef>
#include <cstdint>

#include "mezzo/base/check.h"
#include "mezzo/media/picture_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const mezzo::BytesView file(reinterpret_cast<const std::byte*>(data), size);
  const auto header = mezzo::media::ReadPictureHeader(file);
  if (!header.ok()) {
    MEZZO_CHECK(header.error().reason() == "picture_invalid");
    return 0;
  }
  MEZZO_CHECK(header->size.width > 0 && header->size.height > 0);
  // What was read lies in the bytes: none of them may be missing at the end of the shortest file that is
  // taken.
  MEZZO_CHECK(size >= 11);
  return 0;
}
