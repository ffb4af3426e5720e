#pragma once

// The templates behind TypeOf(): included by schema.h only.

#include "mezzo/config/schema.h"

namespace mezzo::config::internal {

template <typename T>
struct IsStrongId : std::false_type {};
template <typename Tag>
struct IsStrongId<StrongId<Tag>> : std::true_type {};

template <typename T>
T& As(void* object) {
  return *static_cast<T*>(object);
}
template <typename T>
const T& As(const void* object) {
  return *static_cast<const T*>(object);
}

/// Scalars that are held by a `Held` alternative of Scalar; `pack` and `unpack` convert.
template <typename T, typename Held>
ValueType ScalarType(Kind kind, T (*pack)(const Held&), Held (*unpack)(const T&)) {
  ValueType type;
  type.kind = kind;
  type.store = [pack](void* object, const Scalar& value) { As<T>(object) = pack(std::get<Held>(value)); };
  type.fetch = [unpack](const void* object) -> Scalar { return unpack(As<T>(object)); };
  return type;
}

template <typename T, typename Held>
ValueType NumberType(Kind kind) {
  ValueType type = ScalarType<T, Held>(
      kind, [](const Held& held) { return static_cast<T>(held); },
      [](const T& value) { return static_cast<Held>(value); });
  type.min = static_cast<long double>(std::numeric_limits<T>::lowest());
  type.max = static_cast<long double>(std::numeric_limits<T>::max());
  return type;
}

template <typename T>
ValueType EnumType() {
  ValueType type;
  type.kind = Kind::kEnum;
  for (const auto& entry : EnumNames<T>::kNames) type.names.emplace_back(entry.name);
  type.store = [](void* object, const Scalar& value) {
    As<T>(object) = EnumNames<T>::kNames[std::get<std::uint64_t>(value)].value;
  };
  // A value without a name is reported as the index past the last.
  type.fetch = [](const void* object) -> Scalar {
    std::uint64_t index = 0;
    for (const auto& entry : EnumNames<T>::kNames) {
      if (entry.value == As<T>(object)) break;
      ++index;
    }
    return index;
  };
  return type;
}

template <typename T>
struct ContainerType {
  static constexpr bool kIs = false;
};

template <typename E>
struct ContainerType<std::optional<E>> {
  static constexpr bool kIs = true;
  static ValueType Make() {
    using T = std::optional<E>;
    ValueType type;
    type.kind = Kind::kOptional;
    type.element = &TypeOf<E>();
    type.clear = [](void* object) { As<T>(object).reset(); };
    type.add = [](void* object, const std::string&) -> void* { return &As<T>(object).emplace(); };
    type.visit = [](const void* object, const ValueType::Visitor& visitor) {
      if (As<T>(object)) visitor("", &*As<T>(object));
    };
    return type;
  }
};

template <typename E>
struct ContainerType<std::vector<E>> {
  static_assert(!std::is_same_v<E, bool>, "std::vector<bool> has no addressable elements; use an enum");
  static constexpr bool kIs = true;
  static ValueType Make() {
    using T = std::vector<E>;
    ValueType type;
    type.kind = Kind::kList;
    type.element = &TypeOf<E>();
    type.clear = [](void* object) { As<T>(object).clear(); };
    type.add = [](void* object, const std::string&) -> void* { return &As<T>(object).emplace_back(); };
    type.visit = [](const void* object, const ValueType::Visitor& visitor) {
      for (const E& element : As<T>(object)) visitor("", &element);
    };
    return type;
  }
};

template <typename E>
struct ContainerType<std::map<std::string, E>> {
  static constexpr bool kIs = true;
  static ValueType Make() {
    using T = std::map<std::string, E>;
    ValueType type;
    type.kind = Kind::kMap;
    type.element = &TypeOf<E>();
    type.clear = [](void* object) { As<T>(object).clear(); };
    type.add = [](void* object, const std::string& key) -> void* { return &As<T>(object)[key]; };
    type.visit = [](const void* object, const ValueType::Visitor& visitor) {
      for (const auto& [key, element] : As<T>(object)) visitor(key, &element);
    };
    return type;
  }
};

template <typename T>
ValueType StructType() {
  ValueType type;
  type.kind = Kind::kStruct;
  std::apply([&type](auto&&... fields) { (type.fields.push_back(std::move(fields)), ...); },
             Schema<T>::Fields());
  if constexpr (requires(const T& value) { Schema<T>::Validate(value); }) {
    type.validate = [](const void* object) -> std::optional<std::string> {
      return Schema<T>::Validate(As<T>(object));
    };
  }
  type.make = []() -> std::shared_ptr<const void> { return std::make_shared<T>(); };
  return type;
}

template <typename T>
ValueType MakeType() {
  if constexpr (std::is_same_v<T, bool>) {
    return ScalarType<T, bool>(Kind::kBool, [](const bool& v) { return v; }, [](const bool& v) { return v; });
  } else if constexpr (std::is_same_v<T, Duration>) {
    return ScalarType<T, std::int64_t>(
        Kind::kDuration, [](const std::int64_t& v) { return Duration(v); },
        [](const Duration& v) { return static_cast<std::int64_t>(v.count()); });
  } else if constexpr (std::is_same_v<T, ByteSize>) {
    return ScalarType<T, std::uint64_t>(
        Kind::kBytes, [](const std::uint64_t& v) { return ByteSize(v); },
        [](const ByteSize& v) { return v.value; });
  } else if constexpr (std::is_same_v<T, Secret>) {
    return ScalarType<T, Secret>(
        Kind::kSecret, [](const Secret& v) { return v; }, [](const Secret& v) { return v; });
  } else if constexpr (std::is_same_v<T, std::string>) {
    return ScalarType<T, std::string>(
        Kind::kText, [](const std::string& v) { return v; }, [](const std::string& v) { return v; });
  } else if constexpr (IsStrongId<T>::value) {
    return ScalarType<T, std::string>(
        Kind::kText, [](const std::string& v) { return T(v); }, [](const T& v) { return v.str(); });
  } else if constexpr (std::is_enum_v<T>) {
    return EnumType<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    return NumberType<T, double>(Kind::kReal);
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return NumberType<T, std::int64_t>(Kind::kSigned);
  } else if constexpr (std::is_integral_v<T>) {
    return NumberType<T, std::uint64_t>(Kind::kUnsigned);
  } else if constexpr (ContainerType<T>::kIs) {
    return ContainerType<T>::Make();
  } else {
    return StructType<T>();
  }
}

}  // namespace mezzo::config::internal

namespace mezzo::config {

template <typename T>
const ValueType& TypeOf() {
  // Never destroyed: descriptors of other types point here.
  static const ValueType& type = *new ValueType(internal::MakeType<T>());
  return type;
}

}  // namespace mezzo::config
