#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"

namespace mezzo::net {

struct HeaderView {
  std::string_view name;
  std::string_view value;
};

/// One key=value of the query, percent-decoded; '+' is a space.
struct QueryParameter {
  std::string name;
  std::string value;
};

enum class Method : std::uint8_t { kGet, kHead, kPost, kPut, kDelete, kPatch, kOptions, kOther };

/// One request. Views are valid until the response is finished (the after_write hook included); the body may
/// be kept longer. Not thread-safe; handlers read it only.
class HttpRequest {
 public:
  [[nodiscard]] Method method() const { return method_; }
  [[nodiscard]] std::string_view method_text() const { return method_text_; }
  /// As received, for logs.
  [[nodiscard]] std::string_view target() const { return target_; }
  /// Decoded exactly once; starts with '/', has no control characters, no encoded slash and no "." or ".."
  /// segment.
  [[nodiscard]] std::string_view path() const { return path_; }
  [[nodiscard]] const std::vector<QueryParameter>& query() const { return query_; }
  /// The first value of the query parameter.
  [[nodiscard]] std::optional<std::string_view> QueryValue(std::string_view name) const;
  [[nodiscard]] std::span<const HeaderView> headers() const { return headers_; }
  /// The first header of this name in any case.
  [[nodiscard]] std::optional<std::string_view> Header(std::string_view name) const;
  /// "192.0.2.1" or "2001:db8::1".
  [[nodiscard]] std::string_view peer() const { return peer_; }
  [[nodiscard]] bool is_loopback() const { return is_loopback_; }
  [[nodiscard]] bool tls() const { return tls_; }
  /// Complete and content-decoded. Byte `BodyPlan::align_offset` is aligned to 64 bytes. Empty inside
  /// PlanBody().
  [[nodiscard]] const SharedBytes& body() const { return body_; }
  /// When the head was complete.
  [[nodiscard]] TimePoint received_at() const { return received_at_; }
  /// What the handler's plan found out of the head (BodyPlan::finding); null before and without.
  [[nodiscard]] const std::shared_ptr<const void>& finding() const { return finding_; }

 private:
  friend class RequestAssembler;

  Method method_ = Method::kOther;
  bool is_loopback_ = false;
  bool tls_ = false;
  std::string_view method_text_;
  std::string_view target_;
  std::string_view path_;
  std::string_view peer_;
  std::string decoded_path_;
  std::vector<QueryParameter> query_;
  std::vector<HeaderView> headers_;
  SharedBytes body_;
  TimePoint received_at_{};
  std::shared_ptr<const void> finding_;
};

/// Where a streamed body goes. One Write at a time.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  /// Sends `piece` as one chunk and ends when the kernel has taken it all, so a slow client slows its
  /// producer. Fails with kCancelled "client_gone", or kDeadlineExceeded "write_timeout" when the client
  /// stopped reading.
  virtual runtime::Task<Result<void>> Write(SharedBytes piece) = 0;
  runtime::Task<Result<void>> WriteText(std::string text) {
    return Write(SharedBytes::FromString(std::move(text)));
  }
};

/// Produces a streamed body. An error after the first byte cuts the connection, so that the client sees the
/// body as incomplete.
using StreamProducer = std::function<runtime::Task<Result<void>>(runtime::Context, BodyWriter*)>;

/// What became of a response.
struct WriteReport {
  ByteCount bytes = 0;    ///< Head and body as written to the transport.
  Duration duration{};    ///< From the first attempt to write to the end.
  bool complete = false;  ///< False when the client left or timed out.
};

/// One answer. Content-Length, Transfer-Encoding, Connection and Date are the server's own.
struct HttpResponse {
  int status = 200;
  std::string content_type;  ///< Empty: no Content-Type.
  std::vector<std::pair<std::string, std::string>> headers;
  /// The body is `text`, then `pieces` in order, gathered by one writev without a copy.
  std::string text;
  std::vector<SharedBytes> pieces;
  /// When set, the body is what this produces; `text` and `pieces` must be empty.
  StreamProducer stream;
  /// Of the stream, when it is known: sent as Content-Length, and a producer that writes another number of
  /// bytes cuts the connection. Otherwise a stream is chunked.
  std::optional<ByteCount> stream_size;
  bool compressible = false;           ///< May be sent as gzip or deflate when the client accepts it.
  bool close = false;                  ///< Close the connection afterwards.
  std::function<void()> before_write;  ///< Runs on the connection's loop right before the first byte.
  std::function<void(const WriteReport&)> after_write;  ///< Runs there after the last byte or the failure.

  static HttpResponse Json(int status, std::string text);
  /// {"error":"message"}
  static HttpResponse ErrorJson(int status, std::string_view message);
  [[nodiscard]] ByteCount body_size() const;
};

/// What the server does with the body of a request whose head is complete.
struct BodyPlan {
  ByteCount max_body = ByteCount{64} << 20;  ///< After content decoding, too. More is answered 413.
  std::size_t align_offset = 0;              ///< This byte of the body gets an address divisible by 64.
  bool require_length = false;               ///< Chunked bodies are answered 411.
  std::unique_ptr<HttpResponse> refusal;     ///< Answer at once, without reading the body.
  /// What Handle() need not find out again, such as who calls: HttpRequest::finding().
  std::shared_ptr<const void> finding;
};

/// The application behind a server. Called on many loops at once: thread-safe.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  /// Called when the head is complete and before the body is read; cheap, never blocks.
  [[nodiscard]] virtual BodyPlan PlanBody(const HttpRequest& head) const = 0;
  /// `request` lives until the response is finished. `ctx` carries the request id and trace and is cancelled
  /// when the client leaves; the handler still has to return then (what it returns is dropped). Ends on the
  /// same loop.
  virtual runtime::Task<HttpResponse> Handle(runtime::Context ctx, HttpRequest* request) = 0;
};

/// "Not Found" for 404; "Unknown" for numbers outside the registry.
std::string_view ReasonPhrase(int status);

/// `text` as the inside of a JSON string: quotes, backslashes and control characters escaped, invalid UTF-8
/// replaced.
std::string JsonEscape(std::string_view text);

}  // namespace mezzo::net
