#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"

namespace mezzo::storage {

/// Where an object lies: "tenant/job/attempt/name". Tenant, job and name are safe names (letters, digits,
/// "._-", no leading dot) of at most 64, 64 and 100 characters, the attempt is a decimal number. There is no
/// way to make another one, so a key can go into a path, a URL or a header as it is. Ordered by the bytes of
/// its text.
class BlobKey {
 public:
  static constexpr std::size_t kMaxTenant = 64;
  static constexpr std::size_t kMaxJob = 64;
  static constexpr std::size_t kMaxName = 100;
  static constexpr std::size_t kMaxText = kMaxTenant + 1 + kMaxJob + 1 + 10 + 1 + kMaxName;

  /// Both fail with kInvalidArgument "blob_key_invalid".
  static Result<BlobKey> Parse(std::string_view text);
  static Result<BlobKey> Make(const TenantId& tenant, std::string_view job, std::uint32_t attempt,
                              std::string_view name);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::string_view tenant() const { return Part(0, job_at_ - 1); }
  [[nodiscard]] std::string_view job() const { return Part(job_at_, attempt_at_ - 1); }
  /// As in the text: decimal, without leading zeros.
  [[nodiscard]] std::string_view attempt() const { return Part(attempt_at_, name_at_ - 1); }
  [[nodiscard]] std::string_view name() const { return Part(name_at_, text_.size()); }

  friend bool operator==(const BlobKey& a, const BlobKey& b) { return a.text_ == b.text_; }
  friend auto operator<=>(const BlobKey& a, const BlobKey& b) { return a.text_ <=> b.text_; }

 private:
  BlobKey(std::string text, std::size_t job_at, std::size_t attempt_at, std::size_t name_at)
      : text_(std::move(text)), job_at_(job_at), attempt_at_(attempt_at), name_at_(name_at) {}
  [[nodiscard]] std::string_view Part(std::size_t from, std::size_t to) const {
    return std::string_view(text_).substr(from, to - from);
  }

  std::string text_;
  std::size_t job_at_;
  std::size_t attempt_at_;
  std::size_t name_at_;
};

/// A folder of keys: all of a tenant, of a job or of an attempt, or everything. Whole parts only: the prefix
/// of tenant "a" holds nothing of tenant "ab".
class BlobPrefix {
 public:
  /// Every tenant: for the operator's own work, never for a request.
  static BlobPrefix All() { return BlobPrefix(""); }
  /// The others fail with kInvalidArgument "blob_key_invalid".
  static Result<BlobPrefix> Of(const TenantId& tenant);
  static Result<BlobPrefix> Of(const TenantId& tenant, std::string_view job);
  static Result<BlobPrefix> Of(const TenantId& tenant, std::string_view job, std::uint32_t attempt);

  /// "", or ends in '/'.
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool Contains(const BlobKey& key) const { return key.text().starts_with(text_); }

 private:
  explicit BlobPrefix(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace mezzo::storage
