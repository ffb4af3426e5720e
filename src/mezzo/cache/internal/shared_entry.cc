#include "mezzo/cache/internal/shared_entry.h"

#include <chrono>
#include <cstring>

namespace mezzo::cache::internal {
namespace {

constexpr std::string_view kMagic = "MZC1";  // The last digit is the form's version.
constexpr std::size_t kHead = 4 + 1 + 8 + 32 + 8 + 8 + 8 + 8;
constexpr std::size_t kMac = 32;

void Write64(std::uint64_t number, std::string& out) {
  for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(number >> shift));
}

std::uint64_t Read64(std::string_view bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    number |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return number;
}

std::uint64_t Millis(WallTime time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

std::optional<WallTime> ReadTime(std::string_view bytes) {
  constexpr std::uint64_t kLast = 4'102'444'800'000;  // The year 2100: fits nanoseconds.
  const std::uint64_t millis = Read64(bytes);
  if (millis > kLast) return std::nullopt;
  return WallTime(std::chrono::milliseconds(millis));
}

/// Takes equally long wherever the first difference is.
bool Equal(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
  }
  return difference == 0;
}

}  // namespace

std::string SealEntry(const SharedEntry& entry, std::string_view secret) {
  std::string out;
  out.reserve(kHead + entry.payload.size() + kMac);
  out += kMagic;
  out.push_back(static_cast<char>(entry.kind));
  Write64(entry.epoch, out);
  out += AsText(entry.key);
  Write64(Millis(entry.stored), out);
  Write64(Millis(entry.expires), out);
  Write64(static_cast<std::uint64_t>(entry.cost.count()), out);
  Write64(entry.payload.size(), out);
  out += entry.payload;
  const Sha256Digest mac = HmacSha256(secret, out);
  out += AsText(mac);
  return out;
}

std::optional<SharedEntry> OpenEntry(std::string_view stored, std::string_view secret) {
  if (stored.size() < kHead + kMac || !stored.starts_with(kMagic)) return std::nullopt;
  const std::string_view body = stored.substr(0, stored.size() - kMac);
  const Sha256Digest mac = HmacSha256(secret, body);
  if (!Equal(AsText(mac), stored.substr(body.size()))) return std::nullopt;
  std::size_t at = kMagic.size();
  const auto take = [&](std::size_t count) {
    const std::string_view piece = body.substr(at, count);
    at += count;
    return piece;
  };
  SharedEntry entry;
  entry.kind = static_cast<SharedEntry::Kind>(take(1)[0]);
  entry.epoch = Read64(take(8));
  std::memcpy(entry.key.data(), take(entry.key.size()).data(), entry.key.size());
  const auto stored_at = ReadTime(take(8));
  const auto expires = ReadTime(take(8));
  entry.cost = Duration(static_cast<std::int64_t>(Read64(take(8))));
  const std::uint64_t size = Read64(take(8));
  const bool known = entry.kind == SharedEntry::Kind::kValue || entry.kind == SharedEntry::Kind::kError ||
                     entry.kind == SharedEntry::Kind::kRefused;
  if (!known || !stored_at || !expires || entry.cost < Duration::zero() || size != body.size() - kHead) {
    return std::nullopt;
  }
  entry.stored = *stored_at;
  entry.expires = *expires;
  entry.payload = body.substr(kHead);
  return entry;
}

std::string ErrorPayload(const Error& error) {
  std::string out(1, static_cast<char>(error.code()));
  Write64(error.reason().size(), out);
  out += error.reason();
  out += error.message();
  return out;
}

std::optional<Error> ReadErrorPayload(std::string_view payload) {
  constexpr std::size_t kStart = 1 + 8;
  if (payload.size() < kStart) return std::nullopt;
  const auto code = static_cast<Code>(payload[0]);
  const std::uint64_t reason = Read64(payload.substr(1, 8));
  if (code < Code::kCancelled || code > Code::kUnauthenticated || reason > payload.size() - kStart) {
    return std::nullopt;
  }
  return Error(code, payload.substr(kStart, reason), std::string(payload.substr(kStart + reason)));
}

}  // namespace mezzo::cache::internal
