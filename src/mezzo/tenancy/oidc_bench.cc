// Question: what does a call with a token of about 1 KiB cost at the gate, when the token is remembered, and
// when its signature has to be checked? Budget for the first: that of an admission, 2 µs.

#include <chrono>

#include <benchmark/benchmark.h>

#include "mezzo/tenancy/directory.h"
#include "mezzo/tenancy/oidc_provider.h"
#include "mezzo/tenancy/testing/directories.h"
#include "mezzo/tenancy/testing/token_mint.h"

namespace mezzo::tenancy {
namespace {

constexpr char kIssuer[] = "https://id.example";

struct World {
  explicit World(const std::string& algorithm, Duration remember) : mint(algorithm, "k") {
    OidcProvider::Options options;
    options.issuers = {{.issuer = kIssuer,
                        .audiences = {"mezzo"},
                        .jwks_url = "https://id.example/keys",
                        .roles_claim = "groups",
                        .role_map = {{"devs", Role::kDeveloper}},
                        .tenant_claim = "",
                        .tenant = TenantId("anonymous"),
                        .tenants = {}}};
    options.remember = remember;
    provider = *OidcProvider::Create(std::move(options), {.clock = clock,
                                                          .registry = registry,
                                                          .log = log,
                                                          .fetch = [this](std::size_t, const std::string&,
                                                                          TimePoint) -> Result<std::string> {
                                                            return R"({"keys":[)" + mint.Jwk() + "]}";
                                                          }});
    provider->FetchDue();
    directory.set_people(provider.get());
    const auto now = std::chrono::floor<std::chrono::seconds>(clock.WallNow().time_since_epoch()).count();
    token = "Bearer " +
            mint.Sign(R"({"iss":"https://id.example","sub":"alice","aud":"mezzo","groups":["devs"],"exp":)" +
                      std::to_string(now + 3600) + R"(,"more":")" + std::string(300, 'x') + "\"}");
  }

  RealClock clock;
  observe::Registry registry;
  observe::Logger log{{.level = observe::LogLevel::kOff}, clock};
  testing::TokenMint mint;
  std::unique_ptr<OidcProvider> provider;
  Directory directory{testing::Anybody(), clock};
  std::string token;
};

void Admission(benchmark::State& state, const std::string& algorithm, Duration remember) {
  World world(algorithm, remember);
  for (auto _ : state) {
    auto caller = Admit(world.directory, world.token, false, Scope::kInfer);
    if (!caller.ok()) state.SkipWithError(caller.error().reason().c_str());
    benchmark::DoNotOptimize(caller);
  }
  state.SetLabel(std::to_string(world.token.size()) + " bytes");
}

BENCHMARK_CAPTURE(Admission, remembered, "RS256", std::chrono::minutes(1));
BENCHMARK_CAPTURE(Admission, rs256, "RS256", Duration::zero());
BENCHMARK_CAPTURE(Admission, ps256, "PS256", Duration::zero());
BENCHMARK_CAPTURE(Admission, es256, "ES256", Duration::zero());
BENCHMARK_CAPTURE(Admission, es384, "ES384", Duration::zero());
BENCHMARK_CAPTURE(Admission, eddsa, "EdDSA", Duration::zero());

}  // namespace
}  // namespace mezzo::tenancy
