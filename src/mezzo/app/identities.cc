#include "mezzo/app/identities.h"

#include <chrono>
#include <utility>

namespace mezzo::app {
namespace {

constexpr Duration kOpenTime = std::chrono::minutes(1);
/// A change that this host has not taken over by then is answered all the same; it comes later.
constexpr Duration kCatchUpTime = std::chrono::seconds(2);

tenancy::DirectoryFeed::Options FeedOptions(const ServerConfig& config) {
  tenancy::DirectoryFeed::Options options;
  // Where people have accounts elsewhere, a call without one is not taken for an administrator's.
  options.anonymous = config.insecure || (config.oidc.empty() && ListensOnLoopbackOnly(config));
  options.anonymous_from_anywhere = config.insecure;
  return options;
}

tenancy::DirectoryFeed::Declared Declared(const tenancy::Directory::Contents& contents) {
  tenancy::DirectoryFeed::Declared declared;
  for (const auto& key : contents.keys) {
    declared.keys.push_back(
        {.digest = key.digest, .tenant = key.caller->tenant->id, .scopes = key.caller->scopes});
  }
  return declared;
}

}  // namespace

Identities::Identities(const ServerConfig& config, const tenancy::Directory::Contents& declared,
                       const std::vector<tenancy::Limit>& limits, Ports ports)
    : ports_(ports),
      declared_limits_(limits),
      store_({}, ports.store.db(), ports.store.clock()),
      limit_store_({}, ports.store.db(), ports.store.clock()),
      pool_({.name = "identities", .threads = 2, .max_queued = 256}),
      handler_({}, {.store = store_,
                    .pool = pool_,
                    .clock = ports.store.clock(),
                    .catch_up = [this] { feed_.CatchUp(kCatchUpTime); }}),
      limits_handler_({},
                      {.store = limit_store_,
                       .pool = pool_,
                       .clock = ports.store.clock(),
                       .catch_up = [this] { feed_.CatchUp(kCatchUpTime); }},
                      limits),
      feed_(FeedOptions(config),
            {.store = store_,
             .db = ports.store.db(),
             .directory = ports.directory,
             .clock = ports.store.clock(),
             .log = ports.log,
             .on_tenants = [this](const auto& tenants) { TakeTenants(tenants); },
             .on_limits = [this](const auto& from_database) { TakeLimits(from_database); }},
            Declared(declared)) {}

Result<std::unique_ptr<Identities>> Identities::Open(const ServerConfig& config,
                                                     const tenancy::Directory::Contents& declared,
                                                     const std::vector<tenancy::Limit>& limits, Ports ports) {
  std::unique_ptr<Identities> identities(new Identities(config, declared, limits, ports));
  MEZZO_TRY_VOID(identities->Seed(declared));
  MEZZO_TRY_VOID(identities->feed_.Load());
  return identities;
}

Result<void> Identities::Seed(const tenancy::Directory::Contents& declared) {
  const TimePoint deadline = AddSaturating(ports_.store.clock().Now(), kOpenTime);
  if (declared.anonymous == nullptr) {
    for (const tenancy::TenantRef& tenant : declared.tenants) {
      const tenancy::TenantSettings settings{.name = "",
                                             .weight = tenant->weight,
                                             .classes = tenant->classes,
                                             .tiers = tenant->tiers,
                                             .platform = tenant->platform,
                                             .suspended = false};
      MEZZO_TRY_VOID(store_.DeclareTenant(tenant->id, settings, deadline));
    }
  }
  MEZZO_TRY(const auto first, store_.MakeFirstAdmin(deadline));
  if (first) first_admin_key_ = first->text;
  return {};
}

void Identities::TakeLimits(std::vector<tenancy::Limit> limits) {
  limits.insert(limits.end(), declared_limits_.begin(), declared_limits_.end());
  ports_.limiter.Replace(limits);
}

void Identities::TakeTenants(const std::vector<tenancy::TenantRef>& tenants) {
  for (const tenancy::TenantRef& tenant : tenants) {
    const sched::Scheduler::TenantOptions options{
        .name = tenant->id.str(), .weight = tenant->weight, .free_tier = tenant->free_tier()};
    if (tenant->index >= known_.size()) {
      const auto index = ports_.executor.AddTenant(options);
      MEZZO_CHECK(static_cast<std::uint32_t>(index) == tenant->index);
      known_.push_back(tenant);
      ports_.counts.Add(*tenant);
      continue;
    }
    tenancy::TenantRef& known = known_[tenant->index];
    if (known->weight != tenant->weight || known->free_tier() != tenant->free_tier()) {
      ports_.executor.SetTenant(sched::TenantIndex{tenant->index}, options);
    }
    known = tenant;
  }
}

}  // namespace mezzo::app
