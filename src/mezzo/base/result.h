#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "mezzo/base/check.h"

namespace mezzo {

/// Canonical error codes: the set, names and numbers of gRPC (google/rpc/code.proto).
enum class Code : std::uint8_t {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

/// "INVALID_ARGUMENT" and so on.
std::string_view CodeName(Code code);

/// An expected failure. `reason` is a stable slug listed in schema/errors.toml that clients may branch on;
/// `message` is for people and names the thing and the limit.
class [[nodiscard]] Error {
 public:
  Error(Code code, std::string_view reason, std::string message)
      : code_(code), reason_(reason), message_(std::move(message)) {}

  [[nodiscard]] Code code() const { return code_; }
  [[nodiscard]] const std::string& reason() const { return reason_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  /// When the caller may come back; set on refusals.
  [[nodiscard]] const std::optional<std::chrono::nanoseconds>& retry_after() const { return retry_after_; }

  Error&& WithRetryAfter(std::chrono::nanoseconds after) && {
    retry_after_ = after;
    return std::move(*this);
  }
  /// Puts "context: " before the message.
  Error&& WithContext(std::string_view context) && {
    message_.insert(0, std::string(context) + ": ");
    return std::move(*this);
  }
  /// True for codes that may pass by themselves: unavailable, aborted, resource exhausted.
  [[nodiscard]] bool IsRetryable() const {
    return code_ == Code::kUnavailable || code_ == Code::kAborted || code_ == Code::kResourceExhausted;
  }
  /// "INVALID_ARGUMENT shape_overflow: ..." for logs and tests.
  [[nodiscard]] std::string ToString() const;

 private:
  Code code_;
  std::string reason_;
  std::string message_;
  std::optional<std::chrono::nanoseconds> retry_after_;
};

inline Error InvalidArgument(std::string_view reason, std::string message) {
  return {Code::kInvalidArgument, reason, std::move(message)};
}
inline Error NotFound(std::string_view reason, std::string message) {
  return {Code::kNotFound, reason, std::move(message)};
}
inline Error Unavailable(std::string_view reason, std::string message) {
  return {Code::kUnavailable, reason, std::move(message)};
}
inline Error Internal(std::string_view reason, std::string message) {
  return {Code::kInternal, reason, std::move(message)};
}
inline Error Unimplemented(std::string_view reason, std::string message) {
  return {Code::kUnimplemented, reason, std::move(message)};
}
inline Error ResourceExhausted(std::string_view reason, std::string message) {
  return {Code::kResourceExhausted, reason, std::move(message)};
}
inline Error DeadlineExceeded(std::string_view reason, std::string message) {
  return {Code::kDeadlineExceeded, reason, std::move(message)};
}
inline Error FailedPrecondition(std::string_view reason, std::string message) {
  return {Code::kFailedPrecondition, reason, std::move(message)};
}
inline Error PermissionDenied(std::string_view reason, std::string message) {
  return {Code::kPermissionDenied, reason, std::move(message)};
}
inline Error Unauthenticated(std::string_view reason, std::string message) {
  return {Code::kUnauthenticated, reason, std::move(message)};
}
inline Error AlreadyExists(std::string_view reason, std::string message) {
  return {Code::kAlreadyExists, reason, std::move(message)};
}
inline Error Cancelled(std::string_view reason, std::string message) {
  return {Code::kCancelled, reason, std::move(message)};
}

/// A value or an Error. Shaped as a subset of std::expected, which this libstdc++ lacks.
/// Reading the value of a failed result aborts.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(*-explicit-*)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(*-explicit-*)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  [[nodiscard]] T& value() & {
    MEZZO_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const& {
    MEZZO_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] T&& value() && {
    MEZZO_CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const& {
    MEZZO_CHECK(!ok());
    return *std::get_if<1>(&state_);
  }
  [[nodiscard]] Error&& error() && {
    MEZZO_CHECK(!ok());
    return std::move(*std::get_if<1>(&state_));
  }
  [[nodiscard]] T value_or(T fallback) && { return ok() ? std::move(*this).value() : std::move(fallback); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(*-explicit-*)

  [[nodiscard]] bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const { MEZZO_CHECK(ok()); }

  [[nodiscard]] const Error& error() const& {
    MEZZO_CHECK(!ok());
    return *error_;
  }
  [[nodiscard]] Error&& error() && {
    MEZZO_CHECK(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

namespace internal {
template <typename T>
T&& TakeValue(Result<T>& result) {
  return std::move(result).value();
}
}  // namespace internal

}  // namespace mezzo

#define MEZZO_INTERNAL_CONCAT2(a, b) a##b
#define MEZZO_INTERNAL_CONCAT(a, b) MEZZO_INTERNAL_CONCAT2(a, b)

#define MEZZO_INTERNAL_TRY(tmp, ret, decl, ...) \
  auto tmp = (__VA_ARGS__);                     \
  if (!tmp.ok()) [[unlikely]]                   \
    ret std::move(tmp).error();                 \
  decl = std::move(tmp).value()

/// MEZZO_TRY(auto x, F()): declares or assigns x from a Result, or returns its error from this function.
#define MEZZO_TRY(decl, ...) \
  MEZZO_INTERNAL_TRY(MEZZO_INTERNAL_CONCAT(mezzo_try_, __COUNTER__), return, decl, __VA_ARGS__)

/// The same inside a coroutine: MEZZO_CO_TRY(auto x, co_await F()).
#define MEZZO_CO_TRY(decl, ...) \
  MEZZO_INTERNAL_TRY(MEZZO_INTERNAL_CONCAT(mezzo_try_, __COUNTER__), co_return, decl, __VA_ARGS__)

/// For Result<void> (or when the value does not matter): returns the error, if any.
#define MEZZO_TRY_VOID(...)                                                     \
  do {                                                                          \
    if (auto mezzo_try_void = (__VA_ARGS__); !mezzo_try_void.ok()) [[unlikely]] \
      return std::move(mezzo_try_void).error();                                 \
  } while (false)

#define MEZZO_CO_TRY_VOID(...)                                                  \
  do {                                                                          \
    if (auto mezzo_try_void = (__VA_ARGS__); !mezzo_try_void.ok()) [[unlikely]] \
      co_return std::move(mezzo_try_void).error();                              \
  } while (false)
