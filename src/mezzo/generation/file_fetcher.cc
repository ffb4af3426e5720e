#include "mezzo/generation/file_fetcher.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"

namespace mezzo::generation {
namespace {

constexpr int kOk = 200;
constexpr std::size_t kShownUrlBytes = 128;

net::HttpClient::Options ClientOptions(const FileFetcher::Options& options) {
  return {.reach = options.reach,
          .allow_http = options.allow_http,
          .only_hosts = {},
          .total_timeout = options.timeout,
          .max_response_bytes = options.max_bytes,
          .ca_file = options.ca_file};
}

/// Without its query, which may hold a secret.
std::string Shown(const std::string& url) {
  return Printable(url.substr(0, url.find_first_of("?#")), kShownUrlBytes);
}

Error Refused(const std::string& url, const std::string& why) {
  return InvalidArgument("fetch_refused", "'" + Shown(url) + "' " + why);
}

bool MayPass(int status) { return status == 408 || status == 429 || status >= 500; }

}  // namespace

FileFetcher::FileFetcher(Options options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), client_(ClientOptions(options_), clock) {}

bool FileFetcher::IsUrl(std::string_view reference) { return net::IsHttpUrl(reference); }

Result<std::string> FileFetcher::Fetch(const runtime::Context& ctx, const std::string& url,
                                       ByteCount max_bytes) {
  if (url.size() > kMaxUrlBytes) {
    return Refused(url, fmt::format("has {} bytes; the limit is {}", url.size(), kMaxUrlBytes));
  }
  std::atomic<bool> cancelled = false;
  const runtime::CancelRegistration registration(ctx.cancel_state(), [&cancelled] { cancelled = true; });
  const net::ClientRequest request{
      .method = "GET", .url = url, .headers = {}, .body = {}, .cancelled = &cancelled};
  const TimePoint deadline = std::min(ctx.deadline(), AddSaturating(clock_.Now(), options_.timeout));
  auto answer = client_.Send(request, deadline);
  if (!answer.ok()) {
    const Error& error = answer.error();
    if (error.reason() == "response_too_large") {
      return Refused(url, "is larger than " + FormatBytes(options_.max_bytes));
    }
    if (error.code() == Code::kUnavailable || error.code() == Code::kDeadlineExceeded) {
      return Unavailable("fetch_failed", "'" + Shown(url) + "' could not be read: " + error.message());
    }
    return error;
  }
  if (MayPass(answer->status)) {
    return Unavailable("fetch_failed", fmt::format("'{}' answered HTTP {}", Shown(url), answer->status));
  }
  if (answer->status != kOk) return Refused(url, fmt::format("answered HTTP {}", answer->status));
  if (answer->body.size() > max_bytes) return Refused(url, "is larger than " + FormatBytes(max_bytes));
  return std::move(answer->body);
}

}  // namespace mezzo::generation
