#include "mezzo/jobs/webhook_slots.h"

#include <algorithm>

#include "mezzo/base/check.h"

namespace mezzo::jobs {
namespace {

std::string TenantPrefix(const TenantId& tenant) { return tenant.str() + ' '; }

constexpr std::size_t kMaxEndpointBytes = 300;  // A host name has at most 253.

using Counts = std::map<std::string, std::size_t>;

std::size_t Count(const Counts& counts, const std::string& prefix) {
  const auto found = counts.find(prefix);
  return found == counts.end() ? 0 : found->second;
}

void Decrement(Counts& counts, const std::string& prefix) {
  const auto found = counts.find(prefix);
  MEZZO_CHECK(found != counts.end());
  if (--found->second == 0) counts.erase(found);
}

}  // namespace

std::string_view EndpointOf(std::string_view url) {
  const std::size_t scheme = url.find("://");
  return url.substr(0, url.find_first_of("/?#", scheme == std::string_view::npos ? 0 : scheme + 3));
}

std::string EndpointKey(const TenantId& tenant, std::string_view url) {
  const std::string_view endpoint = EndpointOf(url);
  return TenantPrefix(tenant) + (endpoint.size() > kMaxEndpointBytes ? "overlong" : std::string(endpoint));
}

bool WebhookSlots::TryTake(const TenantId& tenant, std::string_view url) {
  const std::string of_tenant = TenantPrefix(tenant);
  const std::string of_endpoint = EndpointKey(tenant, url);
  if (taken_ >= options_.total || Count(tenants_, of_tenant) >= options_.per_tenant ||
      Count(endpoints_, of_endpoint) >= options_.per_endpoint) {
    return false;
  }
  ++taken_;
  ++tenants_[of_tenant];
  ++endpoints_[of_endpoint];
  return true;
}

void WebhookSlots::GiveBack(const TenantId& tenant, std::string_view url) {
  Decrement(tenants_, TenantPrefix(tenant));
  Decrement(endpoints_, EndpointKey(tenant, url));
  --taken_;
}

void WebhookSlots::Pause(const TenantId& tenant, std::string_view url, TimePoint until) {
  TimePoint& end = paused_[EndpointKey(tenant, url)];
  end = std::max(end, until);
  if (paused_.size() <= kMaxPaused) return;
  paused_.erase(std::min_element(paused_.begin(), paused_.end(),
                                 [](const auto& a, const auto& b) { return a.second < b.second; }));
}

void WebhookSlots::EndPauses(TimePoint now) {
  std::erase_if(paused_, [now](const auto& entry) { return entry.second <= now; });
}

std::vector<std::string> WebhookSlots::Closed() const {
  std::vector<std::string> closed;
  for (const auto& [prefix, count] : tenants_) {
    if (count >= options_.per_tenant) closed.push_back(prefix);
  }
  for (const auto& [prefix, count] : endpoints_) {
    if (count >= options_.per_endpoint) closed.push_back(prefix);
  }
  for (const auto& [prefix, until] : paused_) closed.push_back(prefix);
  return closed;
}

}  // namespace mezzo::jobs
