#include "mezzo/config/internal/scalar.h"

#include <algorithm>
#include <cfloat>
#include <charconv>
#include <cmath>
#include <fstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mezzo/base/strings.h"

namespace mezzo::config::internal {
namespace {

static_assert(LDBL_MANT_DIG >= 64, "bounds of 64-bit integers must be exact in long double");

constexpr std::size_t kMaxSecretBytes = std::size_t{64} << 10;
constexpr std::size_t kMaxShownBytes = 64;

Error Refuse(std::string message) { return InvalidArgument("config_invalid_value", std::move(message)); }

Error NotExpected(const ValueType& type, const Node& node) {
  return Refuse("must be " + Expected(type) + ", not " + Actual(node));
}

/// An optional '-' and digits without leading zeros: "010" means 8 to some readers and 10 to others.
bool IsWholeNumber(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// What is wrong with a number, given its text. Bounds are the declared ones within those of the C++ type.
std::optional<std::string> CheckNumber(const ValueType& type, const FieldDescriptor& field,
                                       long double number, std::string_view shown) {
  const bool typed = type.kind == Kind::kSigned || type.kind == Kind::kUnsigned || type.kind == Kind::kReal;
  std::optional<long double> min = field.min;
  std::optional<long double> max = field.max;
  if (typed) {
    min = std::max(min.value_or(type.min), type.min);
    max = std::min(max.value_or(type.max), type.max);
  }
  const bool below = min && number < *min;
  const bool above = max && number > *max;
  if (!below && !above) return std::nullopt;
  if (field.min && field.max) {
    return fmt::format("must be between {} and {}, not {}", FormatBound(type.kind, *min),
                       FormatBound(type.kind, *max), shown);
  }
  if (below) return fmt::format("must be at least {}, not {}", FormatBound(type.kind, *min), shown);
  return fmt::format("must be at most {}, not {}", FormatBound(type.kind, *max), shown);
}

Result<Scalar> ParseInteger(const ValueType& type, const FieldDescriptor& field, const Node& node) {
  if (node.style == Node::Style::kQuoted || !IsWholeNumber(node.text)) return NotExpected(type, node);
  const bool negative = node.text[0] == '-';
  const auto magnitude = ParseUint(std::string_view(node.text).substr(negative ? 1 : 0));
  const long double number = magnitude ? static_cast<long double>(*magnitude) : HUGE_VALL;
  if (auto problem =
          CheckNumber(type, field, negative ? -number : number, Printable(node.text, kMaxShownBytes))) {
    return Refuse(*problem);
  }
  if (type.kind == Kind::kUnsigned) return Scalar(magnitude.value_or(0));
  const std::uint64_t bits = magnitude.value_or(0);
  return Scalar(static_cast<std::int64_t>(negative ? std::uint64_t{0} - bits : bits));
}

Result<Scalar> ParseReal(const ValueType& type, const FieldDescriptor& field, const Node& node) {
  double number = 0;
  const char* end = node.text.data() + node.text.size();
  const auto [stopped, failure] = std::from_chars(node.text.data(), end, number);
  if (node.style == Node::Style::kQuoted || failure == std::errc::invalid_argument || stopped != end) {
    return NotExpected(type, node);
  }
  if (failure == std::errc::result_out_of_range || !std::isfinite(number)) {
    return Refuse("must be a finite number that fits a double, not " + Printable(node.text, kMaxShownBytes));
  }
  if (auto problem = CheckNumber(type, field, number, Printable(node.text, kMaxShownBytes)))
    return Refuse(*problem);
  return Scalar(number);
}

Result<Scalar> ParseEnum(const ValueType& type, const Node& node) {
  for (std::size_t i = 0; i < type.names.size(); ++i) {
    if (type.names[i] == node.text) return Scalar(static_cast<std::uint64_t>(i));
  }
  return NotExpected(type, node);
}

Result<std::string> ReadSecretFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxSecretBytes + 1, '\0');
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad() || (file.fail() && !file.eof())) {
    return Refuse("refers to the file " + Printable(path) + ", which cannot be read");
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxSecretBytes) {
    return Refuse(
        fmt::format("refers to the file {}, which has more than {} bytes", Printable(path), kMaxSecretBytes));
  }
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  if (text.empty()) return Refuse("refers to the file " + Printable(path) + ", which is empty");
  return text;
}

Result<Scalar> ParseSecret(const Node& node, const SecretSource& secrets) {
  const std::string_view text = node.text;
  const bool is_file = text.starts_with("file:/");
  const bool is_variable = text.starts_with("env:") && text.size() > 4;
  if (!is_file && !is_variable) {
    return Refuse("must be a reference file:/path or env:NAME, not a literal value (not shown here)");
  }
  switch (secrets.policy) {
    case SecretSource::Policy::kRefuse:
      return Refuse("must not be given here: secrets belong into the server's own configuration");
    case SecretSource::Policy::kKeepReference:
      return Scalar(Secret(node.text, ""));
    case SecretSource::Policy::kResolve:
      break;
  }
  if (is_file) {
    MEZZO_TRY(std::string value, ReadSecretFile(node.text.substr(5)));
    return Scalar(Secret(node.text, std::move(value)));
  }
  const std::string name = node.text.substr(4);
  const auto found = secrets.environment->find(name);
  if (found == secrets.environment->end() || found->second.empty()) {
    return Refuse("refers to the environment variable " + Printable(name) + ", which is not set");
  }
  return Scalar(Secret(node.text, found->second));
}

/// Numbers of a scalar that has bounds, exactly.
std::optional<long double> NumberOf(const Scalar& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return *number;
  if (const auto* number = std::get_if<double>(&value)) return *number;
  return std::nullopt;
}

}  // namespace

bool IsScalar(Kind kind) {
  return kind != Kind::kOptional && kind != Kind::kList && kind != Kind::kMap && kind != Kind::kStruct;
}

Result<Scalar> ParseScalar(const ValueType& type, const FieldDescriptor& field, const Node& node,
                           const SecretSource& secrets) {
  if (node.kind != Node::Kind::kScalar) {
    // An unset secret has no other notation.
    if (type.kind == Kind::kSecret && node.kind == Node::Kind::kNull) return Scalar(Secret());
    return NotExpected(type, node);
  }
  switch (type.kind) {
    case Kind::kBool:
      if (node.style == Node::Style::kQuoted || (node.text != "true" && node.text != "false")) {
        return NotExpected(type, node);
      }
      return Scalar(node.text == "true");
    case Kind::kSigned:
    case Kind::kUnsigned:
      return ParseInteger(type, field, node);
    case Kind::kReal:
      return ParseReal(type, field, node);
    case Kind::kEnum:
      return ParseEnum(type, node);
    case Kind::kSecret:
      return ParseSecret(node, secrets);
    case Kind::kDuration: {
      auto duration = ParseDuration(node.text);
      if (!duration.ok()) return Refuse("must be " + duration.error().message());
      if (auto problem = CheckBounds(type, field, Scalar(duration->count()))) return Refuse(*problem);
      return Scalar(static_cast<std::int64_t>(duration->count()));
    }
    case Kind::kBytes: {
      auto size = ParseByteSize(node.text);
      if (!size.ok()) return Refuse("must be " + size.error().message());
      if (auto problem = CheckBounds(type, field, Scalar(size->value))) return Refuse(*problem);
      return Scalar(size->value);
    }
    default:
      return Scalar(node.text);
  }
}

std::optional<std::string> CheckBounds(const ValueType& type, const FieldDescriptor& field,
                                       const Scalar& value) {
  if (type.kind == Kind::kEnum) {
    if (std::get<std::uint64_t>(value) < type.names.size()) return std::nullopt;
    return "must be " + Expected(type);
  }
  const auto number = NumberOf(value);
  if (!number) return std::nullopt;
  return CheckNumber(type, field, *number, FormatScalar(type, value));
}

std::optional<std::string> CheckLength(const LengthBounds& bounds, std::size_t length,
                                       std::string_view noun) {
  if (length >= bounds.min && length <= bounds.max) return std::nullopt;
  if (bounds.min == 1 && length == 0) return "must not be empty";
  if (length < bounds.min) return fmt::format("must have at least {} {}, not {}", bounds.min, noun, length);
  return fmt::format("must have at most {} {}, not {}", bounds.max, noun, length);
}

std::string FormatBound(Kind kind, long double bound) {
  switch (kind) {
    case Kind::kDuration:
      return FormatDuration(Duration(static_cast<std::int64_t>(bound)));
    case Kind::kBytes:
      return FormatByteSize(ByteSize(static_cast<ByteCount>(bound)));
    case Kind::kReal:
      return fmt::format("{}", static_cast<double>(bound));
    default:
      return bound < 0 ? fmt::format("{}", static_cast<std::int64_t>(bound))
                       : fmt::format("{}", static_cast<std::uint64_t>(bound));
  }
}

std::string QuoteIfNeeded(std::string_view text) {
  static constexpr std::string_view kSafe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
  const std::string lower = ToLower(text);
  const bool word = !text.empty() && text.find_first_not_of(kSafe) == std::string_view::npos &&
                    text[0] != '-' && text[0] != '.' && lower != "null";
  if (word) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string FormatScalar(const ValueType& type, const Scalar& value) {
  switch (type.kind) {
    case Kind::kBool:
      return std::get<bool>(value) ? "true" : "false";
    case Kind::kSigned:
      return fmt::format("{}", std::get<std::int64_t>(value));
    case Kind::kUnsigned:
      return fmt::format("{}", std::get<std::uint64_t>(value));
    case Kind::kReal:
      return fmt::format("{}", std::get<double>(value));
    case Kind::kDuration:
      return FormatDuration(Duration(std::get<std::int64_t>(value)));
    case Kind::kBytes:
      return FormatByteSize(ByteSize(std::get<std::uint64_t>(value)));
    case Kind::kEnum: {
      const std::uint64_t index = std::get<std::uint64_t>(value);
      return index < type.names.size() ? QuoteIfNeeded(type.names[index]) : "(unnamed)";
    }
    case Kind::kSecret:
      return std::get<Secret>(value).is_set() ? "\"***\"" : "null";
    default:
      return QuoteIfNeeded(std::get<std::string>(value));
  }
}

std::string Expected(const ValueType& type) {
  switch (type.kind) {
    case Kind::kBool:
      return "true or false";
    case Kind::kSigned:
    case Kind::kUnsigned:
      return "a whole number";
    case Kind::kReal:
      return "a number";
    case Kind::kText:
      return "a string";
    case Kind::kDuration:
      return "a duration like '5ms'";
    case Kind::kBytes:
      return "a size like '64MiB'";
    case Kind::kEnum:
      return fmt::format("one of {}", fmt::join(type.names, ", "));
    case Kind::kSecret:
      return "a reference file:/path or env:NAME";
    case Kind::kOptional:
      return Expected(*type.element);
    case Kind::kList:
      return "a list";
    case Kind::kMap:
    case Kind::kStruct:
      return "a mapping";
  }
  return "";
}

std::string Actual(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "null";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "a mapping";
    case Node::Kind::kScalar:
      break;
  }
  const std::string shown = "'" + Printable(node.text, kMaxShownBytes) + "'";
  return node.style == Node::Style::kQuoted ? "the string " + shown : shown;
}

}  // namespace mezzo::config::internal
