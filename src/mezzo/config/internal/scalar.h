#pragma once

#include <map>
#include <optional>
#include <string>

#include "mezzo/config/internal/node.h"
#include "mezzo/config/schema.h"

namespace mezzo::config::internal {

/// Where secrets come from, if they may.
struct SecretSource {
  enum class Policy : std::uint8_t { kRefuse, kKeepReference, kResolve };
  Policy policy = Policy::kRefuse;
  const std::map<std::string, std::string>* environment = nullptr;
};

/// True for the kinds a Scalar holds.
bool IsScalar(Kind kind);

/// Reads the scalar `node` as `type` within the bounds of `field`. The error's message has the place left out
/// and completes "<path> ...", as in "must be between 1 and 1024, not 5000".
Result<Scalar> ParseScalar(const ValueType& type, const FieldDescriptor& field, const Node& node,
                           const SecretSource& secrets);

/// What is wrong with a value of `type` under the bounds of `field`, completing "<path> ...".
std::optional<std::string> CheckBounds(const ValueType& type, const FieldDescriptor& field,
                                       const Scalar& value);
/// What is wrong with `length` bytes or items, completing "<path> ...".
std::optional<std::string> CheckLength(const LengthBounds& bounds, std::size_t length, std::string_view noun);

/// A bound in the notation of its field: "1024", "5ms", "64MiB".
std::string FormatBound(Kind kind, long double bound);
/// As YAML text, quoted where it must be; a set secret is "***".
std::string FormatScalar(const ValueType& type, const Scalar& value);
/// A YAML double-quoted string when plain text would not read back as itself.
std::string QuoteIfNeeded(std::string_view text);

/// "a whole number", "one of fifo, fair", ...: completes "must be ...".
std::string Expected(const ValueType& type);
/// "'yes'", "a list", ...: completes "not ...".
std::string Actual(const Node& node);

}  // namespace mezzo::config::internal
