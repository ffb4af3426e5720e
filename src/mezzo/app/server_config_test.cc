#include "mezzo/app/server_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/app/people.h"
#include "mezzo/app/server_schema.h"
#include "mezzo/config/load.h"

namespace mezzo::app {
namespace {

using ::testing::HasSubstr;

Result<ServerConfig> Parse(const std::string& yaml) {
  return config::ParseYaml<ServerConfig>(yaml, "mezzo.yaml");
}

TEST(ServerConfig, DefaultsListenOnLoopbackOnly) {
  const ServerConfig config;

  EXPECT_EQ(config.http.address, "127.0.0.1");
  EXPECT_EQ(config.grpc.address, "127.0.0.1");
  EXPECT_TRUE(CheckExposure(config).ok());
}

TEST(ServerConfig, OtherAddressesNeedKeysOrInsecure) {
  ServerConfig config = Parse("{http: {address: 0.0.0.0}, jobs: {enabled: false}}").value();
  EXPECT_FALSE(ListensOnLoopbackOnly(config));

  const auto refused = CheckExposure(config);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("http.address is 0.0.0.0"));

  config.insecure = true;
  EXPECT_TRUE(CheckExposure(config).ok());
  config.insecure = false;
  config.tenants.push_back({.id = "a", .key_sha256 = {std::string(64, 'a')}});
  EXPECT_TRUE(CheckExposure(config).ok());
}

TEST(ServerConfig, WithADatabaseOtherAddressesNeedNoDeclaredKeys) {
  const ServerConfig config = Parse("http: {address: 0.0.0.0}").value();

  EXPECT_TRUE(CheckExposure(config).ok());
}

TEST(ServerConfig, UnknownKeysAreNamedWithTheNearestOne) {
  const auto failed = Parse("models:\n  repositorys: [a]\n");

  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message(), HasSubstr("mezzo.yaml:2:3: unknown key 'repositorys' in models"));
  EXPECT_THAT(failed.error().message(), HasSubstr("did you mean 'repositories'?"));
}

TEST(MakeWebhookSecrets, AreThoseOfEachTenantAndChecked) {
  ServerConfig config;
  const config::Secret good("env:A", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
  config.tenants = {{.id = "a", .webhook_secrets = {good, good}}, {.id = "b"}};
  const auto secrets = MakeWebhookSecrets(config);
  ASSERT_TRUE(secrets.ok());
  EXPECT_EQ(*secrets, (WebhookSecrets{{TenantId("a"), {good.Reveal(), good.Reveal()}}}));

  config.tenants[1].webhook_secrets = {{"env:B", "very-secret"}};
  const auto refused = MakeWebhookSecrets(config);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason(), "config_invalid_value");
  EXPECT_THAT(refused.error().message(), HasSubstr("'b'"));
  EXPECT_THAT(refused.error().message(), ::testing::Not(HasSubstr("very-secret")));
}

TEST(CallersOf, GivesTenantsTheirClassesAndScopes) {
  const ServerConfig config =
      Parse(
          "tenants:\n"
          "  - {id: web, weight: 4, classes: [interactive], scopes: [infer, observe], key_sha256: [" +
          std::string(64, 'b') + "]}\n")
          .value();

  const auto callers = CallersOf(config).value();

  EXPECT_EQ(callers.anonymous, nullptr);
  ASSERT_EQ(callers.tenants.size(), 1u);
  const tenancy::Tenant& web = *callers.tenants[0];
  EXPECT_EQ(web.weight, 4.0);
  EXPECT_TRUE(web.classes[0]);
  EXPECT_FALSE(web.classes[1]);
  EXPECT_TRUE(web.platform);  // As it may observe what all tenants do.
  ASSERT_EQ(callers.keys.size(), 1u);
  EXPECT_TRUE(callers.keys[0].caller->Has(tenancy::Scope::kObserve));
  EXPECT_FALSE(callers.keys[0].caller->Has(tenancy::Scope::kAdmin));
}

TEST(CallersOf, RefusesWhatCannotBeMeant) {
  ServerConfig config;
  config.tenants = {{.id = "a", .scopes = {"root"}, .key_sha256 = {}}};
  EXPECT_THAT(CallersOf(config).error().message(),
              HasSubstr("scope must be read, infer, keys, manage, observe, operate or admin, not 'root'"));
  config.tenants = {{.id = "a", .key_sha256 = {"secret"}}};
  EXPECT_THAT(CallersOf(config).error().message(), HasSubstr("64 lower-case hex digits"));
  config.tenants = {{.id = "a"}};
  EXPECT_THAT(CallersOf(config).error().message(), HasSubstr("none of them has a key_sha256"));
  config.tenants = {{.id = "a", .key_sha256 = {std::string(64, 'a')}}, {.id = "a"}};
  EXPECT_THAT(CallersOf(config).error().message(), HasSubstr("is declared twice"));
}

TEST(CallersOf, WithIssuersNobodyIsAnonymousUnlessInsecure) {
  ServerConfig config;
  config.oidc = {{.issuer = "https://id.example", .audience = {"mezzo"}}};
  EXPECT_EQ(CallersOf(config)->anonymous, nullptr);
  config.insecure = true;
  EXPECT_NE(CallersOf(config)->anonymous, nullptr);
  config.tenants = {{.id = "a"}};
  EXPECT_EQ(CallersOf(config)->tenants.size(), 1u) << "people need no key";
}

TEST(OidcOptionsOf, ReadsTheSectionAndRefusesWhatCannotBeMeant) {
  const std::string good = R"(
    issuer: "https://id.example"
    audience: [mezzo]
    roles_claim: groups
    role_map: {staff: admin}
    tenant_claim: org
    tenants: [lab]
)";
  const auto outcome = [&good](const std::string& more, std::string_view without = "") -> std::string {
    std::string entry = good + more;
    if (!without.empty()) entry.erase(entry.find(without), without.size());
    const auto config = Parse("oidc:\n  - " + entry.substr(5));
    if (!config.ok()) return config.error().message();
    const auto options = OidcOptionsOf(*config);
    return options.ok() ? "ok" : options.error().message();
  };
  EXPECT_EQ(outcome(""), "ok");
  EXPECT_EQ(outcome("    tenant: acme\n"), "ok");
  EXPECT_THAT(outcome("", "    audience: [mezzo]\n"), HasSubstr("audience"));
  EXPECT_THAT(outcome("", "    tenant_claim: org\n"), HasSubstr("role_map needs tenant or tenant_claim"));
  EXPECT_THAT(outcome("    jwks_url: http://id.example/keys\n"), HasSubstr("allow_http"));
  EXPECT_EQ(outcome("    jwks_url: http://id.example/keys\n    allow_http: true\n"), "ok");

  ServerConfig config;
  config.oidc = {{.issuer = "https://id.example", .audience = {"mezzo"}, .tenant = "a"}};
  config.oidc[0].role_map = {{"staff", "boss"}};
  EXPECT_THAT(OidcOptionsOf(config).error().message(), HasSubstr("'staff' must be viewer"));
}

}  // namespace
}  // namespace mezzo::app
