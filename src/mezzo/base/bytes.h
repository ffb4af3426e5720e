#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace mezzo {

/// A count of bytes.
using ByteCount = std::uint64_t;

/// Borrowed, read-only bytes.
using BytesView = std::span<const std::byte>;

inline BytesView AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view AsText(BytesView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Read-only bytes together with whatever keeps them alive. Copying shares; slicing copies no bytes.
/// The bytes never change while any SharedBytes refers to them.
class SharedBytes {
 public:
  SharedBytes() = default;
  SharedBytes(std::shared_ptr<const void> owner, BytesView view) : owner_(std::move(owner)), view_(view) {}

  /// Takes over `text`.
  static SharedBytes FromString(std::string text) {
    auto owned = std::make_shared<const std::string>(std::move(text));
    const BytesView view = AsBytes(*owned);
    return {std::move(owned), view};
  }

  [[nodiscard]] BytesView view() const { return view_; }
  [[nodiscard]] const std::byte* data() const { return view_.data(); }
  [[nodiscard]] std::size_t size() const { return view_.size(); }
  [[nodiscard]] bool empty() const { return view_.empty(); }
  [[nodiscard]] std::string_view text() const { return AsText(view_); }
  [[nodiscard]] const std::shared_ptr<const void>& owner() const { return owner_; }

  /// `offset + count` must lie within the bytes.
  [[nodiscard]] SharedBytes Slice(std::size_t offset, std::size_t count) const {
    return {owner_, view_.subspan(offset, count)};
  }

 private:
  std::shared_ptr<const void> owner_;
  BytesView view_;
};

}  // namespace mezzo
