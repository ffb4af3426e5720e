#include "mezzo/api/grpc/internal/wire_reader.h"

#include <algorithm>
#include <cstring>

#include "mezzo/base/check.h"

namespace mezzo::api::rpc {

WireReader::WireReader(std::span<const BytesView> segments)
    : next_(segments.data()), last_(segments.data() + segments.size()) {
  for (const BytesView segment : segments) remaining_ += segment.size();
  NextSegment();
}

void WireReader::NextSegment() {
  while (at_ == segment_end_ && next_ != last_) {
    at_ = next_->data();
    segment_end_ = at_ + next_->size();
    ++next_;
  }
}

bool WireReader::ReadLongVarint(std::uint64_t* value) {
  std::uint64_t result = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (remaining_ == 0) return false;
    const auto byte = static_cast<std::uint8_t>(*at_);
    Advance(1);
    result |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      return true;
    }
  }
  return false;
}

bool WireReader::ReadTag(std::uint32_t* field, WireType* type) {
  std::uint64_t tag = 0;
  if (!ReadVarint(&tag) || tag > UINT32_MAX) return false;
  *field = static_cast<std::uint32_t>(tag >> 3);
  const auto wire = static_cast<std::uint8_t>(tag & 7);
  *type = static_cast<WireType>(wire);
  return *field != 0 && (wire <= 2 || wire == 5);
}

bool WireReader::ReadFixed64(std::uint64_t* value) {
  if (remaining_ < sizeof(*value)) return false;
  CopyTo(reinterpret_cast<std::byte*>(value), sizeof(*value));
  return true;
}

BytesView WireReader::ReadView(std::size_t count, WireScratch* scratch) {
  MEZZO_CHECK(count <= remaining_);
  if (count == 0) return {};
  if (static_cast<std::size_t>(segment_end_ - at_) >= count) {
    const BytesView view(at_, count);
    Advance(count);
    return view;
  }
  scratch->push_back(std::make_unique<std::byte[]>(count));
  CopyTo(scratch->back().get(), count);
  return {scratch->back().get(), count};
}

bool WireReader::ReadBytes(WireScratch* scratch, BytesView* bytes) {
  std::size_t length = 0;
  if (!ReadLength(&length)) return false;
  *bytes = ReadView(length, scratch);
  return true;
}

bool WireReader::ReadText(WireScratch* scratch, std::string_view* text) {
  BytesView bytes;
  if (!ReadBytes(scratch, &bytes)) return false;
  *text = AsText(bytes);
  return true;
}

void WireReader::CopyTo(std::byte* out, std::size_t count) {
  MEZZO_CHECK(count <= remaining_);
  while (count > 0) {
    const std::size_t part = std::min(count, static_cast<std::size_t>(segment_end_ - at_));
    std::memcpy(out, at_, part);
    out += part;
    count -= part;
    Advance(part);
  }
}

void WireReader::Skip(std::size_t count) {
  MEZZO_CHECK(count <= remaining_);
  while (count > 0) {
    const std::size_t part = std::min(count, static_cast<std::size_t>(segment_end_ - at_));
    count -= part;
    Advance(part);
  }
}

bool WireReader::SkipField(WireType type) {
  std::uint64_t ignored = 0;
  std::size_t length = 0;
  switch (type) {
    case WireType::kVarint:
      return ReadVarint(&ignored);
    case WireType::kFixed64:
      length = 8;
      break;
    case WireType::kFixed32:
      length = 4;
      break;
    case WireType::kBytes:
      if (!ReadLength(&length)) return false;
      break;
  }
  if (length > remaining_) return false;
  Skip(length);
  return true;
}

}  // namespace mezzo::api::rpc
