#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"

namespace mezzo::api::rpc {

/// Wire types of protocol buffers. Groups (3 and 4) have been out of use since proto3 and are refused.
enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

/// Memory for fields that lie across two segments, for as long as what was decoded from them is looked at.
using WireScratch = std::vector<std::unique_ptr<std::byte[]>>;

/// Reads protocol buffer fields from bytes that may lie in several pieces, front to back, without copying
/// what lies in one. Small to copy: a copy is a place to come back to. Functions return false when the bytes
/// end too early or are no protocol buffer; the reader is then of no more use. Not thread-safe.
class WireReader {
 public:
  explicit WireReader(BytesView bytes)
      : at_(bytes.data()), segment_end_(bytes.data() + bytes.size()), remaining_(bytes.size()) {}
  /// `segments` must outlive the reader.
  explicit WireReader(std::span<const BytesView> segments);

  [[nodiscard]] std::size_t remaining() const { return remaining_; }

  /// The next field's number and type; check remaining() first.
  bool ReadTag(std::uint32_t* field, WireType* type);
  bool ReadVarint(std::uint64_t* value) {
    if (at_ != segment_end_ && static_cast<std::uint8_t>(*at_) < 0x80) [[likely]] {
      *value = static_cast<std::uint8_t>(*at_);
      Advance(1);
      return true;
    }
    return ReadLongVarint(value);
  }
  /// A length that the remaining bytes can hold.
  bool ReadLength(std::size_t* length) {
    std::uint64_t value = 0;
    if (!ReadVarint(&value) || value > remaining_) return false;
    *length = static_cast<std::size_t>(value);
    return true;
  }
  bool ReadFixed64(std::uint64_t* value);
  /// The next `count` bytes, at most remaining(). A view into the segment, or into `scratch` when they lie in
  /// several.
  BytesView ReadView(std::size_t count, WireScratch* scratch);
  /// A length and its bytes.
  bool ReadBytes(WireScratch* scratch, BytesView* bytes);
  bool ReadText(WireScratch* scratch, std::string_view* text);

  /// Copies or passes over the next `count` bytes, at most remaining().
  void CopyTo(std::byte* out, std::size_t count);
  void Skip(std::size_t count);
  bool SkipField(WireType type);

 private:
  void Advance(std::size_t count) {
    at_ += count;
    remaining_ -= count;
    if (at_ == segment_end_) NextSegment();
  }
  void NextSegment();
  bool ReadLongVarint(std::uint64_t* value);

  // at_ != segment_end_ unless nothing remains.
  const std::byte* at_ = nullptr;
  const std::byte* segment_end_ = nullptr;
  const BytesView* next_ = nullptr;
  const BytesView* last_ = nullptr;
  std::size_t remaining_ = 0;
};

}  // namespace mezzo::api::rpc
