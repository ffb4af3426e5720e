#include "mezzo/tenancy/oidc_provider.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <utility>

#include "mezzo/base/bytes.h"
#include "mezzo/base/check.h"
#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"
#include "mezzo/net/http_client.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/storage/lru_map.h"
#include "mezzo/tenancy/internal/jwt.h"

namespace mezzo::tenancy {

using internal::JwsKey;
using internal::Jwt;

namespace {

constexpr std::size_t kMaxIssuers = 32;
constexpr std::size_t kShards = 16;
/// A token without `kid` is tried against this many keys of the right type.
constexpr std::size_t kMaxTried = 4;
constexpr std::size_t kMaxKeySet = std::size_t{1} << 20;
/// The longest that the thread sleeps, so that a clock that was set does not leave it asleep.
constexpr Duration kLongestSleep = std::chrono::minutes(1);
constexpr Duration kLongestRetry = std::chrono::minutes(1);

Error Invalid(const std::string& issuer, const std::string& what) {
  return InvalidArgument("oidc_invalid", "oidc issuer '" + Printable(issuer) + "': " + what);
}

Result<void> Check(const OidcProvider::Issuer& issuer) {
  if (!net::IsHttpUrl(issuer.issuer)) return Invalid(issuer.issuer, "must begin with https:// (or http://)");
  if (!issuer.jwks_url.empty() && !net::IsHttpUrl(issuer.jwks_url)) {
    return Invalid(issuer.issuer, "jwks_url must begin with https:// (or http://)");
  }
  const auto& audiences = issuer.audiences;
  if (audiences.empty() || std::find(audiences.begin(), audiences.end(), "") != audiences.end()) {
    return Invalid(issuer.issuer, "audience must name who its tokens are for");
  }
  if (issuer.roles_claim.empty() != issuer.role_map.empty()) {
    return Invalid(issuer.issuer, "roles_claim and role_map need each other");
  }
  return {};
}

bool Meet(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&b](const std::string& one) { return std::find(b.begin(), b.end(), one) != b.end(); });
}

Result<void> CheckTimes(const Jwt& token, WallTime now, Duration skew) {
  if (now >= token.expires + skew) return Unauthenticated("token_expired", "the token has expired");
  if (token.not_before && now + skew < *token.not_before) {
    return Unauthenticated("token_expired", "the token does not hold yet (nbf)");
  }
  if (token.issued && now + skew < *token.issued) {
    return Unauthenticated("token_expired", "the token was issued in the future (iat)");
  }
  return {};
}

PersonRef PersonOf(const OidcProvider::Issuer& issuer, const Jwt& token) {
  Person person;
  person.issuer = token.issuer;
  person.subject = token.subject;
  person.expires = token.expires;
  const auto named = internal::StringsAt(token.claims, issuer.tenant_claim);
  person.tenant = named.size() == 1 ? TenantId(named.front()) : issuer.tenant;
  const auto& tenants = issuer.tenants;
  const bool listed = std::find(tenants.begin(), tenants.end(), person.tenant) != tenants.end();
  person.may_be_platform = listed || person.tenant == issuer.tenant;
  if (!listed && !tenants.empty() && person.tenant != issuer.tenant) person.tenant = TenantId();
  for (const std::string& group : internal::StringsAt(token.claims, issuer.roles_claim)) {
    const auto role = issuer.role_map.find(group);
    if (role == issuer.role_map.end()) continue;
    if (!person.role || *person.role < role->second) person.role = role->second;
  }
  return std::make_shared<const Person>(std::move(person));
}

}  // namespace

struct OidcProvider::Keys {
  std::vector<JwsKey> keys;
  std::string text;  ///< As fetched: tells whether anything has changed.

  [[nodiscard]] bool Verify(const Jwt& token) const {
    std::size_t tried = 0;
    for (const JwsKey& key : keys) {
      if (!key.Allows(*token.algorithm) || (!token.key_id.empty() && key.id != token.key_id)) continue;
      if (key.Verifies(*token.algorithm, token.signed_text, token.signature)) return true;
      if (++tried == kMaxTried) return false;
    }
    return false;
  }
  [[nodiscard]] bool Has(const std::string& id) const {
    return std::any_of(keys.begin(), keys.end(), [&id](const JwsKey& key) { return key.id == id; });
  }
};

struct OidcProvider::State {
  std::shared_ptr<const Keys> keys;  ///< Null: none, or too old.
  TimePoint fetched;                 ///< Of the keys.
  TimePoint due;                     ///< The next by the calendar.
  TimePoint allowed;                 ///< None before, whoever asks.
  bool asked = false;                ///< A token came with a key that is not known.
  Duration wait = Duration::zero();  ///< After the last failure.
};

struct OidcProvider::Remembered {
  PersonRef person;
  TimePoint until;
  std::uint64_t generation = 0;
};

/// Tokens that were good, by their digest.
class OidcProvider::Memory {
 public:
  explicit Memory(std::size_t capacity) {
    for (auto& shard : shards_) {
      shard = std::make_unique<Shard>(std::max<std::size_t>(1, capacity / kShards));
    }
  }

  [[nodiscard]] std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  /// What is remembered no longer counts.
  void Forget() { generation_.fetch_add(1, std::memory_order_acq_rel); }

  PersonRef Find(const Sha256Digest& digest, TimePoint at, WallTime now) {
    Shard& shard = ShardOf(digest);
    MutexLock lock(shard.mu);
    const Remembered* found = shard.items.Find(AsText(digest));
    if (found == nullptr) return nullptr;
    if (found->generation == generation() && at < found->until && now < found->person->expires) {
      return found->person;
    }
    shard.items.Erase(AsText(digest));
    return nullptr;
  }

  void Put(const Sha256Digest& digest, Remembered item) {
    Shard& shard = ShardOf(digest);
    MutexLock lock(shard.mu);
    shard.items.Erase(AsText(digest));
    (void)shard.items.MakeRoom();
    shard.items.Insert(AsText(digest), std::move(item));
  }

 private:
  struct Shard {
    explicit Shard(std::size_t capacity) : items(capacity) {}
    Mutex mu;
    storage::LruMap<Remembered> items GUARDED_BY(mu);
  };
  Shard& ShardOf(const Sha256Digest& digest) { return *shards_.at(digest.front() % kShards); }

  std::array<std::unique_ptr<Shard>, kShards> shards_;
  // Read before a token is judged and stored with the verdict: a verdict by keys that were taken back
  // meanwhile is then an old one.
  std::atomic<std::uint64_t> generation_{0};
};

struct OidcProvider::Counts {
  explicit Counts(observe::Registry& registry)
      : tokens(registry.NewCounterFamily("mezzo_tenancy_tokens_total",
                                         "Tokens of people, by what became of them.", {"result"})),
        fetches(registry.NewCounterFamily("mezzo_tenancy_key_fetches_total",
                                          "Fetches of an issuer's public keys.", {"issuer", "result"})) {}
  observe::Family<observe::Counter>& tokens;
  observe::Family<observe::Counter>& fetches;
  observe::Counter& good = tokens.With({"ok"});
  observe::Counter& remembered = tokens.With({"remembered"});
};

OidcProvider::OidcProvider(Options options, Ports ports)
    : options_(std::move(options)),
      ports_(std::move(ports)),
      counts_(std::make_unique<Counts>(ports_.registry)),
      memory_(std::make_unique<Memory>(options_.max_remembered)),
      states_(options_.issuers.size()),
      random_(options_.seed) {
  for (State& state : states_) state.due = state.allowed = ports_.clock.Now();
}

OidcProvider::~OidcProvider() { Stop(); }

Result<std::unique_ptr<OidcProvider>> OidcProvider::Create(Options options, Ports ports) {
  if (options.issuers.size() > kMaxIssuers) {
    return InvalidArgument("oidc_invalid", "there may be at most 32 oidc issuers");
  }
  std::set<std::string> names;
  for (const Issuer& issuer : options.issuers) {
    MEZZO_TRY_VOID(Check(issuer));
    if (!names.insert(issuer.issuer).second) return Invalid(issuer.issuer, "is declared twice");
  }
  return std::unique_ptr<OidcProvider>(new OidcProvider(std::move(options), std::move(ports)));
}

bool OidcProvider::IsToken(std::string_view credential) { return internal::LooksLikeJwt(credential); }

Result<PersonRef> OidcProvider::Verify(std::string_view token, WallTime now) {
  if (token.size() > internal::kMaxToken) {
    return Unauthenticated("token_malformed", "the token has more than 8192 bytes");
  }
  const Sha256Digest digest = Sha256Of(AsBytes(token));
  const TimePoint at = ports_.clock.Now();
  if (PersonRef person = memory_->Find(digest, at, now)) {
    counts_->remembered.Add(1);
    return person;
  }
  const std::uint64_t generation = memory_->generation();
  auto person = Judge(token, now);
  if (!person.ok()) {
    counts_->tokens.With({person.error().reason()}).Add(1);
    return person;
  }
  counts_->good.Add(1);
  memory_->Put(digest, {.person = *person, .until = at + options_.remember, .generation = generation});
  return person;
}

Result<PersonRef> OidcProvider::Judge(std::string_view text, WallTime now) {
  MEZZO_TRY(const Jwt token, internal::ParseJwt(text));
  const auto& issuers = options_.issuers;
  const auto issuer = std::find_if(issuers.begin(), issuers.end(),
                                   [&token](const Issuer& one) { return one.issuer == token.issuer; });
  if (issuer == issuers.end()) {
    return Unauthenticated("token_issuer", "the token is of an issuer that is not trusted here");
  }
  if (!token.algorithm) {
    return Unauthenticated("token_algorithm", "the token is signed with an algorithm that is not accepted");
  }
  const auto index = static_cast<std::size_t>(issuer - issuers.begin());
  MEZZO_TRY(const auto keys, KeysOf(index));
  if (!keys->Verify(token)) {
    if (token.key_id.empty() || keys->Has(token.key_id)) {
      const bool fits = std::any_of(keys->keys.begin(), keys->keys.end(), [&token](const JwsKey& key) {
        return (token.key_id.empty() || key.id == token.key_id) && key.Allows(*token.algorithm);
      });
      if (!fits)
        return Unauthenticated("token_algorithm", "the issuer's key is not for the token's algorithm");
      return Unauthenticated("token_signature", "the token's signature is not the issuer's");
    }
    AskForKeys(index);
    return Unauthenticated("token_signature", "the token is signed with a key that is not known (yet)");
  }
  if (!Meet(token.audiences, issuer->audiences)) {
    return Unauthenticated("token_audience", "the token is for another audience");
  }
  MEZZO_TRY_VOID(CheckTimes(token, now, options_.skew));
  return PersonOf(*issuer, token);
}

Result<std::shared_ptr<const OidcProvider::Keys>> OidcProvider::KeysOf(std::size_t issuer) {
  MutexLock lock(mu_);
  const State& state = states_[issuer];
  if (state.keys != nullptr && ports_.clock.Now() - state.fetched < options_.keep) return state.keys;
  return Unavailable("issuer_unavailable", "the public keys of the token's issuer are not there")
      .WithRetryAfter(options_.retry);
}

void OidcProvider::AskForKeys(std::size_t issuer) {
  MutexLock lock(mu_);
  State& state = states_[issuer];
  if (state.asked) return;  // However many come: one is fetched.
  state.asked = true;
  changed_.NotifyAll();
}

Duration OidcProvider::Jittered(Duration wait) {
  // SplitMix64 (Steele, Lea and Flood, 2014).
  random_ += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = random_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  z ^= z >> 31;
  constexpr std::int64_t kParts = 1024;
  return wait - wait / (10 * kParts) * static_cast<std::int64_t>(z % kParts);
}

TimePoint OidcProvider::DueOf(const State& state) const {
  return std::max(state.allowed, state.asked ? state.allowed : state.due);
}

TimePoint OidcProvider::next_fetch() const {
  MutexLock lock(mu_);
  return NextFetch();
}

TimePoint OidcProvider::NextFetch() const {
  TimePoint next = kNever;
  for (const State& state : states_) next = std::min(next, DueOf(state));
  return next;
}

Result<std::shared_ptr<const OidcProvider::Keys>> OidcProvider::FetchKeys(std::size_t index) const {
  const Issuer& issuer = options_.issuers[index];
  std::string url = issuer.jwks_url;
  const auto deadline = [this] { return AddSaturating(ports_.clock.Now(), options_.fetch_timeout); };
  if (url.empty()) {
    std::string discovery = issuer.issuer;
    while (discovery.ends_with('/')) discovery.pop_back();
    discovery += "/.well-known/openid-configuration";
    MEZZO_TRY(const std::string text, ports_.fetch(index, discovery, deadline()));
    constexpr int kDepth = 8;
    const auto document = internal::ParseStrictObject(text, kDepth);
    if (!document) return InvalidArgument("jwks_invalid", "the discovery document is no JSON object");
    // OpenID Connect Discovery 1.0 section 4.3: or somebody else's keys would be taken.
    if (document->value("issuer", nlohmann::json()) != issuer.issuer) {
      return InvalidArgument("jwks_invalid", "the discovery document is another issuer's");
    }
    const auto uri = document->find("jwks_uri");
    if (uri == document->end() || !uri->is_string()) {
      return InvalidArgument("jwks_invalid", "the discovery document has no jwks_uri");
    }
    url = uri->get<std::string>();
  }
  auto keys = std::make_shared<Keys>();
  MEZZO_TRY(keys->text, ports_.fetch(index, url, deadline()));
  MEZZO_TRY(keys->keys, internal::ParseJwks(keys->text));
  if (keys->keys.empty()) return InvalidArgument("jwks_invalid", "the key set has no key that can be used");
  return std::shared_ptr<const Keys>(std::move(keys));
}

void OidcProvider::TakeKeys(std::size_t index, Result<std::shared_ptr<const Keys>> keys) {
  const std::string& issuer = options_.issuers[index].issuer;
  counts_->fetches.With({issuer, keys.ok() ? "ok" : "failed"}).Add(1);
  bool changed = false;
  {
    MutexLock lock(mu_);
    State& state = states_[index];
    const TimePoint now = ports_.clock.Now();
    state.asked = false;
    if (keys.ok()) {
      changed = state.keys == nullptr || state.keys->text != (*keys)->text;
      state.keys = *keys;
      state.fetched = now;
      state.wait = Duration::zero();
      state.due = now + Jittered(options_.refresh);
      state.allowed = now + Jittered(options_.min_refetch);
    } else {
      state.wait = std::min(std::max(state.wait * 2, options_.retry), kLongestRetry);
      state.due = state.allowed = now + Jittered(state.wait);
    }
  }
  // Also what the old keys vouched for: one of them may have been taken back.
  if (changed) memory_->Forget();
  if (!keys.ok()) {
    ports_.log.Limited("oidc_keys")
        .Warn("an issuer's keys could not be fetched: those known are kept",
              {{"issuer", issuer}, {"error", keys.error().ToString()}});
  } else if (changed) {
    ports_.log.Info("an issuer's keys have been taken over",
                    {{"issuer", issuer}, {"keys", (*keys)->keys.size()}});
  }
}

void OidcProvider::FetchDue() {
  for (std::size_t i = 0; i < options_.issuers.size(); ++i) {
    {
      MutexLock lock(mu_);
      if (stopping_) return;
      if (DueOf(states_[i]) > ports_.clock.Now()) continue;
    }
    TakeKeys(i, FetchKeys(i));
  }
}

void OidcProvider::Start() {
  thread_ = std::thread([this] { Run(); });
}

void OidcProvider::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void OidcProvider::Run() {
  runtime::SetThreadName("oidc");
  while (true) {
    FetchDue();
    MutexLock lock(mu_);
    if (stopping_) return;
    const Duration wait = std::clamp(NextFetch() - ports_.clock.Now(), Duration::zero(), kLongestSleep);
    if (wait > Duration::zero()) changed_.WaitUntil(mu_, std::chrono::steady_clock::now() + wait);
    if (stopping_) return;
  }
}

OidcProvider::Fetch MakeOidcFetch(const std::vector<OidcTransport>& transports, const Clock& clock) {
  std::vector<std::shared_ptr<net::HttpClient>> clients;
  for (const OidcTransport& transport : transports) {
    net::HttpClient::Options options;
    options.reach = net::AddressGuard::Reach::kPrivate;
    options.allow_http = transport.allow_http;
    options.ca_file = transport.ca_file;
    options.max_response_bytes = kMaxKeySet;
    options.max_idle_handles = 1;
    clients.push_back(std::make_shared<net::HttpClient>(std::move(options), clock));
  }
  return [clients](std::size_t issuer, const std::string& url, TimePoint deadline) -> Result<std::string> {
    net::ClientRequest request;
    request.url = url;
    request.headers = {{"Accept", "application/json"}};
    MEZZO_TRY(net::ClientResponse response, clients.at(issuer)->Send(request, deadline));
    constexpr int kOk = 200;
    if (response.status == kOk) return std::move(response.body);
    return Unavailable("issuer_unavailable", "the issuer answered " + std::to_string(response.status));
  };
}

}  // namespace mezzo::tenancy
