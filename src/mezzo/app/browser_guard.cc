#include "mezzo/app/browser_guard.h"

#include <string>
#include <string_view>

#include "mezzo/base/strings.h"

namespace mezzo::app {
namespace {

std::string_view WithoutPort(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

/// An address, or the name that every host has for itself.
bool NamesThisHost(std::string_view host) {
  if (host.empty() || host.starts_with('[') || EqualsIgnoreCase(host, "localhost")) return true;
  return host.find_first_not_of("0123456789.") == std::string_view::npos;
}

std::unique_ptr<net::HttpResponse> Refuse(std::string_view why) {
  return std::make_unique<net::HttpResponse>(net::HttpResponse::ErrorJson(
      403, std::string(why) + "; without API keys only programs on this host may call"));
}

}  // namespace

std::unique_ptr<net::HttpResponse> RefuseForeignPage(const net::HttpRequest& head) {
  const std::string_view host = head.Header("Host").value_or(std::string_view());
  if (const auto origin = head.Header("Origin")) {
    std::string_view authority = *origin;
    const std::size_t scheme = authority.find("://");
    if (scheme != std::string_view::npos) authority.remove_prefix(scheme + 3);
    if (!EqualsIgnoreCase(authority, host)) return Refuse("the request comes from a page of another origin");
  }
  if (const auto site = head.Header("Sec-Fetch-Site"); site && EqualsIgnoreCase(*site, "cross-site")) {
    return Refuse("the request comes from a page of another site");
  }
  if (head.is_loopback() && !NamesThisHost(WithoutPort(host))) {
    return Refuse("the request names another host than this one");
  }
  return nullptr;
}

}  // namespace mezzo::app
