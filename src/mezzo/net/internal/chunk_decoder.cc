#include "mezzo/net/internal/chunk_decoder.h"

#include <string>

#include <boost/beast/http/basic_parser.hpp>

#include "mezzo/base/check.h"

namespace mezzo::net {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

// Beast decodes chunks only behind a head; the real one was parsed elsewhere.
constexpr std::string_view kHead = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr std::size_t kMaxTrailers = 16;
/// A last chunk has at least this much: "0\r\n\r\n". Beast asserts it when it looks at one a second time, so
/// it never gets less of what may be one.
constexpr std::size_t kLeastEnd = 5;

bool MayBeLastChunk(std::string_view in) {
  if (in.starts_with("\r\n")) in.remove_prefix(2);  // The end of the chunk before.
  return in.starts_with('0');
}

}  // namespace

class ChunkDecoder::Parser final : public http::basic_parser<true> {
 public:
  Parser(Limits limits, BodyBuffer* out) : limits_(limits), out_(out) {
    eager(true);
    body_limit(boost::none);
    error_code ec;
    put({kHead.data(), kHead.size()}, ec);
    MEZZO_CHECK(is_header_done());
  }

  std::size_t Decode(std::string_view in) {
    if (left_in_chunk_ == 0 && in.size() < kLeastEnd && MayBeLastChunk(in)) return 0;
    error_code ec;
    const std::size_t used = put({in.data(), in.size()}, ec);
    if (ec && ec != http::error::need_more && !error_) error_.emplace(HttpError{400, "bad chunked body"});
    return used;
  }
  [[nodiscard]] const std::optional<HttpError>& error() const { return error_; }

 private:
  using Text = boost::beast::string_view;

  void Fail(int status, std::string message, error_code& ec) {
    if (!error_) error_.emplace(HttpError{status, std::move(message)});
    ec = http::error::bad_chunk;
  }
  void on_request_impl(http::verb, Text, Text, int, error_code& ec) override { ec = {}; }
  void on_response_impl(int, Text, int, error_code&) override {}
  void on_field_impl(http::field, Text, Text, error_code& ec) override {
    ec = {};
    if (is_header_done() && ++trailers_ > kMaxTrailers) {
      Fail(431, "more than " + std::to_string(kMaxTrailers) + " trailers", ec);
    }
  }
  void on_header_impl(error_code& ec) override { ec = {}; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code& ec) override { ec = {}; }
  std::size_t on_body_impl(Text body, error_code& ec) override {
    ec = {};
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t size, Text, error_code& ec) override {
    ec = {};
    if (size > limits_.max_body - out_->size()) {
      return Fail(413,
                  "request body of more than " + std::to_string(out_->size()) + " + " + std::to_string(size) +
                      " bytes exceeds the limit of " + std::to_string(limits_.max_body) + " bytes",
                  ec);
    }
    if (size > 0 && ++chunks_ > limits_.max_chunks) {
      return Fail(413,
                  "request body has more than the limit of " + std::to_string(limits_.max_chunks) + " chunks",
                  ec);
    }
    left_in_chunk_ = size;
  }
  std::size_t on_chunk_body_impl(std::uint64_t, Text body, error_code& ec) override {
    ec = {};
    left_in_chunk_ -= body.size();
    if (!out_->Append(body.data(), body.size(), static_cast<std::size_t>(limits_.max_body))) {
      Fail(503, "too many bytes of request bodies in memory", ec);
    }
    return body.size();
  }
  void on_finish_impl(error_code& ec) override { ec = {}; }

  const Limits limits_;
  BodyBuffer* const out_;
  std::optional<HttpError> error_;
  std::uint64_t left_in_chunk_ = 0;
  std::size_t chunks_ = 0;
  std::size_t trailers_ = 0;
};

ChunkDecoder::ChunkDecoder(Limits limits, BodyBuffer* out) : parser_(std::make_unique<Parser>(limits, out)) {}
ChunkDecoder::~ChunkDecoder() = default;

std::size_t ChunkDecoder::Decode(std::string_view in) { return parser_->Decode(in); }
bool ChunkDecoder::done() const { return parser_->is_done(); }
const std::optional<HttpError>& ChunkDecoder::error() const { return parser_->error(); }

}  // namespace mezzo::net
