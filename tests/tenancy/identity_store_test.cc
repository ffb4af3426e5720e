#include "mezzo/tenancy/identity_store.h"

#include <atomic>
#include <cmath>
#include <thread>

#include "databases.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/observe/log.h"
#include "mezzo/tenancy/directory_feed.h"

namespace mezzo::tenancy {
namespace {

using namespace std::chrono_literals;
using storage::SqlDialect;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class IdentityStoreTest : public ::testing::TestWithParam<SqlDialect> {
 protected:
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + 20s; }
  void MakeTenant(const std::string& id, TenantSettings settings = {}) {
    const auto made = store_.CreateTenant(TenantId(id), settings, Soon());
    ASSERT_TRUE(made.ok()) << made.error().ToString();
  }
  IssuedKey MakeKey(const std::string& tenant, ScopeSet scopes = {Scope::kInfer},
                    std::optional<WallTime> expires = {}) {
    NewKey key{.tenant = TenantId(tenant), .project = {}, .name = "k", .scopes = scopes, .expires = expires};
    key.created_by = "test";
    auto issued = store_.CreateKey(key, Soon());
    EXPECT_TRUE(issued.ok()) << issued.error().ToString();
    return *std::move(issued);
  }
  std::int64_t Revision() { return (*store_.Load(0, Soon()))->revision; }

  RealClock clock_;
  std::unique_ptr<TestDatabase> database_ = OpenEmptyDatabase(GetParam(), clock_);
  IdentityStore store_{{.max_projects = 2, .max_users = 2, .max_keys = 3}, *database_->db, clock_};
};

TEST_P(IdentityStoreTest, ATenantIsAsItWasMadeAndChanged) {
  MakeTenant("acme", {.name = "Acme", .weight = 2.5, .classes = {true, false, true}});
  const auto made = store_.GetTenant(TenantId("acme"), Soon());
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->settings.name, "Acme");
  EXPECT_EQ(made->settings.weight, 2.5);
  EXPECT_THAT(made->settings.classes, ElementsAre(true, false, true));
  EXPECT_FALSE(made->settings.platform);

  TenantSettings settings = made->settings;
  settings.suspended = true;
  settings.weight = 1;
  EXPECT_TRUE(store_.ChangeTenant(TenantId("acme"), settings, Soon())->settings.suspended);
  EXPECT_EQ(store_.GetTenant(TenantId("acme"), Soon())->settings.weight, 1);
}

TEST_P(IdentityStoreTest, RefusesWhatCannotBeATenant) {
  MakeTenant("acme");
  const auto reason = [&](const std::string& id, const TenantSettings& settings = {}) {
    const auto made = store_.CreateTenant(TenantId(id), settings, Soon());
    return made.ok() ? "made" : made.error().reason();
  };
  EXPECT_EQ(reason("acme"), "tenant_exists");
  for (const std::string id : {"", "A", "a_b", "-a", "a-", "../a", "a b"})
    EXPECT_EQ(reason(id), "id_invalid") << id;
  EXPECT_EQ(reason(std::string(65, 'a')), "id_invalid");
  EXPECT_EQ(reason("b", {.weight = 0}), "tenant_weight");
  EXPECT_EQ(reason("b", {.weight = 1001}), "tenant_weight");
  EXPECT_EQ(reason("b", {.weight = std::nan("")}), "tenant_weight");
  EXPECT_EQ(reason("b", {.name = std::string(201, 'x')}), "name_too_long");
  EXPECT_EQ(store_.ChangeTenant(TenantId("nobody"), {}, Soon()).error().reason(), "tenant_unknown");
}

TEST_P(IdentityStoreTest, TenantsAreListedInPages) {
  for (const char* id : {"c", "a", "b"}) MakeTenant(id);
  const auto first = store_.ListTenants(TenantId(), 2, Soon());
  ASSERT_EQ(first->size(), 2u);
  EXPECT_EQ(first->at(0).id.str(), "a");
  const auto rest = store_.ListTenants(first->back().id, 2, Soon());
  ASSERT_EQ(rest->size(), 1u);
  EXPECT_EQ(rest->at(0).id.str(), "c");
}

TEST_P(IdentityStoreTest, ProjectsAreBoundedAndOfTheirTenant) {
  MakeTenant("a");
  MakeTenant("b");
  EXPECT_TRUE(store_.CreateProject(TenantId("a"), ProjectId("p1"), "One", Soon()).ok());
  EXPECT_EQ(store_.CreateProject(TenantId("a"), ProjectId("p1"), "", Soon()).error().reason(),
            "project_exists");
  EXPECT_TRUE(store_.CreateProject(TenantId("a"), ProjectId("p2"), "", Soon()).ok());
  EXPECT_EQ(store_.CreateProject(TenantId("a"), ProjectId("p3"), "", Soon()).error().reason(),
            "too_many_projects");
  EXPECT_TRUE(store_.CreateProject(TenantId("b"), ProjectId("p1"), "", Soon()).ok());
  EXPECT_EQ(store_.CreateProject(TenantId("x"), ProjectId("p"), "", Soon()).error().reason(),
            "tenant_unknown");
  EXPECT_EQ(store_.ListProjects(TenantId("a"), Soon())->size(), 2u);
}

TEST_P(IdentityStoreTest, AUserHasOneRoleAndLosesIt) {
  MakeTenant("a");
  UserRecord user{.tenant = TenantId("a"), .issuer = "https://id", .subject = "u1", .name = "U"};
  user.role = Role::kDeveloper;
  EXPECT_EQ(store_.PutUser(user, Soon())->role, Role::kDeveloper);
  user.role = Role::kAdmin;
  EXPECT_EQ(store_.PutUser(user, Soon())->role, Role::kAdmin);
  EXPECT_EQ(store_.ListUsers(TenantId("a"), Soon())->size(), 1u);
  EXPECT_TRUE(store_.RemoveUser(TenantId("a"), "https://id", "u1", Soon()).ok());
  EXPECT_EQ(store_.RemoveUser(TenantId("a"), "https://id", "u1", Soon()).error().reason(), "user_unknown");
}

TEST_P(IdentityStoreTest, OfAKeyOnlyTheDigestIsKept) {
  MakeTenant("a");
  const IssuedKey issued = MakeKey("a");
  std::string dump;
  const auto work = [&](storage::SqlSession& session) -> Result<void> {
    MEZZO_TRY(const auto rows, session.Run("SELECT id, digest, name, scopes, created_by FROM api_keys", {}));
    for (std::size_t c = 0; c < rows.columns(); ++c) dump += rows.Text(0, c) + " ";
    return {};
  };
  ASSERT_TRUE(database_->db->Read(work, Soon()).ok());
  EXPECT_THAT(dump, HasSubstr(Sha256Hex(issued.text)));
  EXPECT_THAT(dump, Not(HasSubstr(issued.text.substr(16, 32))));
}

TEST_P(IdentityStoreTest, KeysAreBoundedAndNeedAKnownProject) {
  MakeTenant("a");
  NewKey key{.tenant = TenantId("a"), .project = ProjectId("p"), .name = "", .scopes = {Scope::kInfer}};
  EXPECT_EQ(store_.CreateKey(key, Soon()).error().reason(), "project_unknown");
  key.project = {};
  key.scopes = {};
  EXPECT_EQ(store_.CreateKey(key, Soon()).error().reason(), "scope_unknown");
  for (int i = 0; i < 3; ++i) MakeKey("a");
  key.scopes = {Scope::kRead};
  EXPECT_EQ(store_.CreateKey(key, Soon()).error().reason(), "too_many_keys");
  key.tenant = TenantId("nobody");
  EXPECT_EQ(store_.CreateKey(key, Soon()).error().reason(), "tenant_unknown");
}

TEST_P(IdentityStoreTest, ARotatedKeyGoesOnForTheOverlapAndARevokedOneNotAtAll) {
  MakeTenant("a");
  const IssuedKey old = MakeKey("a", {Scope::kInfer, Scope::kKeys});
  const auto next = store_.RotateKey(TenantId("a"), old.record.id, 1h, "me", Soon());
  ASSERT_TRUE(next.ok()) << next.error().ToString();
  EXPECT_NE(next->text, old.text);
  EXPECT_EQ(next->record.facts.scopes, old.record.facts.scopes);
  EXPECT_EQ(next->record.facts.created_by, "me");
  const auto ends = store_.GetKey(TenantId("a"), old.record.id, Soon())->facts.expires;
  ASSERT_TRUE(ends.has_value());
  EXPECT_NEAR(Seconds(*ends - clock_.WallNow()), 3600, 60);

  EXPECT_TRUE(store_.RevokeKey(TenantId("a"), next->record.id, Soon())->revoked.has_value());
  EXPECT_EQ(store_.RotateKey(TenantId("a"), next->record.id, 1h, "me", Soon()).error().reason(), "key_ended");
  const auto all = *store_.Load(0, Soon());
  ASSERT_EQ(all->keys.size(), 1u);
  EXPECT_EQ(all->keys[0].record.id, old.record.id);
}

TEST_P(IdentityStoreTest, AKeyOfAnotherTenantIsNotThere) {
  MakeTenant("a");
  MakeTenant("b");
  const IssuedKey key = MakeKey("a");
  EXPECT_EQ(store_.GetKey(TenantId("b"), key.record.id, Soon()).error().reason(), "key_not_found");
  EXPECT_EQ(store_.RevokeKey(TenantId("b"), key.record.id, Soon()).error().reason(), "key_not_found");
  EXPECT_EQ(store_.RotateKey(TenantId("b"), key.record.id, 1h, "", Soon()).error().reason(), "key_not_found");
  EXPECT_FALSE(store_.GetKey(TenantId("a"), key.record.id, Soon())->revoked.has_value());
}

TEST_P(IdentityStoreTest, AFirstAdminIsMadeOnceBySeveralHosts) {
  std::atomic<int> made{0};
  std::vector<std::thread> hosts;
  hosts.reserve(4);
  for (int i = 0; i < 4; ++i) {
    hosts.emplace_back([&] {
      const auto key = store_.MakeFirstAdmin(Soon());
      EXPECT_TRUE(key.ok()) << key.error().ToString();
      if (key.ok() && key->has_value()) ++made;
    });
  }
  for (std::thread& host : hosts) host.join();
  EXPECT_EQ(made, 1);
  EXPECT_FALSE(store_.MakeFirstAdmin(Soon())->has_value());
}

TEST_P(IdentityStoreTest, OnlyChangesCountTheRevisionUp) {
  const std::int64_t before = Revision();
  ASSERT_TRUE(store_.DeclareTenant(TenantId("Team_A"), {.weight = 2}, Soon()).ok());
  const std::int64_t declared = Revision();
  EXPECT_GT(declared, before);
  ASSERT_TRUE(store_.DeclareTenant(TenantId("Team_A"), {.weight = 2}, Soon()).ok());
  EXPECT_EQ(Revision(), declared);
  EXPECT_FALSE((*store_.Load(declared, Soon())).has_value());
  const IssuedKey key = MakeKey("Team_A");
  const std::int64_t keyed = Revision();
  EXPECT_GT(keyed, declared);
  ASSERT_TRUE(store_.TouchKeys({{key.record.id, clock_.WallNow()}}, Soon()).ok());
  EXPECT_EQ(Revision(), keyed);
  EXPECT_TRUE(store_.GetKey(TenantId("Team_A"), key.record.id, Soon())->last_used.has_value());
  // A change that fails changes nothing.
  EXPECT_FALSE(store_.CreateTenant(TenantId("Team_A"), {}, Soon()).ok());
  EXPECT_EQ(Revision(), keyed);
}

class DirectoryFeedTest : public IdentityStoreTest {
 protected:
  std::unique_ptr<DirectoryFeed> Feed(DirectoryFeed::Declared declared = {}, bool anonymous = true) {
    DirectoryFeed::Options options;
    options.poll = 50ms;
    options.touch = 10ms;
    options.anonymous = anonymous;
    auto feed = std::make_unique<DirectoryFeed>(
        options,
        DirectoryFeed::Ports{.store = store_,
                             .db = *database_->db,
                             .directory = directory_,
                             .clock = clock_,
                             .log = log_,
                             .on_tenants = [this](const auto& tenants) { tenants_ = tenants.size(); }},
        std::move(declared));
    const auto loaded = feed->Load();
    EXPECT_TRUE(loaded.ok()) << loaded.error().ToString();
    return feed;
  }
  std::string Who(const std::string& credential) {
    const auto caller = directory_.Authenticate(credential, true);
    return caller.ok() ? (*caller)->tenant->id.str() : caller.error().reason();
  }
  /// Waits until `who` is what a credential means, for at most 10 s.
  bool Becomes(const std::string& credential, const std::string& who) {
    const TimePoint end = clock_.Now() + 10s;
    while (Who(credential) != who && clock_.Now() < end) std::this_thread::sleep_for(2ms);
    return Who(credential) == who;
  }

  observe::Logger log_{{.level = observe::LogLevel::kOff}, clock_};
  Directory directory_{{}, clock_};
  std::atomic<std::size_t> tenants_{0};
};

TEST_P(DirectoryFeedTest, AnybodyOnThisHostIsLetInUntilSomebodyHasAnAccount) {
  const auto admin = store_.MakeFirstAdmin(Soon());
  const auto feed = Feed();
  feed->Start();
  EXPECT_EQ(Who(""), "anonymous");
  EXPECT_EQ(Who((*admin)->text), "platform");
  EXPECT_TRUE((*directory_.Authenticate((*admin)->text, false))->Has(Scope::kAdmin));

  MakeTenant("acme");
  EXPECT_TRUE(Becomes("", "key_missing"));
  EXPECT_EQ(Who((*admin)->text), "platform");
}

TEST_P(DirectoryFeedTest, NobodyIsAnonymousWhereOthersCanReachThePort) {
  const auto feed = Feed({}, /*anonymous=*/false);
  EXPECT_EQ(Who(""), "key_missing");
}

TEST_P(DirectoryFeedTest, FollowsKeysAsTheyComeAndGo) {
  MakeTenant("acme");
  const auto feed = Feed();
  feed->Start();
  const IssuedKey key = MakeKey("acme");
  EXPECT_TRUE(Becomes(key.text, "acme"));
  ASSERT_TRUE(store_.RevokeKey(TenantId("acme"), key.record.id, Soon()).ok());
  EXPECT_TRUE(Becomes(key.text, "key_unknown"));
}

TEST_P(DirectoryFeedTest, ASuspendedTenantIsNotLetIn) {
  MakeTenant("acme");
  const IssuedKey key = MakeKey("acme");
  const auto feed = Feed();
  feed->Start();
  EXPECT_EQ(Who(key.text), "acme");
  TenantSettings suspended;
  suspended.suspended = true;
  ASSERT_TRUE(store_.ChangeTenant(TenantId("acme"), suspended, Soon()).ok());
  EXPECT_TRUE(Becomes(key.text, "key_unknown"));
  EXPECT_TRUE(directory_.Find(TenantId("acme")).ok());  // Its jobs go on.
}

TEST_P(DirectoryFeedTest, HostWideScopesHoldInPlatformTenantsOnly) {
  MakeTenant("acme");
  MakeTenant("ops", {.platform = true});
  const IssuedKey ours = MakeKey("acme", {Scope::kInfer, Scope::kAdmin});
  const IssuedKey theirs = MakeKey("ops", {Scope::kOperate});
  const auto feed = Feed();
  EXPECT_FALSE((*directory_.Authenticate(ours.text, true))->Has(Scope::kObserve));
  EXPECT_TRUE((*directory_.Authenticate(ours.text, true))->Has(Scope::kManage));
  EXPECT_TRUE((*directory_.Authenticate(theirs.text, true))->Has(Scope::kObserve));
}

TEST_P(DirectoryFeedTest, DeclaredKeysComeBesideThoseOfTheDatabase) {
  ASSERT_TRUE(store_.DeclareTenant(TenantId("Team_A"), {}, Soon()).ok());
  DirectoryFeed::Declared declared;
  declared.keys.push_back({.digest = Sha256Of(AsBytes(std::string("s3cret"))),
                           .tenant = TenantId("Team_A"),
                           .scopes = {Scope::kInfer}});
  const auto feed = Feed(std::move(declared));
  EXPECT_EQ(Who("s3cret"), "Team_A");
  EXPECT_EQ(Who(""), "key_missing");
}

TEST_P(DirectoryFeedTest, TenantsKeepTheirIndicesAndKeysTheirs) {
  MakeTenant("b");
  const IssuedKey key = MakeKey("b");
  const auto feed = Feed();
  feed->Start();
  const CallerRef before = *directory_.Authenticate(key.text, true);
  MakeTenant("a");
  const IssuedKey other = MakeKey("a");
  ASSERT_TRUE(Becomes(other.text, "a"));
  const CallerRef after = *directory_.Authenticate(key.text, true);
  EXPECT_EQ(after->tenant->index, before->tenant->index);
  EXPECT_EQ(after->key_index, before->key_index);
  EXPECT_NE((*directory_.Authenticate(other.text, true))->tenant->index, after->tenant->index);
  EXPECT_EQ(tenants_, 2u);
}

TEST_P(DirectoryFeedTest, WritesDownWhenAKeyWasUsed) {
  MakeTenant("acme");
  const IssuedKey key = MakeKey("acme");
  const auto feed = Feed();
  EXPECT_EQ(Who(key.text), "acme");
  feed->Start();
  const auto used = [&] {
    return store_.GetKey(TenantId("acme"), key.record.id, Soon())->last_used.has_value();
  };
  const TimePoint end = clock_.Now() + 10s;
  while (!used() && clock_.Now() < end) std::this_thread::sleep_for(2ms);
  EXPECT_TRUE(used());
}

INSTANTIATE_TEST_SUITE_P(Databases, IdentityStoreTest, BothDatabases(), DatabaseName);
INSTANTIATE_TEST_SUITE_P(Databases, DirectoryFeedTest, BothDatabases(), DatabaseName);

}  // namespace
}  // namespace mezzo::tenancy
