#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "mezzo/base/result.h"
#include "mezzo/jobs/job.h"
#include "mezzo/net/multipart.h"

namespace mezzo::api::openai {

/// The body of a request for pictures or videos, from JSON or from a form, which clients send alike: members
/// by name, numbers and booleans of a form as their text. `null` and an empty text stand for a member left
/// out; members that nobody asks for are ignored, as docs/protocol-openai.md says.
///
/// Every failure is kInvalidArgument "media_request", and param() then names the member. One thread at a
/// time.
class MediaMembers {
 public:
  /// Fails on what is no JSON object, nests deeper than 8 levels, or is no UTF-8.
  static Result<MediaMembers> FromJson(std::string_view body);
  /// Takes the fields, not the files. Of two fields of one name the first counts.
  static Result<MediaMembers> FromForm(std::span<const net::FormPart> parts);
  ~MediaMembers();
  MediaMembers(MediaMembers&&) noexcept;
  MediaMembers& operator=(MediaMembers&&) noexcept;

  [[nodiscard]] bool Has(std::string_view name) const;
  Result<std::string> Text(std::string_view name, std::size_t max_bytes);
  /// One of the values, or the first one when it is left out.
  Result<std::string> OneOf(std::string_view name, std::initializer_list<std::string_view> values);
  Result<std::optional<std::uint64_t>> Integer(std::string_view name, std::uint64_t min, std::uint64_t max);
  /// The same for members that clients send as a text, too: "seconds": "15".
  Result<std::optional<std::uint64_t>> IntegerOrText(std::string_view name, std::uint64_t min,
                                                     std::uint64_t max);
  Result<std::optional<double>> Number(std::string_view name, double min, double max);
  /// A text within the object `name`; empty when either is left out. Forms have none.
  Result<std::string> TextIn(std::string_view name, std::string_view member, std::size_t max_bytes);
  Result<bool> Flag(std::string_view name);
  /// "tier": "paid", "urgent" or "free"; free when it is left out.
  Result<jobs::Tier> Tier();
  /// "webhook": {"url", "secret"}; of a form "webhook[url]" and "webhook[secret]".
  Result<std::optional<jobs::WebhookTarget>> Webhook();

  /// An error about a member.
  Error Bad(std::string_view name, std::string message);
  /// The member that the last failure is about; empty: the whole body.
  [[nodiscard]] const std::string& param() const { return param_; }

 private:
  explicit MediaMembers(nlohmann::json members, bool form);
  [[nodiscard]] const nlohmann::json* Find(std::string_view name) const;
  Result<std::optional<std::uint64_t>> ReadInteger(std::string_view name, bool or_text, std::uint64_t min,
                                                   std::uint64_t max);

  std::unique_ptr<nlohmann::json> members_;
  bool form_;
  std::string param_;
};

/// "WxH", or empty for "auto" and a member left out.
Result<std::string> ReadSize(MediaMembers& members);

}  // namespace mezzo::api::openai
