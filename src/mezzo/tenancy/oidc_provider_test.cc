#include "mezzo/tenancy/oidc_provider.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/tenancy/directory.h"
#include "mezzo/tenancy/identity.h"
#include "mezzo/tenancy/internal/jwt.h"
#include "mezzo/tenancy/testing/directories.h"
#include "mezzo/tenancy/testing/token_mint.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::tenancy {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::EncodeBase64Url;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MakeTenant;
using ::testing::Not;
using testing::SignByHmac;
using testing::TokenMint;

constexpr char kIssuer[] = "https://id.example/main";
constexpr char kDiscovery[] = "https://id.example/main/.well-known/openid-configuration";
constexpr char kJwks[] = "https://id.example/keys";

class OidcTest : public ::testing::Test {
 protected:
  OidcTest() : log_({.level = observe::LogLevel::kOff}, clock_) {}

  static OidcProvider::Options Defaults() {
    OidcProvider::Options options;
    options.issuers = {{.issuer = kIssuer,
                        .audiences = {"mezzo", "mezzo-console"},
                        .jwks_url = kJwks,
                        .roles_claim = "realm_access.roles",
                        .role_map = {{"ops", Role::kOperator}, {"devs", Role::kDeveloper}},
                        .tenant_claim = "org",
                        .tenant = TenantId("main"),
                        .tenants = {}}};
    return options;
  }

  /// A provider whose issuer is `pages_`, with the keys it shows fetched.
  std::unique_ptr<OidcProvider> Make(OidcProvider::Options options = Defaults()) {
    auto provider = OidcProvider::Create(
        std::move(options),
        {.clock = clock_,
         .registry = registry_,
         .log = log_,
         .fetch = [this](std::size_t, const std::string& url, TimePoint) -> Result<std::string> {
           ++fetches_;
           const auto page = pages_.find(url);
           if (page != pages_.end()) return page->second;
           return Unavailable("http_failed", "nobody answers");
         }});
    EXPECT_TRUE(provider.ok()) << provider.error().ToString();
    (*provider)->FetchDue();
    return *std::move(provider);
  }

  void Publish(const std::vector<std::string>& jwks) {
    std::string text = R"({"keys":[)";
    for (const auto& jwk : jwks) text += (text.ends_with('[') ? "" : ",") + jwk;
    pages_[kJwks] = text + "]}";
  }

  [[nodiscard]] std::int64_t Now() const {
    return std::chrono::floor<seconds>(clock_.WallNow().time_since_epoch()).count();
  }
  /// Claims that are good for five minutes; `extra` members come with a comma before each.
  [[nodiscard]] std::string Claims(const std::string& extra = "",
                                   const std::string& subject = "alice") const {
    return R"({"iss":")" + std::string(kIssuer) + R"(","sub":")" + subject + R"(","aud":"mezzo","exp":)" +
           std::to_string(Now() + 300) + extra + "}";
  }
  std::string Outcome(OidcProvider& provider, const std::string& token) {
    const auto person = provider.Verify(token, clock_.WallNow());
    if (!person.ok()) {
      EXPECT_THAT(person.error().message(), Not(HasSubstr(token.substr(0, 20))));
      return person.error().reason();
    }
    return "ok";
  }

  mezzo::testing::ManualClock clock_;
  observe::Registry registry_;
  observe::Logger log_;
  std::map<std::string, std::string> pages_;
  std::atomic<int> fetches_{0};
};

TEST_F(OidcTest, EveryAlgorithmIsVerifiedByItsOwnKindOfKey) {
  const std::vector<std::string> names = {"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"};
  std::vector<TokenMint> mints;
  std::vector<std::string> jwks;
  for (const auto& name : names) mints.emplace_back(name, "key-" + name);
  for (const auto& mint : mints) jwks.push_back(mint.Jwk());
  Publish(jwks);
  const auto provider = Make();

  for (const TokenMint& mint : mints) {
    EXPECT_EQ(Outcome(*provider, mint.Sign(Claims())), "ok") << mint.algorithm();
    std::string changed = mint.Sign(Claims("", "mallory"));
    const std::string honest = mint.Sign(Claims("", "bob"));
    changed = changed.substr(0, changed.rfind('.')) + honest.substr(honest.rfind('.'));
    EXPECT_EQ(Outcome(*provider, changed), "token_signature") << mint.algorithm();
    // The same key by the name of every other algorithm.
    for (const auto& other : names) {
      if (other == mint.algorithm()) continue;
      const std::string header = R"({"alg":")" + other + R"(","kid":")" + mint.key_id() + "\"}";
      EXPECT_THAT(Outcome(*provider, mint.Sign(header, Claims())),
                  ::testing::AnyOf("token_algorithm", "token_signature"))
          << mint.algorithm() << " as " << other;
    }
  }
}

TEST_F(OidcTest, NoneAndSharedSecretsAreNeverAccepted) {
  const TokenMint mint("RS256", "k");
  Publish({mint.Jwk()});
  const auto provider = Make();

  for (const char* name :
       {"none", "None", "NONE", "HS256", "HS384", "HS512", "rs256", "ES512", "PS512", "ES256K"}) {
    const std::string header = std::string(R"({"alg":")") + name + R"(","kid":"k"})";
    EXPECT_EQ(Outcome(*provider, mint.Sign(header, Claims())), "token_algorithm") << name;
    for (const auto& secret : {mint.Jwk(), pages_[kJwks], std::string()}) {
      EXPECT_EQ(Outcome(*provider, SignByHmac(header, Claims(), secret)), "token_algorithm") << name;
    }
    EXPECT_EQ(Outcome(*provider, EncodeBase64Url(header) + "." + EncodeBase64Url(Claims()) + "."),
              "token_algorithm")
        << name;
  }
}

TEST_F(OidcTest, AKeyIsOnlyForWhatItsSetSays) {
  const TokenMint mint("RS256", "k");
  const auto outcome = [&](const std::string& extra) {
    Publish({mint.Jwk(extra), TokenMint("EdDSA", "other").Jwk()});
    return Outcome(*Make(), mint.Sign(Claims()));
  };

  EXPECT_EQ(outcome(""), "ok");
  EXPECT_EQ(outcome(R"(,"use":"sig","alg":"RS256","key_ops":["verify"])"), "ok");
  EXPECT_EQ(outcome(R"(,"alg":"RS512")"), "token_algorithm");
  EXPECT_EQ(outcome(R"(,"alg":"PS256")"), "token_algorithm");
  EXPECT_EQ(outcome(R"(,"alg":"HS256")"), "token_signature") << "left out, so not known";
  EXPECT_EQ(outcome(R"(,"use":"enc")"), "token_signature");
  EXPECT_EQ(outcome(R"(,"key_ops":["sign"])"), "token_signature");
}

TEST_F(OidcTest, AKeyThatATokenBringsAlongIsNotTrusted) {
  const TokenMint mint("ES256", "k");
  const TokenMint attacker("ES256", "k");
  Publish({mint.Jwk()});
  const auto provider = Make();

  const std::string header = R"({"alg":"ES256","kid":"k","jwk":)" + attacker.Jwk() +
                             R"(,"jku":"https://attacker.example/keys","x5u":"https://attacker.example/x"})";
  EXPECT_EQ(Outcome(*provider, attacker.Sign(header, Claims())), "token_signature");
  EXPECT_EQ(fetches_, 1) << "and nothing that it names is fetched";
}

TEST_F(OidcTest, ClaimsMustBeOfTheIssuerForUsAndOfThisTime) {
  const TokenMint mint("ES256", "k");
  Publish({mint.Jwk()});
  const auto provider = Make();
  const auto with = [&](const std::string& iss, const std::string& rest) {
    return Outcome(*provider, mint.Sign(R"({"sub":"s","iss":)" + iss + rest + "}"));
  };
  const std::string us = "\"" + std::string(kIssuer) + "\"";
  const auto at = [&](int offset) { return std::to_string(Now() + offset); };
  const std::string good = R"(,"aud":"mezzo","exp":)" + at(300);

  EXPECT_EQ(with(us, good), "ok");
  EXPECT_EQ(with("\"https://id.example/main/\"", good), "token_issuer") << "exactly";
  EXPECT_EQ(with("\"https://ID.example/main\"", good), "token_issuer");
  EXPECT_EQ(with(us, R"(,"aud":["other","mezzo-console"],"exp":)" + at(300)), "ok");
  EXPECT_EQ(with(us, R"(,"aud":["other"],"exp":)" + at(300)), "token_audience");
  EXPECT_EQ(with(us, R"(,"aud":[],"exp":)" + at(300)), "token_audience");
  EXPECT_EQ(with(us, R"(,"exp":)" + at(300)), "token_audience");
  EXPECT_EQ(with(us, R"(,"aud":"mezzo2","exp":)" + at(300)), "token_audience");
  EXPECT_EQ(with(us, R"(,"aud":7,"exp":)" + at(300)), "token_malformed");
  EXPECT_EQ(with(us, R"(,"aud":"mezzo")"), "token_malformed") << "exp is required";
  EXPECT_EQ(with(us, R"(,"aud":"mezzo","exp":"soon")"), "token_malformed");
  EXPECT_EQ(with(us, R"(,"aud":"mezzo","exp":1e300)"), "token_malformed");
  EXPECT_EQ(with(us, R"(,"aud":"mezzo","exp":)" + at(-59)), "ok") << "within the skew";
  EXPECT_EQ(with(us, R"(,"aud":"mezzo","exp":)" + at(-59) + ".5"), "ok");
  EXPECT_EQ(with(us, R"(,"aud":"mezzo","exp":)" + at(-60)), "token_expired");
  EXPECT_EQ(with(us, good + R"(,"nbf":)" + at(60)), "ok");
  EXPECT_EQ(with(us, good + R"(,"nbf":)" + at(61)), "token_expired");
  EXPECT_EQ(with(us, good + R"(,"nbf":true)"), "token_malformed");
  EXPECT_EQ(with(us, good + R"(,"iat":)" + at(60)), "ok");
  EXPECT_EQ(with(us, good + R"(,"iat":)" + at(61)), "token_expired");
}

TEST_F(OidcTest, WhatIsNotWrittenStrictlyIsRefused) {
  const TokenMint mint("ES256", "k");
  Publish({mint.Jwk()});
  const auto provider = Make();
  const auto header = [&](const std::string& extra) {
    return Outcome(*provider, mint.Sign(R"({"alg":"ES256","kid":"k")" + extra + "}", Claims()));
  };

  EXPECT_EQ(header(""), "ok");
  EXPECT_EQ(header(R"(,"typ":"at+jwt")"), "ok");
  EXPECT_EQ(header(R"(,"typ":"application/at+jwt")"), "ok");
  EXPECT_EQ(header(R"(,"typ":"logout+jwt")"), "token_malformed");
  EXPECT_EQ(header(R"(,"typ":1)"), "token_malformed");
  EXPECT_EQ(header(R"(,"crit":["exp"])"), "token_malformed");
  EXPECT_EQ(header(R"(,"crit":[])"), "token_malformed");
  EXPECT_EQ(header(R"(,"b64":false)"), "token_malformed");
  EXPECT_EQ(header(R"(,"alg":"none")"), "token_malformed") << "twice";
  EXPECT_EQ(Outcome(*provider, mint.Sign(R"({"kid":"k"})", Claims())), "token_malformed");
  EXPECT_EQ(Outcome(*provider, mint.Sign(Claims(R"(,"sub":"root")"))), "token_malformed") << "twice";
  EXPECT_EQ(Outcome(*provider, mint.Sign(Claims(R"(,"a":{"b":1,"b":2})"))), "token_malformed");
  EXPECT_EQ(Outcome(*provider, mint.Sign(Claims(",\"a\":" + std::string(15, '[') + std::string(15, ']')))),
            "ok");
  EXPECT_EQ(Outcome(*provider, mint.Sign(Claims(",\"a\":" + std::string(16, '[') + std::string(16, ']')))),
            "token_malformed");
  EXPECT_EQ(Outcome(*provider, mint.Sign(Claims() + " x")), "token_malformed");
  EXPECT_EQ(Outcome(*provider, mint.Sign("[]")), "token_malformed");
  EXPECT_EQ(Outcome(*provider, mint.Sign(Claims("", ""))), "token_malformed") << "nobody";

  const std::string token = mint.Sign(Claims());
  EXPECT_EQ(Outcome(*provider, token), "ok");
  EXPECT_EQ(Outcome(*provider, token + "="), "token_malformed");
  EXPECT_EQ(Outcome(*provider, token + "."), "token_malformed");
  EXPECT_EQ(Outcome(*provider, token + "\n"), "token_malformed");
  EXPECT_EQ(Outcome(*provider, mint.Sign(Claims(",\"a\":\"" + std::string(8192, 'x') + "\""))),
            "token_malformed");
  EXPECT_EQ(Outcome(*provider, mint.Sign(Claims(",\"a\":\"" + std::string(5000, 'x') + "\""))), "ok");
}

TEST_F(OidcTest, NoChangeOfASingleCharacterIsLetIn) {
  const TokenMint mint("ES256", "k");
  Publish({mint.Jwk()});
  const auto provider = Make();
  const std::string token = mint.Sign(Claims());

  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_NE(Outcome(*provider, changed), "ok") << i;
  }
  std::mt19937_64 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string changed = token;
    const std::size_t edits = 1 + random() % 4;
    for (std::size_t e = 0; e < edits; ++e)
      changed[random() % changed.size()] = static_cast<char>(random() % 256);
    if (changed != token) EXPECT_NE(Outcome(*provider, changed), "ok") << i;
  }
}

TEST_F(OidcTest, RotationIsFollowedAndAKeyTakenBackEndsWhatItVouchedFor) {
  const TokenMint first("ES256", "1");
  const TokenMint second("ES256", "2");
  Publish({first.Jwk()});
  const auto provider = Make();
  const std::string old = first.Sign(Claims());
  EXPECT_EQ(Outcome(*provider, old), "ok");

  Publish({first.Jwk(), second.Jwk()});
  const std::string fresh = second.Sign(Claims());
  EXPECT_EQ(Outcome(*provider, fresh), "token_signature") << "the network is not waited for";
  EXPECT_LE(provider->next_fetch(), clock_.Now() + seconds(10));
  clock_.Advance(seconds(10));
  provider->FetchDue();
  EXPECT_EQ(Outcome(*provider, fresh), "ok");
  EXPECT_EQ(Outcome(*provider, old), "ok");

  Publish({second.Jwk()});
  EXPECT_EQ(Outcome(*provider, old), "ok");
  clock_.Advance(minutes(4));
  EXPECT_EQ(Outcome(*provider, second.Sign(Claims())), "ok");
  clock_.Advance(minutes(6));
  provider->FetchDue();  // By the calendar.
  EXPECT_EQ(Outcome(*provider, first.Sign(Claims())), "token_signature");
}

TEST_F(OidcTest, ARememberedTokenFallsWithItsKey) {
  const TokenMint first("ES256", "1");
  const TokenMint second("ES256", "2");
  Publish({first.Jwk()});
  OidcProvider::Options options = Defaults();
  options.refresh = seconds(20);
  const auto provider = Make(options);
  const std::string token = first.Sign(Claims());
  EXPECT_EQ(Outcome(*provider, token), "ok");

  Publish({second.Jwk()});
  clock_.Advance(seconds(20));
  EXPECT_EQ(Outcome(*provider, token), "ok") << "still remembered";
  provider->FetchDue();
  EXPECT_EQ(Outcome(*provider, token), "token_signature");
}

TEST_F(OidcTest, ARememberedTokenEndsWithItself) {
  const TokenMint mint("ES256", "k");
  Publish({mint.Jwk()});
  const auto provider = Make();
  const std::string token =
      mint.Sign(R"({"iss":")" + std::string(kIssuer) + R"(","sub":"s","aud":"mezzo","exp":)" +
                std::to_string(Now() + 5) + "}");

  const auto first = provider->Verify(token, clock_.WallNow());
  const auto again = provider->Verify(token, clock_.WallNow());
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(*first, *again) << "one person, shared";
  clock_.Advance(seconds(64));
  EXPECT_EQ(Outcome(*provider, token), "ok") << "within the skew";
  clock_.Advance(seconds(1));
  EXPECT_EQ(Outcome(*provider, token), "token_expired");
}

TEST_F(OidcTest, AFloodOfUnknownKeysFetchesRarely) {
  const TokenMint mint("ES256", "k");
  Publish({mint.Jwk()});
  const auto provider = Make();
  EXPECT_EQ(fetches_, 1);

  const TokenMint stranger("EdDSA", "x");
  for (int i = 0; i < 10'000; ++i) {
    if (i % 10 == 0) {
      const std::string header = R"({"alg":"ES256","kid":"made-up-)" + std::to_string(i) + "\"}";
      EXPECT_EQ(Outcome(*provider, stranger.Sign(header, Claims())), "token_signature");
    }
    clock_.Advance(milliseconds(10));
    provider->FetchDue();
  }
  // 100 seconds: at most one in nine of them, which the jitter makes of ten.
  EXPECT_GE(fetches_, 9);
  EXPECT_LE(fetches_, 1 + 12);
  EXPECT_EQ(Outcome(*provider, mint.Sign(Claims())), "ok");
}

TEST_F(OidcTest, WhileTheIssuerIsDownItsKeysAreKeptUpToABound) {
  const TokenMint mint("ES256", "k");
  Publish({mint.Jwk()});
  const auto provider = Make();
  pages_.clear();
  int rounds = 0;
  for (const TimePoint end = clock_.Now() + hours(24) - minutes(2); clock_.Now() < end; ++rounds) {
    clock_.Advance(minutes(1));
    provider->FetchDue();
    ASSERT_EQ(Outcome(*provider, mint.Sign(Claims())), "ok") << rounds;
  }
  EXPECT_GT(fetches_, 100) << "it is asked again and again";
  EXPECT_LE(fetches_, rounds + 8);
  clock_.Advance(minutes(2));
  const auto refused = provider->Verify(mint.Sign(Claims()), clock_.WallNow());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason(), "issuer_unavailable");
  EXPECT_TRUE(refused.error().retry_after().has_value());

  Publish({mint.Jwk()});
  clock_.Advance(minutes(1));
  provider->FetchDue();
  EXPECT_EQ(Outcome(*provider, mint.Sign(Claims())), "ok");
}

TEST_F(OidcTest, AnAnswerThatIsNoKeySetChangesNothing) {
  const TokenMint mint("ES256", "k");
  Publish({mint.Jwk()});
  const auto provider = Make();
  std::string many = R"({"keys":[)";
  for (int i = 0; i < 65; ++i) many += (i == 0 ? "" : ",") + mint.Jwk();
  for (const std::string& answer :
       {std::string(), std::string("<html>"), std::string(R"({"keys":[]})"), std::string(R"({"keys":{}})"),
        std::string(R"({"keys":[{"kty":"oct","k":"AA","kid":"k"}]})"), many + "]}"}) {
    pages_[kJwks] = answer;
    clock_.Advance(minutes(10));
    provider->FetchDue();
    EXPECT_EQ(Outcome(*provider, mint.Sign(Claims())), "ok") << answer.substr(0, 40);
  }
}

TEST_F(OidcTest, KeysAreFoundByDiscoveryIfItIsTheIssuersOwn) {
  const TokenMint mint("ES256", "k");
  Publish({mint.Jwk()});
  OidcProvider::Options options = Defaults();
  options.issuers[0].jwks_url.clear();
  const std::string document = R"(,"jwks_uri":")" + std::string(kJwks) + "\"}";

  pages_[kDiscovery] = R"({"issuer":")" + std::string(kIssuer) + "\"" + document;
  EXPECT_EQ(Outcome(*Make(options), mint.Sign(Claims())), "ok");
  pages_[kDiscovery] = R"({"issuer":"https://other.example")" + document;
  EXPECT_EQ(Outcome(*Make(options), mint.Sign(Claims())), "issuer_unavailable");
  pages_[kDiscovery] = R"({"jwks_uri":")" + std::string(kJwks) + "\"}";
  EXPECT_EQ(Outcome(*Make(options), mint.Sign(Claims())), "issuer_unavailable");
}

TEST_F(OidcTest, ATokenWithoutKeyIdIsTriedAgainstTheKeysThatFit) {
  const TokenMint one("ES256", "1");
  const TokenMint two("ES256", "2");
  Publish({TokenMint("EdDSA", "e").Jwk(), one.Jwk(), two.Jwk()});
  const auto provider = Make();

  EXPECT_EQ(Outcome(*provider, two.Sign(R"({"alg":"ES256"})", Claims())), "ok");
  EXPECT_EQ(Outcome(*provider, TokenMint("ES256", "3").Sign(R"({"alg":"ES256"})", Claims())),
            "token_signature");
  EXPECT_EQ(Outcome(*provider, two.Sign(R"({"alg":"ES256","kid":"1"})", Claims())), "token_signature");
}

TEST_F(OidcTest, TheThreadFetchesByItselfAndWhenAsked) {
  const TokenMint first("ES256", "1");
  const TokenMint second("ES256", "2");
  RealClock real;
  Mutex mu;
  std::string keys = R"({"keys":[)" + first.Jwk() + "]}";
  OidcProvider::Options options = Defaults();
  options.min_refetch = milliseconds(20);
  auto provider = *OidcProvider::Create(
      options, {.clock = real,
                .registry = registry_,
                .log = log_,
                .fetch = [&](std::size_t, const std::string&, TimePoint) -> Result<std::string> {
                  MutexLock lock(mu);
                  return keys;
                }});
  const auto until_ok = [&](const std::string& token) {
    for (int i = 0; i < 1000; ++i) {
      // These tokens are of the manual clock's time.
      if (provider->Verify(token, clock_.WallNow()).ok()) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  };
  provider->Start();
  EXPECT_TRUE(until_ok(first.Sign(Claims())));
  {
    MutexLock lock(mu);
    keys = R"({"keys":[)" + second.Jwk() + "]}";
  }
  EXPECT_TRUE(until_ok(second.Sign(Claims())));
  provider->Stop();
}

TEST_F(OidcTest, ManyThreadsVerifyWhileKeysChange) {
  const TokenMint always("ES256", "always");
  Publish({always.Jwk()});
  const auto provider = Make();
  // Good for longer than the clock runs here.
  const std::string token =
      always.Sign(R"({"iss":")" + std::string(kIssuer) + R"(","sub":"s","aud":"mezzo","exp":)" +
                  std::to_string(Now() + 100'000) + "}");
  std::atomic<bool> stop{false};
  std::atomic<int> good{0};
  std::atomic<int> bad{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!stop) ++(provider->Verify(token, clock_.WallNow()).ok() ? good : bad);
    });
  }
  for (int i = 0; i < 50; ++i) {
    Publish({always.Jwk(), TokenMint("EdDSA", "r" + std::to_string(i)).Jwk()});
    clock_.SetTo(provider->next_fetch());
    provider->FetchDue();
    std::this_thread::sleep_for(milliseconds(1));
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(fetches_, 51);
  EXPECT_GT(good, 0);
  EXPECT_EQ(bad, 0);
}

TEST_F(OidcTest, DeclarationsAreChecked) {
  const auto reason = [&](auto change) {
    OidcProvider::Options options = Defaults();
    change(options);
    const auto made = OidcProvider::Create(
        std::move(options), {.clock = clock_, .registry = registry_, .log = log_, .fetch = {}});
    return made.ok() ? std::string("ok") : made.error().reason();
  };
  EXPECT_EQ(reason([](auto&) {}), "ok");
  EXPECT_EQ(reason([](auto& o) { o.issuers[0].issuer = "id.example"; }), "oidc_invalid");
  EXPECT_EQ(reason([](auto& o) { o.issuers[0].jwks_url = "file:///etc/passwd"; }), "oidc_invalid");
  EXPECT_EQ(reason([](auto& o) { o.issuers[0].audiences.clear(); }), "oidc_invalid");
  EXPECT_EQ(reason([](auto& o) { o.issuers[0].audiences = {""}; }), "oidc_invalid");
  EXPECT_EQ(reason([](auto& o) { o.issuers[0].role_map.clear(); }), "oidc_invalid");
  EXPECT_EQ(reason([](auto& o) { o.issuers.push_back(o.issuers[0]); }), "oidc_invalid");
}

/// Where a person is let in: the directory with a provider.
class OidcDirectoryTest : public OidcTest {
 protected:
  OidcDirectoryTest() : mint_("ES256", "k") { Publish({mint_.Jwk()}); }

  static CallerRef PersonIn(const TenantRef& tenant, Role role, const std::string& subject) {
    return std::make_shared<const Caller>(
        Caller{.tenant = tenant, .scopes = ScopesOf(role, tenant->platform), .user = subject});
  }
  Directory::Contents Contents() {
    Directory::Contents contents;
    Tenant platform;
    platform.id = TenantId("platform");
    platform.platform = true;
    contents.tenants = {MakeTenant("main", 0), MakeTenant("lab", 1), MakeTenant("gone", 2),
                        std::make_shared<const Tenant>(platform)};
    contents.suspended = {TenantId("gone")};
    const auto add = [&](std::size_t tenant, Role role, const std::string& subject) {
      contents.people.push_back({.issuer = kIssuer,
                                 .subject = subject,
                                 .caller = PersonIn(contents.tenants[tenant], role, subject)});
    };
    add(0, Role::kViewer, "both");
    add(1, Role::kAdmin, "both");
    add(1, Role::kDeveloper, "lab-only");
    contents.people.push_back({.issuer = "https://other.example",
                               .subject = "elsewhere",
                               .caller = PersonIn(contents.tenants[0], Role::kAdmin, "elsewhere")});
    return contents;
  }
  /// "tenant/user:scope,scope", or the reason of the refusal.
  static std::string Who(const Directory& directory, const std::string& credential,
                         bool from_loopback = true) {
    const auto caller = directory.Authenticate(credential, from_loopback);
    if (!caller.ok()) return caller.error().reason();
    std::string text = (*caller)->tenant->id.str() + "/" + (*caller)->user + ":";
    for (const auto& scope : (*caller)->scopes.Names()) text += (text.ends_with(':') ? "" : ",") + scope;
    return text;
  }

  TokenMint mint_;
};

TEST_F(OidcDirectoryTest, ClaimsAreMappedAndTheDatabaseGoesFirst) {
  const auto provider = Make();
  Directory directory(Contents(), clock_);
  directory.set_people(provider.get());
  const auto who = [&](const std::string& subject, const std::string& extra) {
    return Who(directory, "Bearer " + mint_.Sign(Claims(extra, subject)));
  };
  const std::string devs = R"(,"realm_access":{"roles":["devs","offline"]})";
  const std::string ops = R"(,"realm_access":{"roles":["devs","ops"]})";

  EXPECT_EQ(who("alice", devs), "main/alice:infer");
  EXPECT_EQ(who("alice", ops), "main/alice:infer,keys") << "the highest";
  EXPECT_EQ(who("alice", ops + R"(,"org":"lab")"), "lab/alice:infer,keys");
  EXPECT_EQ(who("alice", R"(,"org":"lab")"), "person_unknown");
  EXPECT_EQ(who("alice", R"(,"realm_access":{"roles":"ops"})"), "main/alice:infer,keys");
  EXPECT_EQ(who("alice", R"(,"realm_access":["ops"])"), "person_unknown");
  EXPECT_EQ(who("alice", ops + R"(,"org":"nowhere")"), "person_unknown");
  EXPECT_EQ(who("alice", ops + R"(,"org":"gone")"), "person_unknown") << "suspended";
  EXPECT_EQ(who("alice", ops + R"(,"org":"platform")"), "person_unknown") << "not listed";
  EXPECT_EQ(who("both", ops), "main/both:read");
  EXPECT_EQ(who("both", ops + R"(,"org":"lab")"), "lab/both:infer,manage");
  EXPECT_EQ(who("both", ops + R"(,"org":"nowhere")"), "person_ambiguous");
  EXPECT_EQ(who("lab-only", ""), "lab/lab-only:infer");
  EXPECT_EQ(who("lab-only", ops), "main/lab-only:infer,keys")
      << "no tenant can draw people to itself that their claims put elsewhere";
  EXPECT_EQ(who("elsewhere", ""), "person_unknown") << "another issuer's";
}

TEST_F(OidcDirectoryTest, AnIssuerSpeaksOnlyForTheTenantsItIsGiven) {
  OidcProvider::Options options = Defaults();
  options.issuers[0].tenants = {TenantId("lab"), TenantId("platform")};
  const auto provider = Make(options);
  Directory directory(Contents(), clock_);
  directory.set_people(provider.get());
  const auto who = [&](const std::string& org) {
    return Who(directory,
               mint_.Sign(Claims(R"(,"realm_access":{"roles":["ops"]},"org":")" + org + "\"", "alice")));
  };

  EXPECT_EQ(who("lab"), "lab/alice:infer,keys");
  EXPECT_EQ(who("platform"), "platform/alice:infer,keys,operate");
  EXPECT_EQ(who("main"), "main/alice:infer,keys") << "its own";
  EXPECT_EQ(who("gone"), "person_unknown");
}

TEST_F(OidcDirectoryTest, CallersAreSharedUntilTheirTenantChanges) {
  const auto provider = Make();
  Directory directory(Contents(), clock_);
  directory.set_people(provider.get());
  const std::string token = mint_.Sign(Claims(R"(,"realm_access":{"roles":["ops"]})"));
  const std::string later = mint_.Sign(Claims(R"(,"realm_access":{"roles":["ops"]},"jti":"2")"));

  const CallerRef caller = *directory.Authenticate(token, false);
  EXPECT_EQ(caller, *directory.Authenticate(token, false));
  EXPECT_EQ(caller, *directory.Authenticate("Bearer " + later, false)) << "also by another token";
  Directory::Contents contents = Contents();
  contents.suspended.push_back(TenantId("main"));
  directory.Replace(std::move(contents));
  EXPECT_EQ(Who(directory, token), "person_unknown");
  directory.Replace(Contents());
  const CallerRef fresh = *directory.Authenticate(token, false);
  EXPECT_NE(caller, fresh);
  EXPECT_NE(caller->tenant, fresh->tenant);
}

TEST_F(OidcDirectoryTest, ABadTokenIsNeverTakenForNone) {
  const auto provider = Make();
  Directory::Contents contents = testing::Anybody();
  contents.anonymous_from_anywhere = true;
  Directory directory(std::move(contents), clock_);

  EXPECT_EQ(Who(directory, "Bearer a.b.c"), "anonymous/:admin") << "without a provider it is no token";
  directory.set_people(provider.get());
  EXPECT_EQ(Who(directory, "Bearer a.b.c"), "token_malformed");
  EXPECT_EQ(Who(directory, "Bearer " + TokenMint("ES256", "k").Sign(Claims())), "token_signature");
  EXPECT_EQ(Who(directory, "Bearer a.b." + std::string(10'000, 'x')), "token_malformed");
  EXPECT_EQ(Who(directory, "Bearer none-at-all"), "anonymous/:admin");
}

TEST_F(OidcDirectoryTest, AnApiKeyOfTheSameFormStaysOne) {
  const auto provider = Make();
  Directory directory(testing::OnlyKeys({{"declared.by.hand", "team", {Scope::kInfer}}}), clock_);
  directory.set_people(provider.get());

  EXPECT_EQ(Who(directory, "declared.by.hand"), "team/:infer");
  EXPECT_EQ(Who(directory, "mz_no-key"), "key_unknown");
}

TEST(Base64Url, HasOneTextForEveryValue) {
  using internal::DecodeBase64Url;
  EXPECT_EQ(DecodeBase64Url(""), "");
  EXPECT_EQ(DecodeBase64Url("-_8"), "\xfb\xff");
  for (const char* bad : {"A", "AB", "AAB", "AA==", "A+AA", "A/AA", "AA A", "AAAAA", "AA\n"}) {
    EXPECT_EQ(DecodeBase64Url(bad), std::nullopt) << bad;
  }
  std::mt19937_64 random(3);
  for (int i = 0; i < 500; ++i) {
    std::string bytes(random() % 64, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % 256);
    EXPECT_EQ(DecodeBase64Url(EncodeBase64Url(bytes)), bytes);
  }
}

TEST(StringsAt, FollowsDotsAndNamesThatHaveThem) {
  const auto claims =
      *internal::ParseStrictObject(R"({"a":{"b":["x",1,"y"],"c.d":"z"},"https://e.f/roles":["r"],"n":7})", 8);
  EXPECT_THAT(internal::StringsAt(claims, "a.b"), ElementsAre("x", "y"));
  EXPECT_THAT(internal::StringsAt(claims, "a.c.d"), ElementsAre("z"));
  EXPECT_THAT(internal::StringsAt(claims, "https://e.f/roles"), ElementsAre("r"));
  EXPECT_THAT(internal::StringsAt(claims, "n"), IsEmpty());
  EXPECT_THAT(internal::StringsAt(claims, "a.x"), IsEmpty());
  EXPECT_THAT(internal::StringsAt(claims, ""), IsEmpty());
}

}  // namespace
}  // namespace mezzo::tenancy
