#include "mezzo/storage/compressed_kv_store.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "mezzo/storage/kv_checks.h"

namespace mezzo::storage {
namespace {

constexpr char kRaw = 0;
constexpr char kZlib = 1;
constexpr std::size_t kZlibHeader = 9;   // The form, the size, the checksum.
constexpr std::size_t kMaxRatio = 1040;  // Deflate's greatest is 1,032.

std::string Raw(std::string_view value) {
  std::string stored;
  stored.reserve(value.size() + 1);
  stored += kRaw;
  stored += value;
  return stored;
}

std::uint32_t ReadWord(std::string_view bytes) {
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    word |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return word;
}

void WriteWord(char* bytes, std::uint32_t word) {
  for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<char>((word >> (8 * i)) & 0xffU);
}

/// What a compressed form says that its value has; 0 when it is too short to say.
std::size_t SizeOf(std::string_view stored) {
  return stored.size() <= kZlibHeader ? 0 : ReadWord(stored.substr(1));
}

/// Of zlib's own checksum, Adler-32, damage slips past in one of some thousand cases.
std::uint32_t ChecksumOf(std::string_view value) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(value.data()), value.size()));
}

}  // namespace

std::string PackKvValue(std::string_view value, std::size_t compress_from) {
  if (value.size() < compress_from || value.size() > std::numeric_limits<std::uint32_t>::max()) {
    return Raw(value);
  }
  uLongf size = ::compressBound(value.size());
  std::string stored(kZlibHeader + size, '\0');
  stored[0] = kZlib;
  WriteWord(stored.data() + 1, static_cast<std::uint32_t>(value.size()));
  WriteWord(stored.data() + 5, ChecksumOf(value));
  const int done = ::compress2(reinterpret_cast<Bytef*>(stored.data() + kZlibHeader), &size,
                               reinterpret_cast<const Bytef*>(value.data()), value.size(), 1);
  if (done != Z_OK || kZlibHeader + size >= value.size()) return Raw(value);
  stored.resize(kZlibHeader + size);
  return stored;
}

std::optional<std::string> UnpackKvValue(std::string_view stored, std::size_t max_bytes) {
  if (stored.empty()) return std::nullopt;
  if (stored[0] == kRaw) {
    if (stored.size() - 1 > max_bytes) return std::nullopt;
    return std::string(stored.substr(1));
  }
  if (stored[0] != kZlib || stored.size() <= kZlibHeader) return std::nullopt;
  const std::size_t size = SizeOf(stored);
  const std::string_view body = stored.substr(kZlibHeader);
  if (size > max_bytes || size / kMaxRatio > body.size()) return std::nullopt;
  std::string value(size, '\0');
  uLongf got = size;
  const int done = ::uncompress(reinterpret_cast<Bytef*>(value.data()), &got,
                                reinterpret_cast<const Bytef*>(body.data()), body.size());
  if (done != Z_OK || got != size || ChecksumOf(value) != ReadWord(stored.substr(5))) return std::nullopt;
  return value;
}

CompressedKvStore::CompressedKvStore(Options options, KvStore& inner, runtime::BlockingPool& pool)
    : options_(options), inner_(inner), pool_(pool) {}

runtime::Task<Result<std::string>> CompressedKvStore::Pack(std::string value) {
  MEZZO_CO_TRY_VOID(CheckKvValue(value.size(), options_.max_value_bytes));
  if (value.size() < options_.compress_from || value.size() < options_.offload_from) {
    co_return PackKvValue(value, options_.compress_from);
  }
  auto pack = [&value, from = options_.compress_from]() -> Result<std::string> {
    return PackKvValue(value, from);
  };
  Result<std::string> packed = co_await runtime::Offload(pool_, std::move(pack));
  if (!packed.ok()) co_return Raw(value);
  co_return packed;
}

runtime::Task<Result<std::vector<std::optional<std::string>>>> CompressedKvStore::Get(
    runtime::Context ctx, std::vector<std::string> keys) {
  using Values = std::vector<std::optional<std::string>>;
  MEZZO_CO_TRY(Values values, co_await inner_.Get(std::move(ctx), std::move(keys)));
  std::vector<std::size_t> large;  // Whose work may hold up a loop.
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!values[i]) continue;
    if (values[i]->starts_with(kZlib) && SizeOf(*values[i]) >= options_.offload_from) {
      large.push_back(i);
    } else {
      values[i] = UnpackKvValue(*values[i], options_.max_value_bytes);
    }
  }
  if (large.empty()) co_return values;
  auto unpack = [&values, &large, limit = options_.max_value_bytes]() -> Result<void> {
    for (const std::size_t i : large) values[i] = UnpackKvValue(*values[i], limit);
    return {};
  };
  const Result<void> unpacked = co_await runtime::Offload(pool_, std::move(unpack));
  if (!unpacked.ok()) {
    for (const std::size_t i : large) values[i] = std::nullopt;
  }
  co_return values;
}

runtime::Task<Result<void>> CompressedKvStore::Set(runtime::Context ctx, std::string key, std::string value,
                                                   Duration lifetime) {
  MEZZO_CO_TRY(std::string stored, co_await Pack(std::move(value)));
  co_return co_await inner_.Set(std::move(ctx), std::move(key), std::move(stored), lifetime);
}

runtime::Task<Result<bool>> CompressedKvStore::SetAndRelease(runtime::Context ctx, std::string key,
                                                             std::string value, Duration lifetime,
                                                             std::string lease_key, std::uint64_t fence) {
  MEZZO_CO_TRY(std::string stored, co_await Pack(std::move(value)));
  co_return co_await inner_.SetAndRelease(std::move(ctx), std::move(key), std::move(stored), lifetime,
                                          std::move(lease_key), fence);
}

}  // namespace mezzo::storage
