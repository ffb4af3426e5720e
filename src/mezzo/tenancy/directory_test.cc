#include "mezzo/tenancy/directory.h"

#include <gtest/gtest.h>

#include "mezzo/base/strings.h"

namespace mezzo::tenancy {
namespace {

TenantRef MakeTenant(const char* name, std::vector<Scope> scopes) {
  Tenant tenant;
  tenant.id = TenantId(name);
  tenant.scopes = std::move(scopes);
  return std::make_shared<const Tenant>(std::move(tenant));
}

TEST(Directory, WithoutKeysOnlyLoopbackIsAnonymous) {
  const Directory closed({MakeTenant("anonymous", {Scope::kAdmin})}, {}, /*insecure=*/false);
  const Directory open({MakeTenant("anonymous", {Scope::kAdmin})}, {}, /*insecure=*/true);

  EXPECT_EQ(closed.Authenticate("", true).value()->id.str(), "anonymous");
  EXPECT_EQ(closed.Authenticate("", false).error().reason(), "key_missing");
  EXPECT_TRUE(open.Authenticate("", false).ok());
}

TEST(Directory, WithKeysEvenLoopbackNeedsOne) {
  const TenantRef team = MakeTenant("team", {Scope::kInfer});
  const Directory directory({team}, {{Sha256Hex("s3cret"), team}}, /*insecure=*/false);

  EXPECT_EQ(directory.Authenticate("", true).error().reason(), "key_missing");
  EXPECT_EQ(directory.Authenticate("Bearer wrong", true).error().reason(), "key_unknown");
  EXPECT_EQ(directory.Authenticate(std::string(10'000, 'x'), true).error().reason(), "key_unknown");
  EXPECT_EQ(directory.Authenticate("bearer  s3cret ", false).value()->id.str(), "team");
  EXPECT_EQ(directory.Authenticate("s3cret", false).value()->id.str(), "team");
}

TEST(Admit, NamesTheMissingScope) {
  const TenantRef team = MakeTenant("team", {Scope::kInfer});
  const Directory directory({team}, {{Sha256Hex("k"), team}}, false);

  EXPECT_TRUE(Admit(directory, "k", true, Scope::kInfer).ok());
  const auto refused = Admit(directory, "k", true, Scope::kAdmin);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message(), "the API key of tenant 'team' has no scope 'admin'");
}

}  // namespace
}  // namespace mezzo::tenancy
