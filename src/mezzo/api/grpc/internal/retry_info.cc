#include "mezzo/api/grpc/internal/retry_info.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace mezzo::api::rpc {
namespace {

void PutVarint(std::string& to, std::uint64_t value) {
  constexpr std::uint64_t kMore = 0x80;
  for (; value >= kMore; value >>= 7U) to.push_back(static_cast<char>(value | kMore));
  to.push_back(static_cast<char>(value));
}

void PutNumber(std::string& to, unsigned field, std::uint64_t value) {
  if (value == 0) return;
  PutVarint(to, field << 3U);
  PutVarint(to, value);
}

void PutBytes(std::string& to, unsigned field, std::string_view bytes) {
  constexpr unsigned kLengthDelimited = 2;
  PutVarint(to, (field << 3U) | kLengthDelimited);
  PutVarint(to, bytes.size());
  to += bytes;
}

}  // namespace

std::string RetryDetails(const Error& error, int code) {
  if (!error.retry_after()) return {};
  const Duration wait = std::max(*error.retry_after(), Duration::zero());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(wait);
  std::string delay;  // google.protobuf.Duration
  PutNumber(delay, 1, static_cast<std::uint64_t>(seconds.count()));
  PutNumber(delay, 2, static_cast<std::uint64_t>((wait - seconds).count()));
  std::string retry;  // google.rpc.RetryInfo
  PutBytes(retry, 1, delay);
  std::string any;  // google.protobuf.Any
  PutBytes(any, 1, "type.googleapis.com/google.rpc.RetryInfo");
  PutBytes(any, 2, retry);
  std::string status;  // google.rpc.Status
  PutNumber(status, 1, static_cast<std::uint64_t>(code));
  PutBytes(status, 2, error.message());
  PutBytes(status, 3, any);
  return status;
}

}  // namespace mezzo::api::rpc
