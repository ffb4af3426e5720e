#include "mezzo/tenancy/directory.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/tenancy/identity.h"
#include "mezzo/tenancy/oidc_provider.h"

namespace mezzo::tenancy {
namespace {

constexpr std::string_view kBearer = "bearer ";
constexpr std::string_view kKeyPrefix = "mz_";
constexpr std::size_t kMaxCredential = 512;

std::string_view WithoutScheme(std::string_view credential) {
  if (credential.size() >= kBearer.size() &&
      EqualsIgnoreCase(credential.substr(0, kBearer.size()), kBearer)) {
    credential.remove_prefix(kBearer.size());
  }
  return Trim(credential);
}

/// An issuer is a URL, which has no line break.
std::string PersonKey(std::string_view issuer, std::string_view subject) {
  std::string key;
  key.reserve(issuer.size() + 1 + subject.size());
  return key.append(issuer).append("\n").append(subject);
}

Error PersonUnknown() {
  return PermissionDenied("person_unknown",
                          "the token is good, but its person has no place in a tenant here");
}

}  // namespace

std::size_t Directory::DigestHash::operator()(const Sha256Digest& digest) const noexcept {
  std::size_t value = 0;  // Any part of a digest is as good as a hash of it.
  std::memcpy(&value, digest.data(), sizeof(value));
  return value;
}

Directory::Directory(Contents contents, const Clock& clock)
    : clock_(clock), index_(MakeIndex(std::move(contents))) {}

Directory::IndexRef Directory::MakeIndex(Contents contents) {
  auto index = std::make_shared<Index>();
  index->contents = std::move(contents);
  index->by_digest.reserve(index->contents.keys.size());
  for (const KeyEntry& key : index->contents.keys) {
    index->by_digest.emplace(key.digest, &key);
    if (!key.caller->key.empty()) index->by_key.emplace(key.caller->key, key.caller);
  }
  for (const TenantRef& tenant : index->contents.tenants) index->by_id.emplace(tenant->id, tenant);
  for (const PersonEntry& person : index->contents.people) {
    index->by_person[PersonKey(person.issuer, person.subject)].push_back(person.caller);
  }
  return index;
}

void Directory::Replace(Contents contents) { (void)index_.Replace(MakeIndex(std::move(contents))); }

Result<CallerRef> Directory::Authenticate(std::string_view credential, bool from_loopback) const {
  const IndexRef index = index_.Get();
  const Contents& contents = index->contents;
  credential = WithoutScheme(credential);
  const bool anonymous_here =
      contents.anonymous != nullptr && (from_loopback || contents.anonymous_from_anywhere);
  if (credential.size() <= kMaxCredential && !credential.empty()) {
    const auto found = index->by_digest.find(Sha256Of(AsBytes(credential)));
    if (found != index->by_digest.end()) {
      const KeyEntry& key = *found->second;
      const WallTime now = clock_.WallNow();
      if (!key.expires || now < *key.expires) {
        if (key.caller->use != nullptr) {
          const auto since_epoch = std::chrono::floor<std::chrono::microseconds>(now.time_since_epoch());
          // Written once a millisecond at most: callers of one key do not wait for each other's cache lines.
          std::atomic<std::int64_t>& last = key.caller->use->last_us;
          constexpr std::int64_t kOften = 1000;
          if (since_epoch.count() - last.load(std::memory_order_relaxed) >= kOften) {
            last.store(since_epoch.count(), std::memory_order_relaxed);
          }
        }
        return key.caller;
      }
      return Unauthenticated("key_expired", "the API key '" + key.caller->key.str() + "' has expired");
    }
  }
  if (OidcProvider* provider = provider_.load(std::memory_order_acquire);
      provider != nullptr && OidcProvider::IsToken(credential)) {
    MEZZO_TRY(const PersonRef person, provider->Verify(credential, clock_.WallNow()));
    return CallerOf(*index, *person);
  }
  if (anonymous_here && !credential.starts_with(kKeyPrefix)) return contents.anonymous;
  if (!credential.empty()) return Unauthenticated("key_unknown", "the API key is not known");
  if (contents.keys.empty()) {
    return Unauthenticated("key_missing", "callers from other hosts need an API key, and none is configured");
  }
  return Unauthenticated("key_missing", "an API key is needed: send 'Authorization: Bearer <key>'");
}

Result<CallerRef> Directory::CallerOf(const Index& index, const Person& person) const {
  const auto places = index.by_person.find(PersonKey(person.issuer, person.subject));
  const auto& suspended = index.contents.suspended;
  if (!person.tenant.empty()) {
    if (places != index.by_person.end()) {
      for (const CallerRef& caller : places->second) {
        if (caller->tenant->id == person.tenant) return caller;
      }
    }
    const auto tenant = index.by_id.find(person.tenant);
    if (person.role && tenant != index.by_id.end() && (!tenant->second->platform || person.may_be_platform) &&
        std::find(suspended.begin(), suspended.end(), person.tenant) == suspended.end()) {
      return CallerByClaims(tenant->second, person);
    }
  }
  if (places == index.by_person.end()) return PersonUnknown();
  if (places->second.size() == 1) return places->second.front();
  return PermissionDenied("person_ambiguous",
                          "the person belongs to several tenants, and the token does not say to which");
}

CallerRef Directory::CallerByClaims(const TenantRef& tenant, const Person& person) const {
  const Role role = *person.role;
  const std::string key =
      tenant->id.str() + "\n" + std::string(RoleName(role)) + "\n" + PersonKey(person.issuer, person.subject);
  MutexLock lock(made_mu_);
  // A tenant that has changed is another one.
  if (const CallerRef* made = made_.Find(key); made != nullptr && (*made)->tenant == tenant) return *made;
  made_.Erase(key);
  (void)made_.MakeRoom();
  Caller caller;
  caller.tenant = tenant;
  caller.scopes = ScopesOf(role, tenant->platform);
  caller.user = person.subject;
  return made_.Insert(key, std::make_shared<const Caller>(std::move(caller)));
}

Result<TenantRef> Directory::Find(const TenantId& id) const {
  const IndexRef index = index_.Get();
  const auto found = index->by_id.find(id);
  if (found != index->by_id.end()) return found->second;
  return FailedPrecondition("tenant_unknown", "tenant '" + id.str() + "' does not exist any more");
}

Result<CallerRef> Directory::FindKey(const KeyId& id) const {
  const IndexRef index = index_.Get();
  const auto found = index->by_key.find(id);
  if (found != index->by_key.end()) return found->second;
  return NotFound("key_not_found", "there is no key '" + Printable(id.str(), 64) + "'");
}

std::vector<TenantRef> Directory::tenants() const { return index_.Get()->contents.tenants; }

bool Directory::admits_anonymous() const { return index_.Get()->contents.anonymous != nullptr; }

Result<CallerRef> Admit(const Directory& directory, std::string_view credential, bool from_loopback,
                        Scope scope) {
  MEZZO_TRY(CallerRef caller, directory.Authenticate(credential, from_loopback));
  MEZZO_TRY_VOID(Demand(*caller, scope));
  return caller;
}

Result<void> Demand(const Caller& caller, Scope scope) {
  if (caller.Has(scope)) return {};
  return PermissionDenied("scope_missing", (caller.user.empty() ? "the API key" : "the user") +
                                               std::string(" of tenant '") + caller.tenant->id.str() +
                                               "' has no scope '" + std::string(ScopeName(scope)) + "'");
}

}  // namespace mezzo::tenancy
