#include "mezzo/tenancy/ledger/usage_record.h"

#include <bit>
#include <cstring>
#include <type_traits>

#include "mezzo/base/bytes.h"
#include "mezzo/base/check.h"
#include "mezzo/base/sha256.h"

namespace mezzo::tenancy {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::uint32_t kMagic = 0x31557A4D;  // "MzU1"
constexpr std::size_t kDigestBytes = 8;
constexpr std::size_t kHeadBytes = 4 + 4 + kDigestBytes;
constexpr std::uint32_t kMaxPayload = 16U << 20U;

template <typename T>
void Put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

template <typename T>
bool Take(std::string_view& in, T& value) {
  if (in.size() < sizeof(T)) return false;
  std::memcpy(&value, in.data(), sizeof(T));
  in.remove_prefix(sizeof(T));
  return true;
}

bool TakeText(std::string_view& in, std::string& text) {
  std::uint16_t size = 0;
  if (!Take(in, size) || in.size() < size) return false;
  text.assign(in.substr(0, size));
  in.remove_prefix(size);
  return true;
}

std::string DigestOf(std::string_view epoch, std::string_view payload) {
  Sha256 hash;
  hash.Update(AsBytes(epoch));
  hash.Update(AsBytes(payload));
  return std::string(AsText(hash.Finish()).substr(0, kDigestBytes));
}

std::optional<UsageRecord> Parse(std::string_view in) {
  UsageRecord record;
  std::uint32_t rows = 0;
  if (!Take(in, record.sequence) || !Take(in, record.hour_us) || !Take(in, rows)) return std::nullopt;
  if (rows > in.size()) return std::nullopt;
  record.rows.resize(rows);
  for (UsageRecord::Row& row : record.rows) {
    for (const auto member : kKeyMembers) {
      if (!TakeText(in, row.key.*member)) return std::nullopt;
    }
    for (const auto member : kUsageMembers) {
      if (!Take(in, row.usage.*member)) return std::nullopt;
    }
  }
  if (!in.empty()) return std::nullopt;
  return record;
}

}  // namespace

std::string EncodeRecord(std::string_view epoch, const UsageRecord& record) {
  std::string payload;
  Put(payload, record.sequence);
  Put(payload, record.hour_us);
  Put(payload, static_cast<std::uint32_t>(record.rows.size()));
  for (const UsageRecord::Row& row : record.rows) {
    for (const auto member : kKeyMembers) {
      const std::string& text = row.key.*member;
      Put(payload, static_cast<std::uint16_t>(text.size()));
      payload += text;
    }
    for (const auto member : kUsageMembers) Put(payload, row.usage.*member);
  }
  MEZZO_CHECK(payload.size() <= kMaxPayload);  // The ledger cuts records at a number of rows.
  std::string frame;
  frame.reserve(kHeadBytes + payload.size());
  Put(frame, kMagic);
  Put(frame, static_cast<std::uint32_t>(payload.size()));
  frame += DigestOf(epoch, payload);
  frame += payload;
  return frame;
}

std::optional<UsageRecord> TakeRecord(std::string_view epoch, std::string_view& bytes) {
  std::string_view rest = bytes;
  std::uint32_t magic = 0;
  std::uint32_t size = 0;
  if (!Take(rest, magic) || !Take(rest, size) || magic != kMagic || size > kMaxPayload) return std::nullopt;
  if (rest.size() < kDigestBytes + size) return std::nullopt;
  const std::string_view digest = rest.substr(0, kDigestBytes);
  const std::string_view payload = rest.substr(kDigestBytes, size);
  if (digest != DigestOf(epoch, payload)) return std::nullopt;
  auto record = Parse(payload);
  if (record) bytes = rest.substr(kDigestBytes + size);
  return record;
}

}  // namespace mezzo::tenancy
