#include "mezzo/net/internal/request_assembler.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <boost/beast/http/basic_parser.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::net {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

constexpr std::size_t kShownBytes = 64;  // Of foreign text in messages.

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

Method MethodOf(http::verb verb) {
  switch (verb) {
    case http::verb::get:
      return Method::kGet;
    case http::verb::head:
      return Method::kHead;
    case http::verb::post:
      return Method::kPost;
    case http::verb::put:
      return Method::kPut;
    case http::verb::delete_:
      return Method::kDelete;
    case http::verb::patch:
      return Method::kPatch;
    case http::verb::options:
      return Method::kOptions;
    default:
      return Method::kOther;
  }
}

HttpError ErrorOf(error_code error, std::string_view head) {
  const std::string_view line = head.substr(0, head.find('\r'));
  const std::string shown = "'" + Printable(line, kShownBytes) + "'";
  if (error == http::error::bad_method) return {400, "bad method in request line " + shown};
  if (error == http::error::bad_target) return {400, "bad target in request line " + shown};
  if (error == http::error::bad_version) {
    const std::size_t at = line.rfind(" HTTP/");
    const bool numbered = at != std::string_view::npos && line.size() == at + 9 && line[at + 7] == '.';
    if (!numbered) return {400, "bad version in request line " + shown};
    return {505, "HTTP version '" + Printable(line.substr(at + 1), 16) + "' is not supported, use HTTP/1.1"};
  }
  if (error == http::error::bad_field)
    return {400, "bad header name: a name is a token followed at once by ':'"};
  if (error == http::error::bad_content_length || error == http::error::multiple_content_length) {
    return {400, "bad Content-Length"};
  }
  if (error == http::error::bad_transfer_encoding) return {400, "bad Transfer-Encoding"};
  if (error == http::error::bad_line_ending) return {400, "bad line ending: lines end with CR LF"};
  return {400, "bad header value"};
}

/// Calls `use` with each trimmed, non-empty member of a comma-separated list.
template <typename Use>
void ForEachMember(std::string_view list, Use use) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view member = Trim(list.substr(0, comma));
    if (!member.empty()) use(member);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool HasDotSegment(std::string_view path) {
  std::size_t start = 0;
  while (start <= path.size()) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    const std::string_view segment = path.substr(start, end - start);
    if (segment == "." || segment == "..") return true;
    start = end + 1;
  }
  return false;
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

bool PercentDecode(std::string_view text, bool plus_is_space, std::string& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      if (i + 2 >= text.size()) return false;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return true;
}

/// Beast's tokenizer; what it finds goes into the request without a copy.
class RequestAssembler::Parser final : public http::basic_parser<true> {
 public:
  Parser(std::string_view head, HttpRequest* request) : head_(head), request_(request) {}
  [[nodiscard]] bool http11() const { return http11_; }
  [[nodiscard]] bool folded() const { return folded_; }

 private:
  using Text = boost::beast::string_view;

  void on_request_impl(http::verb verb, Text method, Text target, int version, error_code& ec) override {
    request_->method_ = MethodOf(verb);
    request_->method_text_ = View(method);
    request_->target_ = View(target);
    http11_ = version == 11;
    ec = {};
  }
  void on_field_impl(http::field, Text name, Text value, error_code& ec) override {
    // A folded value is handed over from a scratch buffer, or from a later line; both are refused.
    const char* p = name.data() + name.size() + 1;
    const bool inside = value.empty() || (value.data() > p - 1 && value.data() + value.size() <= head_.end());
    if (inside) {
      const char* end = value.data() != nullptr ? std::min(value.data(), head_.end()) : p;
      while (p < end && (*p == ' ' || *p == '\t')) ++p;
      if (p >= end) {
        request_->headers_.push_back({View(name), View(value)});
        return;
      }
    }
    folded_ = true;
    ec = http::error::bad_value;
  }
  void on_response_impl(int, Text, int, error_code&) override {}
  void on_header_impl(error_code& ec) override { ec = {}; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code& ec) override { ec = {}; }
  std::size_t on_body_impl(Text body, error_code& ec) override {
    ec = {};
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, Text, error_code& ec) override { ec = {}; }
  std::size_t on_chunk_body_impl(std::uint64_t, Text body, error_code& ec) override {
    ec = {};
    return body.size();
  }
  void on_finish_impl(error_code& ec) override { ec = {}; }

  const std::string_view head_;
  HttpRequest* const request_;
  bool http11_ = true;
  bool folded_ = false;
};

void RequestAssembler::SetPeer(HttpRequest* request, std::string_view peer, bool is_loopback, bool tls) {
  request->peer_ = peer;
  request->is_loopback_ = is_loopback;
  request->tls_ = tls;
}

void RequestAssembler::Clear(HttpRequest* request) {
  request->method_ = Method::kOther;
  request->method_text_ = request->target_ = request->path_ = {};
  request->query_.clear();
  request->headers_.clear();
  request->body_ = {};
  request->finding_.reset();
}

void RequestAssembler::Reset() {
  framing_ = {};
  error_.reset();
  scanned_ = line_start_ = lines_ = head_size_ = 0;
}

bool RequestAssembler::Fail(int status, std::string message) {
  error_.emplace(HttpError{status, std::move(message)});
  return false;
}

bool RequestAssembler::CheckLine(std::string_view data, std::size_t newline) {
  if (newline == 0 || data[newline - 1] != '\r') return Fail(400, "bad line ending: lines end with CR LF");
  const std::size_t length = newline - 1 - line_start_;
  if (lines_ == 0 && length > limits_.max_request_line) {
    return Fail(414, "request line of " + std::to_string(length) + " bytes exceeds the limit of " +
                         std::to_string(limits_.max_request_line) + " bytes");
  }
  ++lines_;
  if (length == 0) {
    head_size_ = newline + 1;
    return true;
  }
  if (lines_ > limits_.max_headers + 1) {
    return Fail(431, "more than " + std::to_string(limits_.max_headers) + " request headers");
  }
  line_start_ = newline + 1;
  return false;
}

bool RequestAssembler::FindHead(std::string_view data) {
  while (scanned_ < data.size()) {
    const void* found = std::memchr(data.data() + scanned_, '\n', data.size() - scanned_);
    if (found == nullptr) break;
    const auto newline = static_cast<std::size_t>(static_cast<const char*>(found) - data.data());
    scanned_ = newline + 1;
    if (scanned_ > limits_.max_header_bytes) break;
    if (CheckLine(data, newline)) return true;
    if (error_) return false;
  }
  scanned_ = data.size();
  if (lines_ == 0 && data.size() > limits_.max_request_line + 2) {
    return Fail(414,
                "request line exceeds the limit of " + std::to_string(limits_.max_request_line) + " bytes");
  }
  if (data.size() >= limits_.max_header_bytes) {
    return Fail(431,
                "request head exceeds the limit of " + std::to_string(limits_.max_header_bytes) + " bytes");
  }
  return false;
}

bool RequestAssembler::Assemble(std::string_view head, HttpRequest* request) {
  Clear(request);
  Parser parser(head, request);
  parser.header_limit(static_cast<std::uint32_t>(limits_.max_header_bytes));
  parser.body_limit(boost::none);
  parser.eager(false);
  error_code ec;
  parser.put({head.data(), head.size()}, ec);
  if (ec) {
    if (parser.folded()) return Fail(400, "folded header values are not accepted");
    HttpError error = ErrorOf(ec, head);
    return Fail(error.status, std::move(error.message));
  }
  if (!parser.is_header_done()) return Fail(400, "bad request head");
  framing_ = {};
  framing_.http11 = parser.http11();
  framing_.keep_alive = parser.http11();
  return CheckFraming(*request) && SetTarget(request);
}

bool RequestAssembler::CheckLength(std::string_view value) {
  const auto length = ParseUint(value);
  if (!length) return Fail(400, "bad Content-Length '" + Printable(value, kShownBytes) + "'");
  if (framing_.has_length && framing_.length != *length)
    return Fail(400, "two different Content-Length headers");
  framing_.has_length = true;
  framing_.length = *length;
  return true;
}

bool RequestAssembler::CheckCoding(std::string_view value) {
  if (EqualsIgnoreCase(value, "gzip") || EqualsIgnoreCase(value, "x-gzip")) {
    framing_.coding = ContentCoding::kGzip;
  } else if (EqualsIgnoreCase(value, "deflate")) {
    framing_.coding = ContentCoding::kDeflate;
  } else if (!value.empty() && !EqualsIgnoreCase(value, "identity")) {
    return Fail(415, "Content-Encoding '" + Printable(value, kShownBytes) +
                         "' is not supported, use gzip or deflate");
  }
  return true;
}

bool RequestAssembler::CheckFraming(const HttpRequest& request) {
  std::size_t hosts = 0;
  bool transfer_encoding = false;
  for (const HeaderView& header : request.headers_) {
    // Sizes differ for all names of interest but these pairs, so most headers cost one switch.
    switch (header.name.size()) {
      case 4:
        if (EqualsIgnoreCase(header.name, "Host")) ++hosts;
        break;
      case 6:
        if (!EqualsIgnoreCase(header.name, "Expect")) break;
        if (!EqualsIgnoreCase(header.value, "100-continue")) {
          return Fail(417, "Expect '" + Printable(header.value, kShownBytes) + "' is not supported");
        }
        framing_.expect_continue = framing_.http11;
        break;
      case 10:
        if (!EqualsIgnoreCase(header.name, "Connection")) break;
        ForEachMember(header.value, [this](std::string_view member) {
          if (EqualsIgnoreCase(member, "close")) framing_.keep_alive = false;
          if (EqualsIgnoreCase(member, "keep-alive") && !framing_.http11) framing_.keep_alive = true;
        });
        break;
      case 14:
        if (EqualsIgnoreCase(header.name, "Content-Length") && !CheckLength(header.value)) return false;
        break;
      case 16:
        if (EqualsIgnoreCase(header.name, "Content-Encoding") && !CheckCoding(header.value)) return false;
        break;
      case 17:
        if (!EqualsIgnoreCase(header.name, "Transfer-Encoding")) break;
        if (transfer_encoding) return Fail(400, "two Transfer-Encoding headers");
        transfer_encoding = true;
        if (!EqualsIgnoreCase(header.value, "chunked")) {
          return Fail(501, "Transfer-Encoding '" + Printable(header.value, kShownBytes) +
                               "' is not supported, use chunked");
        }
        framing_.chunked = true;
        break;
      default:
        break;
    }
  }
  if (framing_.chunked && framing_.has_length) return Fail(400, "both Content-Length and Transfer-Encoding");
  if (framing_.chunked && !framing_.http11) return Fail(400, "Transfer-Encoding in an HTTP/1.0 request");
  if (hosts > 1) return Fail(400, "more than one Host header");
  if (hosts == 0 && framing_.http11) return Fail(400, "no Host header");
  return true;
}

bool RequestAssembler::SetTarget(HttpRequest* request) {
  std::string_view rest = request->target_;
  const auto shown = [request] { return "'" + Printable(request->target_, kShownBytes) + "'"; };
  if (const std::size_t scheme = rest.find("://"); !rest.empty() && rest[0] != '/' && scheme < 8) {
    rest.remove_prefix(std::min(rest.find('/', scheme + 3), rest.size()));
    if (rest.empty()) rest = "/";
  }
  const std::size_t mark = std::min(rest.find('?'), rest.size());
  const std::string_view raw = rest.substr(0, mark);
  if (rest == "*" && request->method_ == Method::kOptions) {
    request->path_ = rest;
    return true;
  }
  if (raw.empty() || raw[0] != '/')
    return Fail(400, "request target " + shown() + " does not start with '/'");
  if (rest.find('#') != std::string_view::npos)
    return Fail(400, "request target " + shown() + " has a fragment");
  request->path_ = raw;
  if (raw.find('%') != std::string_view::npos) {
    request->decoded_path_.clear();
    if (!PercentDecode(raw, false, request->decoded_path_)) {
      return Fail(400, "bad percent escape in request target " + shown());
    }
    request->path_ = request->decoded_path_;
    if (std::count(raw.begin(), raw.end(), '/') !=
        std::count(request->path_.begin(), request->path_.end(), '/')) {
      return Fail(400, "encoded slash in request target " + shown());
    }
  }
  if (HasControl(request->path_)) return Fail(400, "control character in request target " + shown());
  if (HasDotSegment(request->path_)) return Fail(400, "'.' or '..' segment in request target " + shown());
  return mark == rest.size() || SetQuery(rest.substr(mark + 1), request);
}

bool RequestAssembler::SetQuery(std::string_view query, HttpRequest* request) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    QueryParameter parameter;
    const bool good =
        PercentDecode(pair.substr(0, equals), true, parameter.name) &&
        (equals == pair.size() || PercentDecode(pair.substr(equals + 1), true, parameter.value));
    if (!good) return Fail(400, "bad percent escape in query '" + Printable(pair, kShownBytes) + "'");
    if (request->query_.size() == limits_.max_headers) {
      return Fail(400, "more than " + std::to_string(limits_.max_headers) + " query parameters");
    }
    request->query_.push_back(std::move(parameter));
  }
  return true;
}

}  // namespace mezzo::net
