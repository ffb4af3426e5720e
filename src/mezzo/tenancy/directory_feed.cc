#include "mezzo/tenancy/directory_feed.h"

#include <algorithm>
#include <set>

#include "mezzo/base/strings.h"
#include "mezzo/tenancy/internal/identity_rows.h"

namespace mezzo::tenancy {
namespace {

const TenantId kAnonymousTenant("anonymous");
const TenantId kPlatformTenant("platform");
constexpr std::string_view kFirstStart = "first start";

/// Whether nobody has been given an account yet: there is at most what the first start has made.
bool IsUntouched(const IdentityStore::Everything& all) {
  const auto first = [](const IdentityStore::Everything::Key& key) {
    return key.record.facts.created_by == kFirstStart;
  };
  return all.users.empty() && std::all_of(all.keys.begin(), all.keys.end(), first) &&
         std::all_of(all.tenants.begin(), all.tenants.end(),
                     [](const TenantRecord& tenant) { return tenant.id == kPlatformTenant; });
}

}  // namespace

DirectoryFeed::DirectoryFeed(Options options, Ports ports, Declared declared)
    : options_(options),
      ports_(std::move(ports)),
      declared_(std::move(declared)),
      feed_({.thread = "directory",
             .channel = std::string(kIdentitiesChannel),
             .poll = options_.poll,
             .failed = "identities could not be read: they stay as they were",
             .recovered = "identities are read again"},
            {.db = &ports_.db, .clock = ports_.clock, .log = ports_.log, .read = [this](TimePoint begun) {
               return Follow(begun);
             }}) {}

DirectoryFeed::~DirectoryFeed() { Stop(); }

Result<void> DirectoryFeed::Load() { return Refresh(/*known=*/0); }

void DirectoryFeed::Start() {
  next_touch_ = ports_.clock.Now() + options_.touch;
  started_ = true;
  feed_.Start();
}

void DirectoryFeed::Stop() {
  feed_.Stop();
  if (!std::exchange(started_, false)) return;
  (void)WriteUses();  // A last use that is lost at the end costs nothing.
}

Result<void> DirectoryFeed::Follow(TimePoint begun) {
  Result<void> refreshed = Refresh(revision_);
  if (begun < next_touch_) return refreshed;
  next_touch_ = begun + options_.touch;
  if (const auto written = WriteUses(); !written.ok()) {
    ports_.log.Warn("the last uses of keys could not be written", {{"error", written.error().ToString()}});
  }
  return refreshed;
}

Result<void> DirectoryFeed::Refresh(std::int64_t known) {
  MEZZO_TRY(const auto all, ports_.store.Load(known, ports_.clock.Now() + options_.database_timeout));
  if (!all) return {};
  Directory::Contents contents = ContentsOf(*all);
  if (ports_.on_tenants) ports_.on_tenants(tenants_);
  if (ports_.on_limits) ports_.on_limits(all->limits);
  ports_.directory.Replace(std::move(contents));
  revision_ = all->revision;
  return {};
}

std::uint32_t DirectoryFeed::TenantIndex(const TenantId& id) {
  const auto [at, fresh] = tenant_indices_.emplace(id, static_cast<std::uint32_t>(tenant_indices_.size()));
  return at->second;
}

TenantRef DirectoryFeed::MakeTenant(TenantId id, const TenantSettings& settings) {
  Tenant tenant;
  tenant.index = TenantIndex(id);
  tenant.id = std::move(id);
  tenant.weight = settings.weight;
  tenant.classes = settings.classes;
  tenant.tiers = settings.platform ? std::array<bool, 3>{true, true, true} : settings.tiers;
  tenant.platform = settings.platform;
  auto made = std::make_shared<const Tenant>(std::move(tenant));
  if (tenants_.size() <= made->index) tenants_.resize(made->index + 1);
  tenants_[made->index] = made;
  return made;
}

void DirectoryFeed::AddKey(Directory::Contents& contents, const KeyRecord& key, const Sha256Digest& digest,
                           const TenantRef& tenant) {
  KnownKey& known = keys_[key.id];
  if (known.use == nullptr) {
    known.index = ++last_key_index_;
    known.use = std::make_shared<KeyUse>();
  }
  Caller caller;
  caller.tenant = tenant;
  caller.scopes = tenant->platform ? key.facts.scopes : key.facts.scopes.OwnTenantOnly();
  caller.project = key.facts.project;
  caller.key_index = known.index;
  caller.key = key.id;
  caller.use = known.use;
  contents.keys.push_back({.digest = digest,
                           .caller = std::make_shared<const Caller>(std::move(caller)),
                           .expires = key.facts.expires});
}

Directory::Contents DirectoryFeed::ContentsOf(const IdentityStore::Everything& all) {
  Directory::Contents contents;
  if (options_.anonymous && declared_.keys.empty() && IsUntouched(all)) {
    const TenantRef anonymous = MakeTenant(kAnonymousTenant, {.name = "", .platform = true});
    contents.tenants.push_back(anonymous);
    contents.anonymous =
        std::make_shared<const Caller>(Caller{.tenant = anonymous, .scopes = {Scope::kAdmin}});
    contents.anonymous_from_anywhere = options_.anonymous_from_anywhere;
  }
  std::map<TenantId, TenantRef> by_id;
  for (const TenantRecord& record : all.tenants) {
    const TenantRef tenant = MakeTenant(record.id, record.settings);
    contents.tenants.push_back(tenant);  // Of a suspended one too: its jobs go on.
    if (record.settings.suspended) {
      contents.suspended.push_back(record.id);
    } else {
      by_id.emplace(record.id, tenant);
    }
  }
  for (const UserRecord& user : all.users) {
    const auto tenant = by_id.find(user.tenant);
    if (tenant == by_id.end()) continue;
    Caller caller;
    caller.tenant = tenant->second;
    caller.scopes = ScopesOf(user.role, tenant->second->platform);
    caller.user = user.subject;
    contents.people.push_back({.issuer = user.issuer,
                               .subject = user.subject,
                               .caller = std::make_shared<const Caller>(std::move(caller))});
  }
  std::set<KeyId> alive;
  for (const auto& key : all.keys) {
    const auto tenant = by_id.find(key.record.facts.tenant);
    if (tenant == by_id.end()) continue;
    AddKey(contents, key.record, key.digest, tenant->second);
    alive.insert(key.record.id);
  }
  for (const Declared::Key& key : declared_.keys) {
    const auto tenant = by_id.find(key.tenant);
    if (tenant == by_id.end()) continue;
    KeyRecord record;
    record.id = KeyId(key.tenant.str() + "-" + Sha256Hex(AsText(key.digest)).substr(0, 8));
    record.facts.scopes = key.scopes;
    AddKey(contents, record, key.digest, tenant->second);
    alive.insert(record.id);
  }
  std::erase_if(keys_, [&alive](const auto& known) { return !alive.contains(known.first); });
  return contents;
}

Result<void> DirectoryFeed::WriteUses() {
  std::vector<std::pair<KeyId, WallTime>> used;
  for (const auto& [id, key] : keys_) {
    const std::int64_t at = key.use->last_us.load(std::memory_order_relaxed);
    if (at > key.written_us) used.emplace_back(id, internal::FromMicros(at));
  }
  if (used.empty()) return {};
  MEZZO_TRY_VOID(ports_.store.TouchKeys(used, ports_.clock.Now() + options_.database_timeout));
  for (const auto& [id, at] : used) keys_[id].written_us = internal::ToMicros(at);
  return {};
}

}  // namespace mezzo::tenancy
