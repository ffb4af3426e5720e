#pragma once

#include <memory>
#include <span>
#include <string>

#include "mezzo/base/bytes.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/result.h"
#include "mezzo/net/http_client.h"

namespace mezzo::drivers::internal {

/// The bytes of an object until its length and checksum are known: in memory up to a limit, then in a file
/// that has no name any more and goes with the process. One thread at a time.
class Spool {
 public:
  /// Beyond `memory_bytes` everything goes to a file in `folder`.
  Spool(std::string folder, std::size_t memory_bytes)
      : folder_(std::move(folder)), memory_bytes_(memory_bytes) {}

  /// Fails with kResourceExhausted "blob_disk_full" or kUnavailable "blob_disk_error".
  Result<void> Append(BytesView bytes);
  /// Fills `into` from `offset` on; fewer bytes at the end.
  Result<std::size_t> Read(ByteCount offset, std::span<std::byte> into) const;
  [[nodiscard]] ByteCount size() const { return size_; }
  [[nodiscard]] bool in_memory() const { return !file_.ok(); }

 private:
  Result<void> MoveToFile();

  const std::string folder_;
  const std::size_t memory_bytes_;
  std::string memory_;
  Fd file_;
  ByteCount size_ = 0;
};

/// A part of a spool as the body of a request. The spool must outlive it.
class SpoolPart final : public net::UploadSource {
 public:
  SpoolPart(const Spool& spool, ByteCount offset, ByteCount size)
      : spool_(spool), offset_(offset), size_(size) {}
  [[nodiscard]] ByteCount size() const override { return size_; }
  Result<std::size_t> Read(ByteCount offset, std::span<std::byte> into) override;
  /// SHA-256 of the part; reads it once.
  Result<std::string> Sha256Digits();

 private:
  const Spool& spool_;
  const ByteCount offset_;
  const ByteCount size_;
};

}  // namespace mezzo::drivers::internal
