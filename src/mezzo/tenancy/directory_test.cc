#include "mezzo/tenancy/directory.h"

#include <gtest/gtest.h>

#include "mezzo/tenancy/testing/directories.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::tenancy {
namespace {

using testing::Anybody;
using testing::MakeCaller;
using testing::MakeTenant;
using testing::OnlyKeys;

class DirectoryTest : public ::testing::Test {
 protected:
  /// The tenant of whoever is let in, or the reason of the refusal.
  static std::string Who(const Directory& directory, std::string_view credential, bool from_loopback = true) {
    const auto caller = directory.Authenticate(credential, from_loopback);
    return caller.ok() ? (*caller)->tenant->id.str() : caller.error().reason();
  }

  mezzo::testing::ManualClock clock_;
};

TEST_F(DirectoryTest, WithoutKeysOnlyThisHostIsAnonymous) {
  const Directory closed(Anybody(), clock_);
  Directory::Contents contents = Anybody();
  contents.anonymous_from_anywhere = true;
  const Directory open(std::move(contents), clock_);

  EXPECT_EQ(Who(closed, ""), "anonymous");
  EXPECT_EQ(Who(closed, "Bearer unused"), "anonymous");
  EXPECT_EQ(Who(closed, "", false), "key_missing");
  EXPECT_EQ(Who(open, "", false), "anonymous");
}

TEST_F(DirectoryTest, AKeyOfOursIsNeverTakenForNone) {
  const Directory directory(Anybody(), clock_);

  EXPECT_EQ(Who(directory, "Bearer mz_abc"), "key_unknown");
}

TEST_F(DirectoryTest, WithKeysEvenThisHostNeedsOne) {
  const Directory directory(OnlyKeys({{"s3cret", "team", {Scope::kInfer}}}), clock_);

  EXPECT_EQ(Who(directory, ""), "key_missing");
  EXPECT_EQ(Who(directory, "Bearer wrong"), "key_unknown");
  EXPECT_EQ(Who(directory, std::string(10'000, 'x')), "key_unknown");
  EXPECT_EQ(Who(directory, "bearer  s3cret ", false), "team");
  EXPECT_EQ(Who(directory, "s3cret", false), "team");
}

TEST_F(DirectoryTest, AKeyIsRefusedFromItsExpiryOn) {
  Directory::Contents contents = OnlyKeys({{"k", "team", {Scope::kInfer}}});
  contents.keys[0].expires = clock_.WallNow() + std::chrono::seconds(10);
  const Directory directory(std::move(contents), clock_);

  EXPECT_EQ(Who(directory, "k"), "team");
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_EQ(Who(directory, "k"), "key_expired");
}

TEST_F(DirectoryTest, AReplacementCountsFromTheNextCallOn) {
  Directory directory(OnlyKeys({{"old", "a", {Scope::kInfer}}}), clock_);
  const CallerRef admitted = *directory.Authenticate("old", true);

  directory.Replace(OnlyKeys({{"new", "b", {Scope::kInfer}}}));

  EXPECT_EQ(Who(directory, "old"), "key_unknown");
  EXPECT_EQ(Who(directory, "new"), "b");
  EXPECT_EQ(admitted->tenant->id.str(), "a");
  EXPECT_EQ(directory.Find(TenantId("a")).error().reason(), "tenant_unknown");
  EXPECT_TRUE(directory.Find(TenantId("b")).ok());
}

TEST_F(DirectoryTest, AdmissionNamesTheMissingScope) {
  const Directory directory(OnlyKeys({{"k", "team", {Scope::kInfer}}}), clock_);

  EXPECT_TRUE(Admit(directory, "k", true, Scope::kInfer).ok());
  const auto refused = Admit(directory, "k", true, Scope::kAdmin);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message(), "the API key of tenant 'team' has no scope 'admin'");
}

TEST(ScopeSet, HasWhatItsScopesInclude) {
  const ScopeSet infer = {Scope::kInfer};
  EXPECT_TRUE(infer.Has(Scope::kRead));
  EXPECT_FALSE(infer.Has(Scope::kKeys));
  const ScopeSet admin = {Scope::kAdmin};
  for (std::size_t i = 0; i < kScopeCount; ++i) EXPECT_TRUE(admin.Has(static_cast<Scope>(i))) << i;
  EXPECT_EQ(admin.Names(), std::vector<std::string>{"admin"});
  EXPECT_EQ((ScopeSet{Scope::kInfer, Scope::kManage}).Names(), (std::vector<std::string>{"infer", "manage"}));
}

TEST(ScopeSet, KnowsWhatReachesOtherTenants) {
  EXPECT_FALSE((ScopeSet{Scope::kInfer, Scope::kManage}).reaches_others());
  const ScopeSet operate = {Scope::kOperate, Scope::kInfer};
  EXPECT_TRUE(operate.reaches_others());
  EXPECT_EQ(operate.OwnTenantOnly(), (ScopeSet{Scope::kInfer}));
}

}  // namespace
}  // namespace mezzo::tenancy
