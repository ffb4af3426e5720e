#include "mezzo/net/internal/content_coding.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"

namespace mezzo::net {
namespace {

constexpr int kGzipBits = 15 + 16;
constexpr int kZlibBits = 15;
constexpr int kRawBits = -15;
constexpr std::size_t kStep = std::size_t{64} << 10;

/// zlib counts in 32 bits.
uInt Step(std::size_t bytes) {
  return static_cast<uInt>(std::min<std::size_t>(bytes, std::numeric_limits<uInt>::max()));
}
Bytef* Mutable(const std::byte* data) { return reinterpret_cast<Bytef*>(const_cast<std::byte*>(data)); }

class Inflater {
 public:
  explicit Inflater(int bits) { MEZZO_CHECK(inflateInit2(&stream_, bits) == Z_OK); }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

class Deflater {
 public:
  explicit Deflater(int bits) {
    MEZZO_CHECK(deflateInit2(&stream_, Z_BEST_SPEED, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  }
  ~Deflater() { deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  void Add(BytesView bytes, int flush, std::string& out) {
    stream_.next_in = Mutable(bytes.data());
    std::size_t left = bytes.size();
    std::array<char, 16 << 10> chunk;
    int result = Z_OK;
    do {
      if (stream_.avail_in == 0) {
        stream_.avail_in = Step(left);
        left -= stream_.avail_in;
      }
      stream_.next_out = reinterpret_cast<Bytef*>(chunk.data());
      stream_.avail_out = static_cast<uInt>(chunk.size());
      result = deflate(&stream_, left == 0 ? flush : Z_NO_FLUSH);
      out.append(chunk.data(), chunk.size() - stream_.avail_out);
    } while (left > 0 || stream_.avail_in > 0 || stream_.avail_out == 0 ||
             (flush == Z_FINISH && result != Z_STREAM_END));
  }

 private:
  z_stream stream_{};
};

/// The quality of one list member in thousandths; 1000 without a parameter, 0 when it can't be read.
int Quality(std::string_view parameters) {
  const std::size_t at = parameters.find("q=");
  if (at == std::string_view::npos) return 1000;
  const std::string_view number = Trim(parameters.substr(at + 2));
  int value = 0;
  int scale = 1000;
  for (const char c : number) {
    if (c == '.') continue;
    if (c < '0' || c > '9' || scale == 0) return value;
    value += (c - '0') * scale;
    scale /= 10;
  }
  return std::min(value, 1000);
}

int BitsFor(ContentCoding coding, BytesView encoded) {
  if (coding == ContentCoding::kGzip) return kGzipBits;
  // The zlib header: method 8 and a checksum over two bytes.
  if (encoded.size() >= 2) {
    const unsigned first = std::to_integer<unsigned>(encoded[0]);
    const unsigned both = first * 256 + std::to_integer<unsigned>(encoded[1]);
    if ((first & 0x0f) == 8 && both % 31 == 0) return kZlibBits;
  }
  return kRawBits;
}

HttpError TooLarge(ByteCount limit) {
  return {413, "decoded request body exceeds the limit of " + std::to_string(limit) + " bytes"};
}

}  // namespace

ContentCoding ChooseCoding(std::string_view accept_encoding) {
  int gzip = -1;
  int deflate_quality = -1;
  int any = 0;
  for (const std::string_view member : Split(accept_encoding, ',')) {
    const std::size_t semicolon = std::min(member.find(';'), member.size());
    const std::string_view name = Trim(member.substr(0, semicolon));
    const int quality = Quality(member.substr(semicolon));
    if (EqualsIgnoreCase(name, "gzip") || EqualsIgnoreCase(name, "x-gzip")) gzip = quality;
    if (EqualsIgnoreCase(name, "deflate")) deflate_quality = quality;
    if (name == "*") any = quality;
  }
  if (gzip < 0) gzip = any;
  if (deflate_quality < 0) deflate_quality = any;
  if (gzip == 0 && deflate_quality == 0) return ContentCoding::kIdentity;
  return gzip >= deflate_quality ? ContentCoding::kGzip : ContentCoding::kDeflate;
}

std::string_view CodingName(ContentCoding coding) {
  if (coding == ContentCoding::kGzip) return "gzip";
  return coding == ContentCoding::kDeflate ? "deflate" : "";
}

std::string Compress(ContentCoding coding, std::string_view text, std::span<const SharedBytes> pieces) {
  Deflater deflater(coding == ContentCoding::kGzip ? kGzipBits : kZlibBits);
  std::string out;
  deflater.Add(AsBytes(text), Z_NO_FLUSH, out);
  for (const SharedBytes& piece : pieces) deflater.Add(piece.view(), Z_NO_FLUSH, out);
  deflater.Add({}, Z_FINISH, out);
  return out;
}

std::optional<HttpError> Inflate(ContentCoding coding, BytesView encoded, InflateLimits limits,
                                 BodyBuffer* out) {
  Inflater inflater(BitsFor(coding, encoded));
  z_stream& stream = inflater.stream();
  const std::string name(CodingName(coding));
  std::size_t left = encoded.size();
  stream.next_in = Mutable(encoded.data());
  while (true) {
    if (stream.avail_in == 0) {
      stream.avail_in = Step(left);
      left -= stream.avail_in;
    }
    if (out->room() == 0) {
      if (out->size() >= limits.max_size) {
        // Full to the limit: one more byte decides between done and too large.
        std::array<Bytef, 1> probe;
        stream.next_out = probe.data();
        stream.avail_out = 1;
        const int result = inflate(&stream, Z_NO_FLUSH);
        if (stream.avail_out == 0) return TooLarge(limits.max_size);
        if (result == Z_STREAM_END) break;
        return HttpError{400, "request body is not valid " + name};
      }
      const std::size_t wanted = std::max(kStep, out->size() * 2);
      if (!out->Reserve(std::min<std::size_t>(wanted, static_cast<std::size_t>(limits.max_size)))) {
        return HttpError{503, "too many bytes of request bodies in memory"};
      }
    }
    const std::size_t room = std::min<std::size_t>(out->room(), kStep);
    stream.next_out = reinterpret_cast<Bytef*>(out->end());
    stream.avail_out = static_cast<uInt>(room);
    const int result = inflate(&stream, Z_NO_FLUSH);
    out->Commit(room - stream.avail_out);
    if (out->size() > kFreeInflate &&
        out->size() / std::max<std::size_t>(limits.max_ratio, 1) > encoded.size()) {
      return HttpError{413, "decoded request body exceeds " + std::to_string(limits.max_ratio) +
                                " times its encoded size of " + std::to_string(encoded.size()) + " bytes"};
    }
    if (result == Z_STREAM_END) break;
    const bool starved = stream.avail_in == 0 && left == 0 && stream.avail_out > 0;
    if ((result != Z_OK && result != Z_BUF_ERROR) || starved) {
      return HttpError{400, "request body is not valid " + name};
    }
  }
  if (stream.avail_in > 0 || left > 0)
    return HttpError{400, "request body has bytes after its " + name + " end"};
  return std::nullopt;
}

}  // namespace mezzo::net
