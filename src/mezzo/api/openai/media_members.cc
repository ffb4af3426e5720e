#include "mezzo/api/openai/media_members.h"

#include <charconv>
#include <cmath>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/api/json_body.h"
#include "mezzo/api/json_text.h"
#include "mezzo/base/strings.h"
#include "mezzo/jobs/webhook_target.h"

namespace mezzo::api::openai {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxFieldBytes = std::size_t{1} << 20;
constexpr std::uint64_t kMaxSide = 16'384;

Error BadBody(std::string message) { return InvalidArgument("media_request", std::move(message)); }

std::string Shown(const Json& value) {
  return Printable(value.is_string() ? value.get_ref<const std::string&>()
                                     : value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string Joined(std::initializer_list<std::string_view> values) {
  std::string text;
  for (const std::string_view value : values) text += (text.empty() ? "" : ", ") + std::string(value);
  return text;
}

}  // namespace

MediaMembers::MediaMembers(Json members, bool form)
    : members_(std::make_unique<Json>(std::move(members))), form_(form) {}
MediaMembers::~MediaMembers() = default;
MediaMembers::MediaMembers(MediaMembers&&) noexcept = default;
MediaMembers& MediaMembers::operator=(MediaMembers&&) noexcept = default;

Result<MediaMembers> MediaMembers::FromJson(std::string_view body) {
  MEZZO_TRY(Json json, ParseJsonObject<Json>(body, kMaxDepth, BadBody));
  return MediaMembers(std::move(json), /*form=*/false);
}

Result<MediaMembers> MediaMembers::FromForm(std::span<const net::FormPart> parts) {
  Json members = Json::object();
  for (const net::FormPart& part : parts) {
    if (!part.file_name.empty()) continue;
    if (part.content.size() > kMaxFieldBytes || !IsUtf8(part.content) || !IsUtf8(part.name)) {
      return BadBody("the field '" + Printable(part.name) + "' is longer than " +
                     FormatBytes(kMaxFieldBytes) + " or no UTF-8");
    }
    members.emplace(part.name, std::string(part.content));
  }
  return MediaMembers(std::move(members), /*form=*/true);
}

Error MediaMembers::Bad(std::string_view name, std::string message) {
  param_ = name;
  return BadBody(std::move(message));
}

const Json* MediaMembers::Find(std::string_view name) const {
  const auto found = members_->find(name);
  if (found == members_->end() || found->is_null()) return nullptr;
  if (found->is_string() && found->get_ref<const std::string&>().empty()) return nullptr;
  return &*found;
}

bool MediaMembers::Has(std::string_view name) const { return Find(name) != nullptr; }

Result<std::string> MediaMembers::Text(std::string_view name, std::size_t max_bytes) {
  const Json* value = Find(name);
  if (value == nullptr) return std::string();
  if (!value->is_string())
    return Bad(name, fmt::format("'{}' must be a string, got {}", name, Shown(*value)));
  auto text = value->get<std::string>();
  if (text.size() <= max_bytes) return text;
  return Bad(name, fmt::format("'{}' has {} bytes; the limit is {}", name, text.size(), max_bytes));
}

Result<std::string> MediaMembers::OneOf(std::string_view name,
                                        std::initializer_list<std::string_view> values) {
  const Json* value = Find(name);
  if (value == nullptr) return std::string(*values.begin());
  for (const std::string_view known : values) {
    if (value->is_string() && value->get_ref<const std::string&>() == known) return std::string(known);
  }
  return Bad(name, fmt::format("'{}' must be one of {}, got '{}'", name, Joined(values), Shown(*value)));
}

Result<std::optional<std::uint64_t>> MediaMembers::ReadInteger(std::string_view name, bool or_text,
                                                               std::uint64_t min, std::uint64_t max) {
  const Json* value = Find(name);
  if (value == nullptr) return std::optional<std::uint64_t>();
  std::optional<std::uint64_t> number;
  if (value->is_number_unsigned()) number = value->get<std::uint64_t>();
  if (or_text && value->is_string()) number = ParseUint(value->get_ref<const std::string&>());
  if (number && *number >= min && *number <= max) return number;
  return Bad(name, fmt::format("'{}' must be an integer in [{}, {}], got {}", name, min, max, Shown(*value)));
}

Result<std::optional<std::uint64_t>> MediaMembers::Integer(std::string_view name, std::uint64_t min,
                                                           std::uint64_t max) {
  return ReadInteger(name, /*or_text=*/form_, min, max);
}

Result<std::optional<std::uint64_t>> MediaMembers::IntegerOrText(std::string_view name, std::uint64_t min,
                                                                 std::uint64_t max) {
  return ReadInteger(name, /*or_text=*/true, min, max);
}

Result<std::optional<double>> MediaMembers::Number(std::string_view name, double min, double max) {
  const Json* value = Find(name);
  if (value == nullptr) return std::optional<double>();
  double number = std::nan("");
  if (value->is_number()) number = value->get<double>();
  if (form_) {
    const auto& text = value->get_ref<const std::string&>();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) number = std::nan("");
  }
  if (number >= min && number <= max) return std::optional<double>(number);
  return Bad(name, fmt::format("'{}' must be a number in [{}, {}], got {}", name, min, max, Shown(*value)));
}

Result<std::string> MediaMembers::TextIn(std::string_view name, std::string_view member,
                                         std::size_t max_bytes) {
  const Json* object = Find(name);
  if (object == nullptr) return std::string();
  if (!object->is_object()) return Bad(name, fmt::format("'{}' must be an object", name));
  const auto found = object->find(member);
  if (found == object->end() || found->is_null()) return std::string();
  if (!found->is_string()) return Bad(name, fmt::format("'{}.{}' must be a string", name, member));
  auto text = found->get<std::string>();
  if (text.size() <= max_bytes) return text;
  return Bad(name,
             fmt::format("'{}.{}' has {} bytes; the limit is {}", name, member, text.size(), max_bytes));
}

Result<bool> MediaMembers::Flag(std::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr) return false;
  if (value->is_boolean()) return value->get<bool>();
  if (form_ && (*value == "true" || *value == "false")) return *value == "true";
  return Bad(name, fmt::format("'{}' must be true or false, got {}", name, Shown(*value)));
}

Result<jobs::Tier> MediaMembers::Tier() {
  MEZZO_TRY(const std::string name, OneOf("tier", {"free", "urgent", "paid"}));
  return jobs::ParseTier(name);
}

Result<std::optional<jobs::WebhookTarget>> MediaMembers::Webhook() {
  jobs::WebhookTarget target;
  const Json* object = Find("webhook");
  if (object != nullptr) {
    if (!object->is_object()) return Bad("webhook", "'webhook' must be an object with url and secret");
    for (const auto& [name, value] : object->items()) {
      const bool known = name == "url" || name == "secret";
      if (!known || !value.is_string()) return Bad("webhook", "'webhook' has the texts url and secret only");
      (name == "url" ? target.url : target.secret) = value.get<std::string>();
    }
  } else if (form_ && (Has("webhook[url]") || Has("webhook[secret]"))) {
    const Json* url = Find("webhook[url]");
    const Json* secret = Find("webhook[secret]");
    if (url != nullptr) target.url = url->get<std::string>();
    if (secret != nullptr) target.secret = secret->get<std::string>();
  } else {
    return std::optional<jobs::WebhookTarget>();
  }
  if (const auto checked = jobs::CheckWebhookTarget(target); !checked.ok()) {
    return Bad("webhook", checked.error().message());
  }
  return std::optional<jobs::WebhookTarget>(std::move(target));
}

Result<std::string> ReadSize(MediaMembers& members) {
  constexpr std::size_t kLongest = 32;
  MEZZO_TRY(std::string size, members.Text("size", kLongest));
  if (size.empty() || size == "auto") return std::string();
  const std::size_t x = size.find('x');
  const auto width = ParseUint(std::string_view(size).substr(0, x));
  const auto height = x == std::string::npos ? std::nullopt : ParseUint(std::string_view(size).substr(x + 1));
  if (width && height && *width > 0 && *width <= kMaxSide && *height > 0 && *height <= kMaxSide) {
    return fmt::format("{}x{}", *width, *height);
  }
  return members.Bad(
      "size", fmt::format("'size' must be auto or WIDTHxHEIGHT with sides in [1, {}], got '{}'", kMaxSide,
                          Printable(size)));
}

}  // namespace mezzo::api::openai
