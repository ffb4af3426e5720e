#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/sha256.h"

namespace mezzo::cache {

/// 256 bits of a text: two XXH3-128 with random secrets of this process, so that nobody outside can choose
/// texts that collide. Not the same in another process, and nothing to prove equality by.
using Fingerprint = std::array<std::uint64_t, 4>;

/// What an entry is found by: a 256-bit digest, and the text that it was made of, which is compared before a
/// hit is believed. Cheap to copy; copies share the text. Made by KeyBuilder only.
class CacheKey {
 public:
  /// What tables in this process find the key by.
  [[nodiscard]] const Fingerprint& fingerprint() const { return fingerprint_; }
  /// SHA-256 of text(): the name of the entry wherever hosts share it. Computed at each call, which takes
  /// several times as long as all the rest of a look-up in memory.
  [[nodiscard]] Sha256Digest Digest() const { return Sha256Of(AsBytes(*text_)); }
  [[nodiscard]] std::string_view text() const { return *text_; }
  [[nodiscard]] bool operator==(const CacheKey& other) const {
    return fingerprint_ == other.fingerprint_ && (text_ == other.text_ || *text_ == *other.text_);
  }

 private:
  friend class KeyBuilder;
  CacheKey(const Fingerprint& fingerprint, std::shared_ptr<const std::string> text)
      : fingerprint_(fingerprint), text_(std::move(text)) {}

  Fingerprint fingerprint_;
  std::shared_ptr<const std::string> text_;
};

/// Writes the canonical text of a key: pieces in the order of the calls, each with its type and its length in
/// front. So two builders have equal texts only when purpose, number, types and contents of all pieces are
/// equal, whatever bytes they hold.
///
///   KeyBuilder("infer").Text(model).Integer(version).Bytes(tensor).Members(parameters).Finish()
///
/// Not thread-safe.
class KeyBuilder {
 public:
  /// `purpose` keeps the keys of different users of one cache apart.
  /// `expected`: bytes of the text, if known, so that it need not grow.
  explicit KeyBuilder(std::string_view purpose, std::size_t expected = 0);

  KeyBuilder& Text(std::string_view text);
  KeyBuilder& Bytes(BytesView bytes);
  KeyBuilder& Integer(std::int64_t number);
  /// Names with values in any order: the key does not depend on it.
  KeyBuilder& Members(std::vector<std::pair<std::string, std::string>> members);

  /// The key of all that came. The builder is spent.
  [[nodiscard]] CacheKey Finish();

 private:
  void Length(char type, std::size_t length);

  std::string text_;
};

}  // namespace mezzo::cache
