#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"

namespace mezzo::cache::internal {

/// What hosts keep for each other under a key's name.
struct SharedEntry {
  enum class Kind : std::uint8_t {
    kValue = 1,    ///< The payload is a result, in the form of whoever made it.
    kError = 2,    ///< The payload is an error (ErrorPayload) that would come again.
    kRefused = 3,  ///< The result is not for sharing: hosts compute it each for itself. No payload.
  };
  Kind kind = Kind::kValue;
  std::uint64_t epoch = 0;  ///< Of the model when the computation began.
  Sha256Digest key{};
  WallTime stored{};   ///< By the clock of the host that computed it; whole milliseconds.
  WallTime expires{};  ///< The same.
  Duration cost{};     ///< What computing it took.
  std::string payload;
};

/// The bytes of an entry: a head of fixed size, the payload, and their HMAC-SHA256 by `secret`.
std::string SealEntry(const SharedEntry& entry, std::string_view secret);
/// The entry that `stored` is; nothing when its form, its sizes or its HMAC are not right. Whether it answers
/// what was asked (key, epoch, time) is the caller's to compare.
std::optional<SharedEntry> OpenEntry(std::string_view stored, std::string_view secret);

std::string ErrorPayload(const Error& error);
std::optional<Error> ReadErrorPayload(std::string_view payload);

}  // namespace mezzo::cache::internal
