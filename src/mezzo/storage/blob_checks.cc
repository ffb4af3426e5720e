#include "mezzo/storage/blob_checks.h"

#include <algorithm>

#include "mezzo/base/strings.h"
#include "mezzo/base/utf8.h"

namespace mezzo::storage {
namespace {

/// RFC 9110 section 5.6.2.
bool IsToken(std::string_view text) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";
  return !text.empty() && text.find_first_not_of(kAllowed) == std::string_view::npos;
}

bool IsPrintable(char c) { return c >= ' ' && c <= '~'; }

}  // namespace

Result<void> CheckContentType(std::string_view content_type) {
  const std::string_view media_type = Trim(content_type.substr(0, content_type.find(';')));
  const std::size_t slash = media_type.find('/');
  const bool good = content_type.size() <= kMaxContentType && slash != std::string_view::npos &&
                    IsToken(media_type.substr(0, slash)) && IsToken(media_type.substr(slash + 1)) &&
                    std::all_of(content_type.begin(), content_type.end(), IsPrintable);
  if (good) return {};
  return InvalidArgument("blob_content_type_invalid", "the content type '" + Printable(content_type) +
                                                          "' must be type/subtype of at most " +
                                                          std::to_string(kMaxContentType) +
                                                          " printable characters");
}

Result<void> CheckListArguments(const std::string& after, std::size_t limit) {
  if (limit < 1 || limit > kMaxBlobListLimit) {
    return InvalidArgument("blob_list_invalid", "a list's limit must be 1 to " +
                                                    std::to_string(kMaxBlobListLimit) + ", not " +
                                                    std::to_string(limit));
  }
  if (!after.empty() && !BlobKey::Parse(after).ok()) {
    return InvalidArgument("blob_list_invalid", "the cursor '" + Printable(after) + "' is no key");
  }
  return {};
}

Result<void> CheckUrlOptions(const BlobUrlOptions& options) {
  if (options.lifetime < kMinUrlLifetime || options.lifetime > kMaxUrlLifetime) {
    return InvalidArgument("blob_url_options_invalid", "a URL's lifetime must be 1 s to 7 days");
  }
  const std::string& name = options.file_name;
  const bool control = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < ' ' || c == '\x7f' || c == '/' || c == '\\';
  });
  if (name.size() > kMaxFileName || control || !IsUtf8(name)) {
    return InvalidArgument("blob_url_options_invalid",
                           "the file name '" + Printable(name) + "' must be at most " +
                               std::to_string(kMaxFileName) +
                               " bytes of UTF-8 without control characters and slashes");
  }
  return {};
}

Result<void> CheckDeadline(const Clock& clock, TimePoint deadline) {
  if (clock.Now() < deadline) return {};
  return BlobTimeout();
}

Result<ByteSpan> ResolveRange(const BlobKey& key, const ByteRange& range, ByteCount size) {
  if (range.offset > size) {
    return Error(Code::kOutOfRange, "blob_range",
                 "object '" + key.text() + "' has " + std::to_string(size) + " bytes, there is no byte " +
                     std::to_string(range.offset));
  }
  const ByteCount rest = size - range.offset;
  return ByteSpan{.offset = range.offset, .length = std::min(rest, range.length.value_or(rest))};
}

std::string ContentDisposition(std::string_view file_name) {
  return "attachment; filename*=UTF-8''" + PercentEncode(file_name);
}

Error BlobMissing(const BlobKey& key) {
  return NotFound("blob_missing", "there is no object '" + key.text() + "'");
}

Error BlobWriterClosed() {
  return FailedPrecondition("blob_writer_closed", "the object's writer has failed or committed before");
}

Error BlobTimeout() { return DeadlineExceeded("blob_timeout", "the object store did not answer in time"); }

Error BlobTooLarge(const BlobKey& key, ByteCount max_bytes) {
  return InvalidArgument("blob_too_large",
                         "object '" + key.text() + "' is larger than the limit of " + FormatBytes(max_bytes));
}

Error BlobCorrupt(const BlobKey& key, std::string_view what) {
  return Error(Code::kDataLoss, "blob_corrupt", "object '" + key.text() + "': " + std::string(what));
}

Result<void> ContentVerifier::Finish(const BlobFacts& facts) {
  if (!whole_ || HexEncode(sha_.Finish()) == facts.sha256) return {};
  return BlobCorrupt(facts.key, "the content does not have its SHA-256");
}

}  // namespace mezzo::storage
