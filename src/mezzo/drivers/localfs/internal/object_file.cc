#include "mezzo/drivers/localfs/internal/object_file.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_checks.h"

namespace mezzo::drivers::internal {
namespace {

using storage::BlobFacts;
using storage::BlobKey;

constexpr std::string_view kMagic = "mezzo-blob 1\n";
constexpr std::size_t kCheckDigits = 16;

std::string CheckOf(std::string_view lines) { return Sha256Hex(lines).substr(0, kCheckDigits); }

std::string FormatTime(WallTime time) { return std::to_string(time.time_since_epoch().count()); }

std::optional<WallTime> ParseTime(std::string_view text) {
  std::int64_t nanos = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), nanos);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return WallTime(Duration(nanos));
}

/// Takes lines "name=value" off the front of a trailer.
class Lines {
 public:
  explicit Lines(std::string_view rest) : rest_(rest) {}

  std::optional<std::string_view> Take(std::string_view name) {
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view line = rest_.substr(0, end);
    if (!line.starts_with(name) || !line.substr(name.size()).starts_with('=')) return std::nullopt;
    rest_.remove_prefix(end + 1);
    return line.substr(name.size() + 1);
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

bool IsSha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<BlobFacts> Parse(const BlobKey& key, std::string_view trailer) {
  if (trailer.size() != kTrailerBytes || !trailer.starts_with(kMagic)) return std::nullopt;
  Lines lines(trailer.substr(kMagic.size()));
  const auto key_text = lines.Take("key");
  const auto size_text = lines.Take("size");
  const auto sha256 = lines.Take("sha256");
  const auto type = lines.Take("type");
  const auto stored_text = lines.Take("stored");
  const auto expires_text = lines.Take("expires");
  const std::size_t checked = trailer.size() - lines.rest().size();
  const auto check = lines.Take("check");
  if (!key_text || !size_text || !sha256 || !type || !stored_text || !expires_text || !check)
    return std::nullopt;

  const auto size = ParseUint(*size_text);
  const auto stored = ParseTime(*stored_text);
  const auto expires = *expires_text == "-" ? std::optional<WallTime>() : ParseTime(*expires_text);
  const bool good = *key_text == key.text() && size && IsSha256(*sha256) &&
                    storage::CheckContentType(*type).ok() && stored && (expires || *expires_text == "-") &&
                    *check == CheckOf(trailer.substr(0, checked)) &&
                    lines.rest().find_first_not_of('\n') == std::string_view::npos;
  if (!good) return std::nullopt;
  return BlobFacts{.key = key,
                   .size = *size,
                   .sha256 = std::string(*sha256),
                   .content_type = std::string(*type),
                   .etag = std::string(*sha256),
                   .stored_at = *stored,
                   .expires_at = expires};
}

}  // namespace

std::string EncodeTrailer(const BlobFacts& facts) {
  std::string trailer(kMagic);
  const auto line = [&trailer](std::string_view name, std::string_view value) {
    trailer.append(name).append("=").append(value).append("\n");
  };
  line("key", facts.key.text());
  line("size", std::to_string(facts.size));
  line("sha256", facts.sha256);
  line("type", facts.content_type);
  line("stored", FormatTime(facts.stored_at));
  line("expires", facts.expires_at ? FormatTime(*facts.expires_at) : "-");
  line("check", CheckOf(trailer));
  MEZZO_CHECK(trailer.size() <= kTrailerBytes);  // Keys and content types have their limits.
  trailer.resize(kTrailerBytes, '\n');
  return trailer;
}

Result<BlobFacts> DecodeTrailer(const BlobKey& key, std::string_view trailer) {
  if (auto facts = Parse(key, trailer)) return *std::move(facts);
  return storage::BlobCorrupt(key, "its file does not end in the facts of this object");
}

}  // namespace mezzo::drivers::internal
