#include "mezzo/drivers/postgres/internal/pg_values.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <variant>

#include "mezzo/base/check.h"

namespace mezzo::drivers::internal {
namespace {

using storage::SqlBlob;
using storage::SqlRows;
using storage::SqlValue;

// Object ids of built-in types (pg_type.dat), the same in every PostgreSQL.
constexpr Oid kBool = 16;
constexpr Oid kBytea = 17;
constexpr Oid kInt8 = 20;
constexpr Oid kInt2 = 21;
constexpr Oid kInt4 = 23;
constexpr Oid kText = 25;
constexpr Oid kOid = 26;
constexpr Oid kFloat4 = 700;
constexpr Oid kFloat8 = 701;
constexpr Oid kTextArray = 1009;
constexpr Oid kInt8Array = 1016;
constexpr Oid kNumeric = 1700;
constexpr Oid kVoid = 2278;

template <typename T>
void AppendBigEndian(std::string& out, T value) {
  for (int shift = 8 * (static_cast<int>(sizeof(T)) - 1); shift >= 0; shift -= 8) {
    out += static_cast<char>((value >> shift) & 0xffU);
  }
}
void AppendInt8(std::string& out, std::int64_t value) {
  AppendBigEndian(out, static_cast<std::uint64_t>(value));
}

/// One-dimensional, without NULLs (src/backend/utils/adt/arrayfuncs.c, array_recv): dimensions, flags,
/// element type, then length and lower bound of the dimension. An empty array has no dimension.
std::string ArrayHeader(Oid element, std::size_t size) {
  std::string out;
  AppendBigEndian<std::uint32_t>(out, size == 0 ? 0 : 1);
  AppendBigEndian<std::uint32_t>(out, 0);
  AppendBigEndian<std::uint32_t>(out, element);
  if (size > 0) {
    AppendBigEndian<std::uint32_t>(out, static_cast<std::uint32_t>(size));
    AppendBigEndian<std::uint32_t>(out, 1);
  }
  return out;
}

std::string Encode(const std::vector<std::int64_t>& values) {
  std::string out = ArrayHeader(kInt8, values.size());
  for (const std::int64_t value : values) {
    AppendBigEndian<std::uint32_t>(out, sizeof(value));
    AppendInt8(out, value);
  }
  return out;
}

std::string Encode(const std::vector<std::string>& texts) {
  std::string out = ArrayHeader(kText, texts.size());
  for (const std::string& text : texts) {
    AppendBigEndian(out, static_cast<std::uint32_t>(text.size()));
    out += text;
  }
  return out;
}

/// A value as it is sent: its type, and its bytes, which lie in `encoded` or in the value.
struct Wire {
  Oid type = 0;
  std::string_view bytes;
};

class Encoder {
 public:
  explicit Encoder(std::vector<std::string>& encoded) : encoded_(encoded) {}

  Wire operator()(std::monostate) const { return {}; }
  Wire operator()(std::int64_t value) const {
    std::string bytes;
    AppendInt8(bytes, value);
    return Keep(kInt8, std::move(bytes));
  }
  Wire operator()(double value) const {
    std::string bytes;
    AppendBigEndian(bytes, std::bit_cast<std::uint64_t>(value));
    return Keep(kFloat8, std::move(bytes));
  }
  Wire operator()(const std::string& text) const { return {kText, text}; }
  Wire operator()(const SqlBlob& blob) const { return {kBytea, blob.bytes}; }
  Wire operator()(const std::vector<std::int64_t>& values) const { return Keep(kInt8Array, Encode(values)); }
  Wire operator()(const std::vector<std::string>& texts) const { return Keep(kTextArray, Encode(texts)); }

 private:
  [[nodiscard]] Wire Keep(Oid type, std::string bytes) const {
    return {type, encoded_.emplace_back(std::move(bytes))};
  }
  std::vector<std::string>& encoded_;
};

SqlValue Integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  double real = 0;  // A numeric beyond 64 bits.
  std::from_chars(text.data(), text.data() + text.size(), real);
  return real;
}

double Real(std::string_view text) {
  double value = std::numeric_limits<double>::quiet_NaN();  // "NaN", "Infinity" and "-Infinity" parse too.
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

int HexDigit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

/// "\x6d657a7a6f".
SqlBlob Bytes(std::string_view hex) {
  MEZZO_CHECK(hex.starts_with("\\x") && hex.size() % 2 == 0);
  SqlBlob blob;
  blob.bytes.reserve(hex.size() / 2);
  for (std::size_t i = 2; i < hex.size(); i += 2) {
    blob.bytes += static_cast<char>(HexDigit(hex[i]) * 16 + HexDigit(hex[i + 1]));
  }
  return blob;
}

SqlValue Value(Oid type, std::string_view text) {
  switch (type) {
    case kBool:
      return std::int64_t{text == "t"};
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid:
      return Integer(text);
    case kNumeric:
      // As SQLite does: a sum of integers is one, an average is real.
      if (text.find_first_not_of("-0123456789") == std::string_view::npos) return Integer(text);
      return Real(text);
    case kFloat4:
    case kFloat8:
      return Real(text);
    case kBytea:
      return Bytes(text);
    case kVoid:
      return std::monostate();
    default:
      return std::string(text);
  }
}

std::int64_t Affected(const PGresult* result) {
  const std::string_view command = PQcmdStatus(const_cast<PGresult*>(result));
  if (command.starts_with("SELECT")) return 0;
  const std::string_view count = PQcmdTuples(const_cast<PGresult*>(result));
  std::int64_t affected = 0;  // Stays for commands without a count.
  std::from_chars(count.data(), count.data() + count.size(), affected);
  return affected;
}

}  // namespace

PgParams::PgParams(std::span<const SqlValue> values) {
  encoded_.reserve(values.size());
  for (const SqlValue& value : values) {
    const Wire wire = std::visit(Encoder(encoded_), value);
    types_.push_back(wire.type);
    values_.push_back(wire.type == 0 ? nullptr : wire.bytes.data());
    lengths_.push_back(static_cast<int>(wire.bytes.size()));
    formats_.push_back(1);
  }
}

SqlRows PgRows(const PGresult* result) {
  const int rows = PQntuples(result);
  const int columns = PQnfields(result);
  std::vector<SqlValue> values;
  values.reserve(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      if (PQgetisnull(result, row, column) != 0) {
        values.emplace_back();
        continue;
      }
      const std::string_view text(PQgetvalue(result, row, column),
                                  static_cast<std::size_t>(PQgetlength(result, row, column)));
      values.push_back(Value(PQftype(result, column), text));
    }
  }
  return {static_cast<std::size_t>(columns), std::move(values), Affected(result)};
}

}  // namespace mezzo::drivers::internal
