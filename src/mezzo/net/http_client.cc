#include "mezzo/net/http_client.h"

#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include <curl/curl.h>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"

namespace mezzo::net {
namespace {

constexpr long kUploadBuffer = 256 << 10;

/// curl_global_init is not thread-safe before 7.84 in every build; once, by whoever comes first.
void InitCurlOnce() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  MEZZO_CHECK(result == CURLE_OK);
}

struct SlistDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Slist = std::unique_ptr<curl_slist, SlistDeleter>;

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

std::string UrlPart(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  std::string out(text);
  curl_free(text);
  return out;
}

long Millis(Duration duration) {
  const auto millis = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return static_cast<long>(std::clamp<std::int64_t>(millis, 1, 24LL * 3600 * 1000));
}

bool HasLineBreak(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

Result<Slist> MakeHeaders(const ClientRequest& request) {
  Slist list;
  const auto append = [&list](const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    MEZZO_CHECK(longer != nullptr);
    if (list == nullptr) list.reset(longer);  // Otherwise it is the list's first node still.
  };
  append("Expect:");  // No 100-continue: it costs a round trip, or a second where the peer ignores it.
  for (const auto& [name, value] : request.headers) {
    if (name.empty() || HasLineBreak(name) || HasLineBreak(value) || name.find(':') != std::string::npos) {
      return InvalidArgument("bad_header", "header '" + Printable(name) + "' has a bad name or value");
    }
    std::string line = name;
    line += value.empty() ? ";" : ": ";
    line += value;
    append(line);
  }
  return list;
}

}  // namespace

bool IsHttpUrl(std::string_view text) { return text.starts_with("https://") || text.starts_with("http://"); }

std::string_view ClientResponse::Header(std::string_view name) const {
  const auto it =
      std::find_if(headers.begin(), headers.end(), [&](const auto& header) { return header.first == name; });
  return it == headers.end() ? std::string_view() : it->second;
}

/// One easy handle with its connections, and the state of the call that uses it.
class HttpClient::Handle {
 public:
  Handle(const Options& options, const AddressGuard& guard)
      : options_(options), guard_(guard), curl_(curl_easy_init()) {
    MEZZO_CHECK(curl_ != nullptr);
  }
  ~Handle() { curl_easy_cleanup(curl_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  Result<ClientResponse> Send(const ClientRequest& request, Duration limit);

 private:
  Result<void> CheckUrl(const std::string& text);
  template <typename T>
  void Set(CURLoption option, T value) {
    MEZZO_CHECK(curl_easy_setopt(curl_, option, value) == CURLE_OK);
  }
  void Configure(const ClientRequest& request, const curl_slist* headers, Duration limit);
  Error Failure(CURLcode code, Duration limit) const;

  static curl_socket_t OpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address);
  static std::size_t OnUpload(char* into, std::size_t size, std::size_t count, void* self);
  static int OnSeek(void* self, curl_off_t offset, int origin);
  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
  static std::size_t OnBody(const char* from, std::size_t size, std::size_t count, void* self);
  static std::size_t OnHeader(const char* from, std::size_t size, std::size_t count, void* self);

  const Options& options_;
  const AddressGuard& guard_;
  CURL* const curl_;
  std::unique_ptr<CURLU, UrlDeleter> url_;
  ClientResponse response_;
  UploadSource* upload_ = nullptr;
  const std::atomic<bool>* cancelled_ = nullptr;
  ByteCount uploaded_ = 0;
  std::size_t header_bytes_ = 0;
  std::optional<Error> refusal_;
};

curl_socket_t HttpClient::Handle::OpenSocket(void* self, curlsocktype, curl_sockaddr* address) {
  auto& handle = *static_cast<Handle*>(self);
  // The address here is the one that the connect() which follows will use: no name can change in between.
  if (auto allowed = handle.guard_.Check(&address->addr); !allowed.ok()) {
    handle.refusal_ = std::move(allowed).error();
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

std::size_t HttpClient::Handle::OnUpload(char* into, std::size_t size, std::size_t count, void* self) {
  auto& handle = *static_cast<Handle*>(self);
  const std::span<std::byte> space(reinterpret_cast<std::byte*>(into), size * count);
  auto got = handle.upload_->Read(handle.uploaded_, space);
  if (!got.ok()) {
    handle.refusal_ = std::move(got).error();
    return CURL_READFUNC_ABORT;
  }
  handle.uploaded_ += *got;
  return *got;
}

int HttpClient::Handle::OnSeek(void* self, curl_off_t offset, int origin) {
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_FAIL;
  static_cast<Handle*>(self)->uploaded_ = static_cast<ByteCount>(offset);
  return CURL_SEEKFUNC_OK;
}

int HttpClient::Handle::OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& handle = *static_cast<Handle*>(self);
  if (!handle.cancelled_->load(std::memory_order_relaxed)) return 0;
  handle.refusal_ = Cancelled("http_cancelled", "the caller does not want it any more");
  return 1;
}

std::size_t HttpClient::Handle::OnBody(const char* from, std::size_t size, std::size_t count, void* self) {
  auto& handle = *static_cast<Handle*>(self);
  const std::size_t bytes = size * count;
  if (bytes > handle.options_.max_response_bytes - handle.response_.body.size()) {
    handle.refusal_ = ResourceExhausted("response_too_large",
                                        "response body exceeds the limit of " +
                                            std::to_string(handle.options_.max_response_bytes) + " bytes");
    return 0;
  }
  handle.response_.body.append(from, bytes);
  return bytes;
}

std::size_t HttpClient::Handle::OnHeader(const char* from, std::size_t size, std::size_t count, void* self) {
  auto& handle = *static_cast<Handle*>(self);
  const std::size_t bytes = size * count;
  handle.header_bytes_ += bytes;
  if (handle.header_bytes_ > handle.options_.max_header_bytes) {
    handle.refusal_ = ResourceExhausted("response_too_large",
                                        "response headers exceed the limit of " +
                                            std::to_string(handle.options_.max_header_bytes) + " bytes");
    return 0;
  }
  std::string_view line(from, bytes);
  if (line.starts_with("HTTP/")) {
    handle.response_.headers.clear();  // Those of an interim response, if any.
  } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    while (line.ends_with('\r') || line.ends_with('\n')) line.remove_suffix(1);
    handle.response_.headers.emplace_back(ToLower(line.substr(0, colon)), Trim(line.substr(colon + 1)));
  }
  return bytes;
}

Result<void> HttpClient::Handle::CheckUrl(const std::string& text) {
  const std::string shown = "URL '" + Printable(text) + "'";
  if (HasLineBreak(text)) return InvalidArgument("bad_url", shown + " has a control character");
  // curl gets this parsed form and not the text again: one parser decides what the host is.
  url_.reset(curl_url());
  const CURLUcode parsed = curl_url_set(url_.get(), CURLUPART_URL, text.c_str(), CURLU_NON_SUPPORT_SCHEME);
  if (parsed != CURLUE_OK)
    return InvalidArgument("bad_url", shown + " cannot be parsed: " + curl_url_strerror(parsed));
  const std::string scheme = UrlPart(url_.get(), CURLUPART_SCHEME);
  if (scheme != "https" && !(options_.allow_http && scheme == "http")) {
    return InvalidArgument("bad_url", shown + " has scheme '" + scheme + "', allowed is " +
                                          (options_.allow_http ? "http or https" : "https"));
  }
  if (!UrlPart(url_.get(), CURLUPART_USER).empty() || !UrlPart(url_.get(), CURLUPART_PASSWORD).empty()) {
    return InvalidArgument("bad_url", "a URL must not hold user information");
  }
  if (options_.only_hosts.empty()) return {};
  const std::string host = ToLower(UrlPart(url_.get(), CURLUPART_HOST)) + ":" +
                           UrlPart(url_.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  const auto& hosts = options_.only_hosts;
  if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) {
    return PermissionDenied("address_not_allowed", "this client does not ask '" + Printable(host) + "'");
  }
  return {};
}

void HttpClient::Handle::Configure(const ClientRequest& request, const curl_slist* headers, Duration limit) {
  curl_easy_reset(curl_);  // Keeps connections and sessions.
  Set(CURLOPT_CURLU, url_.get());
  Set(CURLOPT_PROTOCOLS_STR, options_.allow_http ? "http,https" : "https");
  Set(CURLOPT_FOLLOWLOCATION, 0L);
  Set(CURLOPT_PROXY, "");
  Set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  Set(CURLOPT_NOSIGNAL, 1L);
  Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  Set(CURLOPT_SSL_VERIFYPEER, 1L);
  Set(CURLOPT_SSL_VERIFYHOST, 2L);
  Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options_.ca_file.empty()) Set(CURLOPT_CAINFO, options_.ca_file.c_str());
  Set(CURLOPT_USERAGENT, options_.user_agent.c_str());
  Set(CURLOPT_TIMEOUT_MS, Millis(limit));
  Set(CURLOPT_CONNECTTIMEOUT_MS, Millis(std::min(limit, options_.connect_timeout)));
  Set(CURLOPT_MAXCONNECTS, 4L);
  Set(CURLOPT_HTTPHEADER, headers);
  Set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.method == "HEAD") Set(CURLOPT_NOBODY, 1L);
  if (request.upload != nullptr) {
    Set(CURLOPT_UPLOAD, 1L);
    Set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.upload->size()));
    Set(CURLOPT_UPLOAD_BUFFERSIZE, kUploadBuffer);
    Set(CURLOPT_READFUNCTION, &Handle::OnUpload);
    Set(CURLOPT_READDATA, this);
    Set(CURLOPT_SEEKFUNCTION, &Handle::OnSeek);
    Set(CURLOPT_SEEKDATA, this);
  } else if (!request.body.empty() || request.method == "POST" || request.method == "PUT" ||
             request.method == "PATCH") {
    Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    Set(CURLOPT_POSTFIELDS, request.body.data());
  }
  if (cancelled_ != nullptr) {
    Set(CURLOPT_NOPROGRESS, 0L);
    Set(CURLOPT_XFERINFOFUNCTION, &Handle::OnProgress);
    Set(CURLOPT_XFERINFODATA, this);
  }
  Set(CURLOPT_OPENSOCKETFUNCTION, &Handle::OpenSocket);
  Set(CURLOPT_OPENSOCKETDATA, this);
  Set(CURLOPT_WRITEFUNCTION, &Handle::OnBody);
  Set(CURLOPT_WRITEDATA, this);
  Set(CURLOPT_HEADERFUNCTION, &Handle::OnHeader);
  Set(CURLOPT_HEADERDATA, this);
}

Error HttpClient::Handle::Failure(CURLcode code, Duration limit) const {
  const std::string host = UrlPart(url_.get(), CURLUPART_HOST);
  if (refusal_) return Error(*refusal_).WithContext("request to '" + Printable(host) + "'");
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return DeadlineExceeded("http_timeout", "request to '" + Printable(host) + "' took more than " +
                                                std::to_string(Millis(limit)) + " ms");
  }
  return Unavailable("http_failed",
                     "request to '" + Printable(host) + "' failed: " + curl_easy_strerror(code));
}

Result<ClientResponse> HttpClient::Handle::Send(const ClientRequest& request, Duration limit) {
  response_ = {};
  upload_ = request.upload;
  cancelled_ = request.cancelled;
  uploaded_ = 0;
  header_bytes_ = 0;
  refusal_.reset();
  MEZZO_TRY_VOID(CheckUrl(request.url));
  MEZZO_TRY(const Slist headers, MakeHeaders(request));
  Configure(request, headers.get(), limit);
  const CURLcode code = curl_easy_perform(curl_);
  if (code != CURLE_OK) return Failure(code, limit);
  long status = 0;
  curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
  response_.status = static_cast<int>(status);
  return std::move(response_);
}

HttpClient::HttpClient(Options options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), guard_(options_.reach) {
  InitCurlOnce();
}
HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Handle> HttpClient::Take() {
  {
    MutexLock lock(mu_);
    if (!idle_.empty()) {
      std::unique_ptr<Handle> handle = std::move(idle_.back());
      idle_.pop_back();
      return handle;
    }
  }
  return std::make_unique<Handle>(options_, guard_);
}

void HttpClient::GiveBack(std::unique_ptr<Handle> handle) {
  MutexLock lock(mu_);
  if (idle_.size() < options_.max_idle_handles) idle_.push_back(std::move(handle));
}

Result<ClientResponse> HttpClient::Send(const ClientRequest& request, TimePoint deadline) {
  const Duration limit = std::min<Duration>(deadline - clock_.Now(), options_.total_timeout);
  if (limit <= Duration::zero())
    return DeadlineExceeded("http_timeout", "the deadline had passed before the request");
  if (request.method.empty() || HasLineBreak(request.method) ||
      request.method.find(' ') != std::string::npos) {
    return InvalidArgument("bad_header", "method '" + Printable(request.method) + "' is not a token");
  }
  std::unique_ptr<Handle> handle = Take();
  Result<ClientResponse> result = handle->Send(request, limit);
  GiveBack(std::move(handle));
  return result;
}

}  // namespace mezzo::net
