#include "mezzo/api/absolute_url.h"

#include <string_view>

namespace mezzo::api {
namespace {

bool IsHost(std::string_view host) {
  constexpr std::size_t kLongest = 259;  // A name of 253 characters and a port.
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]";
  return !host.empty() && host.size() <= kLongest &&
         host.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace

std::string AbsoluteUrl(const net::HttpRequest& request, std::string url) {
  const std::string_view host = request.Header("Host").value_or("");
  if (!url.starts_with('/') || !IsHost(host)) return url;
  return (request.tls() ? "https://" : "http://") + std::string(host) + url;
}

}  // namespace mezzo::api
