#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/tenancy/person.h"
#include "mezzo/tenancy/role.h"

namespace mezzo::tenancy {

/// People by OpenID Connect: who a bearer token (a JWT, RFC 7519, RFC 9068) speaks for, from the public keys
/// of the issuers that the operator trusts (ADR 0032).
///
/// Verify() works from what is known and never waits for the network. A thread of its own fetches the keys:
/// at the start, every `refresh`, and when a token names a key that is not known, then at most once in
/// `min_refetch`, whatever comes. While an issuer can't be asked its keys are kept for `keep`.
///
/// What is accepted: a compact JWS of at most 8 KiB, `alg` one of RS256, RS384, RS512, PS256, ES256, ES384,
/// EdDSA that fits the key's type and the key's own `alg`; no `crit`; `typ` JWT, at+jwt or none; `iss`
/// exactly an issuer's, `aud` with one of its audiences, `exp`, `nbf` and `iat` within `skew`.
///
/// A token that was good is remembered by its SHA-256 until it expires, for at most `remember`, so that its
/// next call costs a hash and a look-up; a key that an issuer takes back ends that at once.
///
/// Thread-safe. No token stands in a log or an error.
class OidcProvider {
 public:
  struct Issuer {
    std::string issuer;                  ///< Exactly as tokens name it: https://id.example/realms/main.
    std::vector<std::string> audiences;  ///< A token needs one of them. Not empty.
    /// Where the keys are; empty: jwks_uri of <issuer>/.well-known/openid-configuration.
    std::string jwks_url;
    std::string roles_claim;               ///< Dotted path; empty: roles come from the database alone.
    std::map<std::string, Role> role_map;  ///< Of what stands there. The highest wins.
    std::string tenant_claim;              ///< Dotted path to a tenant's id.
    TenantId tenant;                       ///< Of everybody whose claims name none.
    /// Those that claims may name; empty: any but platform tenants.
    std::vector<TenantId> tenants;
  };
  struct Options {
    std::vector<Issuer> issuers;
    Duration refresh = std::chrono::minutes(10);
    Duration retry = std::chrono::seconds(2);  ///< After a failure; doubles, up to a minute.
    Duration min_refetch = std::chrono::seconds(10);
    Duration keep = std::chrono::hours(24);
    Duration skew = std::chrono::seconds(60);
    Duration remember = std::chrono::seconds(60);
    std::size_t max_remembered = 16'384;
    Duration fetch_timeout = std::chrono::seconds(10);
    std::uint64_t seed = 1;  ///< Of the jitter: every wait is up to a tenth shorter.
  };
  /// The body of a 200 answer to a GET of `url` for the issuer of this index; anything else is an error.
  /// Blocks until `deadline` at most.
  using Fetch =
      std::function<Result<std::string>(std::size_t issuer, const std::string& url, TimePoint deadline)>;
  /// All outlive the provider.
  struct Ports {
    const Clock& clock;
    observe::Registry& registry;
    observe::Logger& log;
    Fetch fetch;
  };
  /// Fails with kInvalidArgument "oidc_invalid", naming the issuer and what is wrong with it.
  static Result<std::unique_ptr<OidcProvider>> Create(Options options, Ports ports);
  ~OidcProvider();
  OidcProvider(const OidcProvider&) = delete;
  OidcProvider& operator=(const OidcProvider&) = delete;

  /// Whether this has the form of a token: three parts of base64url. Of any length.
  [[nodiscard]] static bool IsToken(std::string_view credential);

  /// Never blocks. Errors: kUnauthenticated "token_malformed", "token_issuer", "token_algorithm",
  /// "token_signature" (also when the key is not known), "token_audience" or "token_expired" (also when it
  /// does not hold yet); kUnavailable "issuer_unavailable" while no keys of the issuer are known.
  Result<PersonRef> Verify(std::string_view token, WallTime now);

  /// Fetches from now on, until Stop().
  void Start();
  /// Waits for a fetch under way, for at most `fetch_timeout` twice. Idempotent.
  void Stop() EXCLUDES(mu_);
  /// Fetches what is due now. The thread's work; for whoever has not called Start(). One caller at a time.
  void FetchDue() EXCLUDES(mu_);
  /// When FetchDue() has something to do again; kNever: only when asked.
  [[nodiscard]] TimePoint next_fetch() const EXCLUDES(mu_);

 private:
  struct Keys;
  struct State;
  struct Remembered;
  class Memory;
  struct Counts;

  OidcProvider(Options options, Ports ports);
  Result<PersonRef> Judge(std::string_view token, WallTime now);
  Result<std::shared_ptr<const Keys>> KeysOf(std::size_t issuer) EXCLUDES(mu_);
  void AskForKeys(std::size_t issuer) EXCLUDES(mu_);
  Result<std::shared_ptr<const Keys>> FetchKeys(std::size_t issuer) const;
  void TakeKeys(std::size_t issuer, Result<std::shared_ptr<const Keys>> keys) EXCLUDES(mu_);
  [[nodiscard]] TimePoint DueOf(const State& state) const REQUIRES(mu_);
  [[nodiscard]] TimePoint NextFetch() const REQUIRES(mu_);
  Duration Jittered(Duration wait) REQUIRES(mu_);
  void Run() EXCLUDES(mu_);

  const Options options_;
  const Ports ports_;
  std::unique_ptr<Counts> counts_;
  std::unique_ptr<Memory> memory_;

  mutable Mutex mu_;
  CondVar changed_;
  std::vector<State> states_ GUARDED_BY(mu_);
  std::uint64_t random_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: it uses everything above.
};

/// A Fetch over HTTP for real use: https only, unless `allow_http` of that issuer; redirects are not
/// followed, private addresses are allowed since the operator named the endpoint, answers are at most 1 MiB.
struct OidcTransport {
  bool allow_http = false;
  std::string ca_file;  ///< Instead of the system's trust store.
};
/// `clock` outlives the result; one transport for each issuer.
OidcProvider::Fetch MakeOidcFetch(const std::vector<OidcTransport>& transports, const Clock& clock);

}  // namespace mezzo::tenancy
