#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/net/address_guard.h"

namespace mezzo::net {

/// Whether `text` begins as an address that HttpClient can ask: http:// or https://, in lower case.
[[nodiscard]] bool IsHttpUrl(std::string_view text);

/// A request body that is not in memory: the client asks for its pieces in order, and from the start again
/// when it sends the request once more. One thread at a time.
class UploadSource {
 public:
  virtual ~UploadSource() = default;
  [[nodiscard]] virtual ByteCount size() const = 0;
  /// Fills `into` from `offset` on; 0 only when there is nothing left. An error ends the request with it.
  virtual Result<std::size_t> Read(ByteCount offset, std::span<std::byte> into) = 0;
};

struct ClientRequest {
  std::string method = "GET";
  std::string url;  ///< http or https, without user information.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  UploadSource* upload = nullptr;  ///< Instead of `body`; lives as long as the call.
  /// Ends the call soon (within about a second while nothing is transferred) once it is true. May be null.
  const std::atomic<bool>* cancelled = nullptr;
};

struct ClientResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< Names in lower case.
  std::string body;
  /// The first header of this name (lower case); empty when there is none.
  [[nodiscard]] std::string_view Header(std::string_view name) const;
};

/// Outgoing HTTP. Blocks: for threads of a BlockingPool, never for a loop's. Keeps connections for reuse.
///
/// Never follows redirects, verifies certificates, uses no proxy of the environment, and asks the
/// AddressGuard about every address it is about to connect to. Thread-safe; concurrent calls use connections
/// of their own.
class HttpClient {
 public:
  struct Options {
    AddressGuard::Reach reach = AddressGuard::Reach::kPublic;
    bool allow_http = false;  ///< Otherwise https only.
    /// When not empty, the only "host:port" that may be asked, in lower case; the port is always there.
    std::vector<std::string> only_hosts;
    Duration connect_timeout = std::chrono::seconds(5);
    Duration total_timeout = std::chrono::seconds(30);  ///< Also when the caller's deadline is later.
    std::size_t max_response_bytes = std::size_t{16} << 20;
    std::size_t max_header_bytes = std::size_t{64} << 10;
    std::size_t max_idle_handles = 8;  ///< Kept with their connections for the next calls.
    std::string ca_file;               ///< Instead of the system's trust store.
    std::string user_agent = "mezzo";
  };
  HttpClient(Options options, const Clock& clock);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Any status is a success. Fails with kInvalidArgument "bad_url" or "bad_header", kPermissionDenied
  /// "address_not_allowed", kDeadlineExceeded "http_timeout", kResourceExhausted "response_too_large",
  /// kCancelled "http_cancelled", kUnavailable "http_failed", or with the error of `request.upload`.
  Result<ClientResponse> Send(const ClientRequest& request, TimePoint deadline) EXCLUDES(mu_);

 private:
  class Handle;

  std::unique_ptr<Handle> Take() EXCLUDES(mu_);
  void GiveBack(std::unique_ptr<Handle> handle) EXCLUDES(mu_);

  const Options options_;
  const Clock& clock_;
  const AddressGuard guard_;
  Mutex mu_;
  std::vector<std::unique_ptr<Handle>> idle_ GUARDED_BY(mu_);
};

}  // namespace mezzo::net
