#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "mezzo/base/strong_id.h"
#include "mezzo/config/value.h"

/// How a module declares its configuration: a plain struct with defaults and, beside it, its schema.
///
///   namespace mezzo::sched { struct BatchingConfig { std::size_t max_rows = 8; Duration max_delay = 5ms; };
///   } template <> struct mezzo::config::Schema<mezzo::sched::BatchingConfig> {
///     static auto Fields() {
///       using C = sched::BatchingConfig;
///       return std::tuple{
///           Field("max_rows", &C::max_rows, "Rows per batch.", Range(1, 1024), Reload::kLive),
///           Field("max_delay", &C::max_delay, "Longest wait of the oldest.", Range(0ms, 1000ms))};
///     }
///     // Optional: what holds between fields. The text completes "<section> ...".
///     static std::optional<std::string> Validate(const sched::BatchingConfig& c);
///   };
///
/// Field types: bool, integers, floating point, std::string, StrongId, Duration, ByteSize, Secret, enums with
/// EnumNames, structs with a Schema, and std::optional, std::vector and std::map<std::string, …> of those.
/// A struct must not contain itself.
namespace mezzo::config {

/// What a changed value needs: nothing, or a restart.
enum class Reload : std::uint8_t { kLive, kRestart };

/// The schema of a struct; specialize it with a static Fields().
template <typename T>
struct Schema;

/// The names of an enum's values; specialize it with `static constexpr EnumName<E> kNames[] = {{E::kA,
/// "a"}};`.
template <typename E>
struct EnumNames;

template <typename E>
struct EnumName {
  E value;
  std::string_view name;
};

enum class BoundUnit : std::uint8_t { kNumber, kDuration, kBytes };

/// Inclusive bounds of a number, a duration (in nanoseconds) or a size (in bytes).
template <BoundUnit>
struct Bounds {
  std::optional<long double> min;
  std::optional<long double> max;
};

/// Inclusive bounds of a string's bytes or of a list's or map's items.
struct LengthBounds {
  std::size_t min = 0;
  std::size_t max = std::numeric_limits<std::size_t>::max();
};

/// Marks a field that must be given.
struct Required {};

namespace internal {

template <typename T>
constexpr auto ToBound(T value) {
  if constexpr (std::is_same_v<T, ByteSize>) {
    return std::pair(static_cast<long double>(value.value),
                     std::integral_constant<BoundUnit, BoundUnit::kBytes>());
  } else if constexpr (std::is_arithmetic_v<T>) {
    return std::pair(static_cast<long double>(value),
                     std::integral_constant<BoundUnit, BoundUnit::kNumber>());
  } else {
    return std::pair(static_cast<long double>(std::chrono::duration_cast<Duration>(value).count()),
                     std::integral_constant<BoundUnit, BoundUnit::kDuration>());
  }
}

}  // namespace internal

/// Both ends belong to the range. On optionals, lists and maps it bounds what is inside.
template <typename A, typename B>
constexpr auto Range(A min, B max) {
  const auto low = internal::ToBound(min);
  const auto high = internal::ToBound(max);
  static_assert(low.second == high.second, "the ends of a range must have one unit");
  return Bounds<low.second.value>{low.first, high.first};
}
template <typename A>
constexpr auto AtLeast(A min) {
  const auto low = internal::ToBound(min);
  return Bounds<low.second.value>{low.first, std::nullopt};
}
/// Bytes of a string, or items of a list or map.
constexpr LengthBounds Length(std::size_t min, std::size_t max) { return {min, max}; }
constexpr LengthBounds NotEmpty() { return {.min = 1}; }

enum class Kind : std::uint8_t {
  kBool,
  kSigned,
  kUnsigned,
  kReal,
  kText,
  kDuration,
  kBytes,
  kEnum,
  kSecret,
  kOptional,
  kList,
  kMap,
  kStruct,
};

/// A scalar on its way into or out of a struct: signed (kSigned, kDuration in ns), unsigned (kUnsigned,
/// kBytes, kEnum as index into the names), and the obvious ones.
using Scalar = std::variant<bool, std::int64_t, std::uint64_t, double, std::string, Secret>;

struct FieldDescriptor;

/// One C++ type, erased: what the loader and the reports need of it. Unused members are empty.
struct ValueType {
  using Visitor = std::function<void(const std::string& key, const void* value)>;

  Kind kind = Kind::kBool;
  long double min = 0;  ///< kSigned, kUnsigned, kReal: range of the C++ type.
  long double max = 0;
  std::vector<std::string> names;  ///< kEnum.
  std::function<void(void* object, const Scalar& value)> store;
  std::function<Scalar(const void* object)> fetch;

  const ValueType* element = nullptr;  ///< kOptional, kList, kMap.
  void (*clear)(void* object) = nullptr;
  /// Adds a default element (under `key` in a map) and returns it; valid until the next change.
  void* (*add)(void* object, const std::string& key) = nullptr;
  void (*visit)(const void* object, const Visitor& visitor) = nullptr;  ///< `key` is empty except in maps.

  std::vector<FieldDescriptor> fields;  ///< kStruct.
  std::optional<std::string> (*validate)(const void* object) = nullptr;
  std::shared_ptr<const void> (*make)() = nullptr;  ///< kStruct: a default object.
};

/// One field of a struct.
struct FieldDescriptor {
  std::string name;
  std::string doc;
  const ValueType* type = nullptr;
  std::function<void*(void* object)> locate;
  std::optional<long double> min;
  std::optional<long double> max;
  LengthBounds length;
  Reload reload = Reload::kRestart;
  bool required = false;
  std::function<std::optional<std::string>(const void* value)> check;
};

/// A condition on one field beyond bounds: `test` gets the value and returns what is wrong with it,
/// completing
/// "<path> ...", or nothing.
template <typename F>
struct Check {
  F test;
};
template <typename F>
Check(F) -> Check<F>;

/// The erased form of T, built once. Thread-safe.
template <typename T>
const ValueType& TypeOf();

/// Fails with "config_schema" when names are malformed or repeated, two paths share an environment name, or a
/// default breaks its own bounds: for a unit test of each schema.
Result<void> CheckSchema(const ValueType& type);
template <typename T>
Result<void> CheckSchema() {
  return CheckSchema(TypeOf<T>());
}

namespace internal {

template <typename T>
struct Leaf {
  using type = T;
};
template <typename T>
struct Leaf<std::optional<T>> : Leaf<T> {};
template <typename T>
struct Leaf<std::vector<T>> : Leaf<T> {};
template <typename T>
struct Leaf<std::map<std::string, T>> : Leaf<T> {};

template <typename M, BoundUnit unit>
void Apply(FieldDescriptor& field, const Bounds<unit>& bounds) {
  using Value = typename Leaf<M>::type;
  if constexpr (unit == BoundUnit::kDuration) {
    static_assert(std::is_same_v<Value, Duration>, "a range of durations needs a Duration field");
  } else if constexpr (unit == BoundUnit::kBytes) {
    static_assert(std::is_same_v<Value, ByteSize>, "a range of sizes needs a ByteSize field");
  } else {
    static_assert(std::is_arithmetic_v<Value>, "a range of numbers needs a number field");
  }
  field.min = bounds.min;
  field.max = bounds.max;
}
template <typename M>
void Apply(FieldDescriptor& field, LengthBounds length) {
  field.length = length;
}
template <typename M>
void Apply(FieldDescriptor& field, Reload reload) {
  field.reload = reload;
}
template <typename M>
void Apply(FieldDescriptor& field, Required) {
  field.required = true;
}
template <typename M, typename F>
void Apply(FieldDescriptor& field, Check<F> check) {
  field.check = [test = std::move(check.test)](const void* value) -> std::optional<std::string> {
    return test(*static_cast<const M*>(value));
  };
}

}  // namespace internal

/// Declares one field. Options, in any order: Range/AtLeast, Length/NotEmpty, Reload (default kRestart),
/// Required(), Check{...}.
template <typename C, typename M, typename... Options>
FieldDescriptor Field(std::string name, M C::* member, std::string doc, Options... options) {
  FieldDescriptor field;
  field.name = std::move(name);
  field.doc = std::move(doc);
  field.type = &TypeOf<M>();
  field.locate = [member](void* object) -> void* { return &(static_cast<C*>(object)->*member); };
  (internal::Apply<M>(field, std::move(options)), ...);
  return field;
}

}  // namespace mezzo::config

#include "mezzo/config/internal/type_of.h"  // IWYU pragma: export
