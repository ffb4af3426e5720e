#include "mezzo/storage/blob_io.h"

#include <memory>
#include <span>

#include "mezzo/storage/blob_checks.h"

namespace mezzo::storage {
Result<BlobFacts> WriteBlob(BlobStore& store, const BlobKey& key, BytesView bytes, BlobWriteOptions options,
                            TimePoint deadline) {
  MEZZO_TRY(const std::unique_ptr<BlobWriter> writer, store.Write(key, std::move(options), deadline));
  MEZZO_TRY_VOID(writer->Append(bytes, deadline));
  return writer->Commit(deadline);
}

Result<std::string> ReadBlob(BlobStore& store, const BlobKey& key, ByteCount max_bytes, TimePoint deadline) {
  MEZZO_TRY(const std::unique_ptr<BlobReader> reader, store.Read(key, {}, deadline));
  const ByteCount size = reader->facts().size;
  if (size > max_bytes) return BlobTooLarge(key, max_bytes);
  // One byte more than there is: the read that finds the end is the one that verifies.
  std::string content(static_cast<std::size_t>(size) + 1, '\0');
  std::size_t filled = 0;
  while (true) {
    const std::span<std::byte> rest(reinterpret_cast<std::byte*>(content.data()) + filled,
                                    content.size() - filled);
    MEZZO_TRY(const std::size_t got, reader->Read(rest, deadline));
    if (got == 0) break;
    filled += got;
    if (filled > size) return BlobCorrupt(key, "the store gave more bytes than the object has");
  }
  content.resize(filled);
  return content;
}

}  // namespace mezzo::storage
