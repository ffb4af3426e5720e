#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/net/http_types.h"

namespace mezzo::net {

/// A refusal by the protocol itself: a status and the text of its error body.
struct HttpError {
  int status = 400;
  std::string message;
};

/// How the body of a request is coded for transport.
enum class ContentCoding : std::uint8_t { kIdentity, kGzip, kDeflate };

/// What a head says about its body and connection.
struct Framing {
  bool chunked = false;
  bool has_length = false;
  bool keep_alive = true;
  bool expect_continue = false;
  bool http11 = true;
  ContentCoding coding = ContentCoding::kIdentity;
  std::uint64_t length = 0;  ///< Of the body as sent; 0 when chunked.
};

/// Finds where a request's head ends and turns it into an HttpRequest whose views point into the head's
/// bytes. One per connection: its storage is used again. Not thread-safe.
class RequestAssembler {
 public:
  struct Limits {
    std::size_t max_header_bytes = 32 << 10;
    std::size_t max_headers = 100;
    std::size_t max_request_line = 8 << 10;
  };
  explicit RequestAssembler(Limits limits) : limits_(limits) {}

  /// Forgets the previous request.
  void Reset();
  /// Looks at `data`, which begins with what earlier calls since Reset() saw. True when it holds a complete
  /// head of head_size() bytes; false when it does not yet, or when error() is set.
  bool FindHead(std::string_view data);
  [[nodiscard]] std::size_t head_size() const { return head_size_; }
  /// Parses the head that FindHead() found, at its present address. False sets error().
  bool Assemble(std::string_view head, HttpRequest* request);

  [[nodiscard]] const Framing& framing() const { return framing_; }
  [[nodiscard]] const std::optional<HttpError>& error() const { return error_; }

  /// Drops everything but the peer and the storage.
  static void Clear(HttpRequest* request);
  static void SetPeer(HttpRequest* request, std::string_view peer, bool is_loopback, bool tls);
  static void SetBody(HttpRequest* request, SharedBytes body) { request->body_ = std::move(body); }
  static void SetFinding(HttpRequest* request, std::shared_ptr<const void> finding) {
    request->finding_ = std::move(finding);
  }
  static void SetReceivedAt(HttpRequest* request, TimePoint at) { request->received_at_ = at; }

 private:
  class Parser;

  bool Fail(int status, std::string message);
  bool CheckLine(std::string_view data, std::size_t newline);
  bool CheckFraming(const HttpRequest& request);
  bool CheckCoding(std::string_view value);
  bool CheckLength(std::string_view value);
  bool SetTarget(HttpRequest* request);
  bool SetQuery(std::string_view query, HttpRequest* request);

  const Limits limits_;
  Framing framing_;
  std::optional<HttpError> error_;
  std::size_t scanned_ = 0;  // Every '\n' before this has been seen.
  std::size_t line_start_ = 0;
  std::size_t lines_ = 0;
  std::size_t head_size_ = 0;
};

/// Decodes "%41" once. False on a '%' without two hex digits. `plus_is_space` as in queries.
bool PercentDecode(std::string_view text, bool plus_is_space, std::string& out);

}  // namespace mezzo::net
