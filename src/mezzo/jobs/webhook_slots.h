#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/strong_id.h"

namespace mezzo::jobs {

/// Scheme, host and port of a URL: what a log may show of it.
std::string_view EndpointOf(std::string_view url);

/// "<tenant> <scheme, host and port>": what limits and claims go by. One for all whose host is longer than
/// any can be, so that a key is always short.
std::string EndpointKey(const TenantId& tenant, std::string_view url);

/// Who may send now: so many at once in all, to one endpoint (a tenant's scheme, host and port) and for one
/// tenant, so that slow receivers hold up nobody else; and which endpoints are left alone for a while.
///
/// Small and copyable: a claim plans on a copy. Not thread-safe.
class WebhookSlots {
 public:
  struct Options {
    std::size_t total = 16;
    std::size_t per_endpoint = 4;
    std::size_t per_tenant = 8;
  };
  static constexpr std::size_t kMaxPaused = 256;  ///< Beyond it the pause that ends first is forgotten.

  explicit WebhookSlots(Options options) : options_(options) {}

  /// False when a limit is reached. Pauses don't count here: Closed() tells of them.
  bool TryTake(const TenantId& tenant, std::string_view url);
  /// Once for each TryTake() that was true.
  void GiveBack(const TenantId& tenant, std::string_view url);
  /// Closes the endpoint of `url` until `until`, when that is later than before.
  void Pause(const TenantId& tenant, std::string_view url, TimePoint until);
  void EndPauses(TimePoint now);

  /// Prefixes of the EndpointKey()s that must not be sent to: of tenants and endpoints at a limit, and of
  /// those paused. A prefix may cover more of the same tenant's ("https://a.co" also "https://a.com"), which
  /// then waits with it.
  [[nodiscard]] std::vector<std::string> Closed() const;
  [[nodiscard]] std::size_t taken() const { return taken_; }
  [[nodiscard]] std::size_t free() const { return options_.total - taken_; }

 private:
  Options options_;
  std::size_t taken_ = 0;
  // By prefix.
  std::map<std::string, std::size_t> tenants_;
  std::map<std::string, std::size_t> endpoints_;
  std::map<std::string, TimePoint> paused_;  // Endpoints.
};

}  // namespace mezzo::jobs
