// The registry on real databases: SQLite and PostgreSQL answer alike.

#include "mezzo/lifecycle/registry_store.h"

#include <map>
#include <random>
#include <set>
#include <thread>

#include "registry_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::lifecycle {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class RegistryStoreTest : public RegistryFixture {
 protected:
  std::vector<std::string> Names(const ModelQuery& query, std::size_t page = 2) {
    std::vector<std::string> names;
    std::string token;
    do {
      const auto got = store_.ListModels(query, token, page, Soon());
      if (!got.ok()) return {got.error().ToString()};
      for (const auto& model : got->records) names.push_back(model.name);
      token = got->next;
    } while (!token.empty());
    return names;
  }
  std::vector<std::string> Versions(const VersionQuery& query, std::size_t page = 2) {
    std::vector<std::string> found;
    std::string token;
    do {
      const auto got = store_.ListVersions(query, token, page, Soon());
      if (!got.ok()) return {got.error().ToString()};
      for (const auto& version : got->records) {
        found.push_back(version.model + "/" + std::to_string(version.version));
      }
      token = got->next;
    } while (!token.empty());
    return found;
  }
};

TEST_P(RegistryStoreTest, AModelComesBackAsItWasMade) {
  const NewModel wanted{
      .name = "m", .tenant = TenantId("acme"), .description = "what it is", .tags = {{"a", "1"}, {"b", ""}}};
  const auto made = store_.CreateModel(wanted, "ann", Soon());
  ASSERT_TRUE(made.ok()) << made.error().ToString();
  EXPECT_EQ(made->name, "m");
  EXPECT_EQ(made->tenant, TenantId("acme"));
  EXPECT_EQ(made->description, "what it is");
  EXPECT_EQ(made->created_by, "ann");
  EXPECT_EQ(made->created, clock_.WallNow());
  EXPECT_EQ(made->tags, wanted.tags);
  EXPECT_THAT(made->aliases, IsEmpty());
  EXPECT_FALSE(made->latest.has_value());

  EXPECT_EQ(Reason(store_.CreateModel(wanted, "ann", Soon())), "registry_model_exists");
  EXPECT_EQ(Reason(store_.CreateModel({.name = "../m"}, "ann", Soon())), "registry_model_name");
  EXPECT_EQ(Reason(store_.CreateModel({.name = "n", .tags = {{"", "x"}}}, "ann", Soon())), "registry_tag");
  EXPECT_EQ(Reason(store_.GetModel("n", Soon())), "registry_model_unknown");
}

TEST_P(RegistryStoreTest, ChangesAreCheckedAgainstTheRevision) {
  MakeModel("m");
  const auto first = store_.ChangeModel("m", {.description = "one", .if_revision = 1}, "ann", Soon());
  ASSERT_TRUE(first.ok()) << first.error().ToString();
  EXPECT_EQ(first->revision, 2);
  EXPECT_EQ(Reason(store_.ChangeModel("m", {.description = "two", .if_revision = 1}, "bob", Soon())),
            "registry_conflict");
  EXPECT_EQ(store_.GetModel("m", Soon())->description, "one");
  const std::int64_t v = MakeReady("m");
  const std::int64_t revision = store_.GetVersion("m", v, Soon())->revision;
  EXPECT_TRUE(store_.ChangeVersion("m", v, {.stage = "dev", .if_revision = revision}, "ann", Soon()).ok());
  EXPECT_EQ(Reason(store_.ChangeVersion("m", v, {.stage = "live", .if_revision = revision}, "ann", Soon())),
            "registry_conflict");
  EXPECT_EQ(store_.GetVersion("m", v, Soon())->stage, "dev");
}

TEST_P(RegistryStoreTest, AVersionComesBackAsItWasMade) {
  MakeModel("m");
  MakeReady("m");
  NewVersion wanted{.manifest = ManifestOf({{"model.onnx", "weights"}, {"labels.txt", "a"}}),
                    .description = "better",
                    .stage = "dev",
                    .lineage = {.data = "s3://data",
                                .code = "abc",
                                .metrics = R"({"f1":0.9})",
                                .parent = 1,
                                .run_id = "r1",
                                .source = "runs:/r1"},
                    .tags = {{"k", "v"}}};
  const auto made = store_.CreateVersion("m", wanted, "bob", Soon());
  ASSERT_TRUE(made.ok()) << made.error().ToString();
  EXPECT_EQ(made->version, 2);
  EXPECT_EQ(made->state, VersionState::kUploading);
  EXPECT_EQ(made->digest, wanted.manifest.Digest());
  EXPECT_EQ(made->bytes, 8U);
  EXPECT_EQ(made->files, 2U);
  EXPECT_EQ(made->lineage.metrics, R"({"f1":0.9})");
  EXPECT_EQ(made->lineage.parent, 1);
  EXPECT_EQ(made->lineage.run_id, "r1");
  EXPECT_EQ(made->tags, wanted.tags);
  EXPECT_EQ(made->created_by, "bob");
  EXPECT_EQ(store_.FilesOf("m", 2, Soon()).value(), wanted.manifest.files());

  wanted.lineage.parent = 9;
  EXPECT_EQ(Reason(store_.CreateVersion("m", wanted, "bob", Soon())), "registry_version_unknown");
  EXPECT_EQ(Reason(store_.CreateVersion("n", wanted, "bob", Soon())), "registry_model_unknown");
  EXPECT_EQ(Reason(store_.GetVersion("m", 3, Soon())), "registry_version_unknown");
  EXPECT_EQ(Reason(store_.GetVersion("n", 3, Soon())), "registry_model_unknown");
}

TEST_P(RegistryStoreTest, NumbersAreGivenOnceEvenWhenVersionsGo) {
  MakeModel("m");
  EXPECT_EQ(MakeReady("m"), 1);
  EXPECT_EQ(MakeReady("m"), 2);
  ASSERT_TRUE(store_.DeleteVersion("m", 2, "ann", Soon()).ok());
  EXPECT_EQ(MakeReady("m"), 3);
  EXPECT_EQ(Reason(store_.DeleteVersion("m", 2, "ann", Soon())), "registry_version_unknown");
}

TEST_P(RegistryStoreTest, ManyAtOnceGetNumbersWithoutGaps) {
  MakeModel("m");
  constexpr int kThreads = 6;
  constexpr int kEach = 4;
  std::vector<std::thread> threads;
  std::vector<std::vector<std::int64_t>> numbers(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto made = store_.CreateVersion("m", {.manifest = ManifestOf({{"f", "x"}})}, "ann", Soon());
        ASSERT_TRUE(made.ok()) << made.error().ToString();
        numbers[static_cast<std::size_t>(t)].push_back(made->version);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::int64_t> all;
  for (const auto& mine : numbers) {
    EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
    all.insert(mine.begin(), mine.end());
  }
  EXPECT_EQ(all.size(), static_cast<std::size_t>(kThreads * kEach));
  EXPECT_EQ(*all.rbegin(), kThreads * kEach);
}

TEST_P(RegistryStoreTest, StatesGoTheirWayOnly) {
  using S = VersionState;
  MakeModel("m");
  const auto made = store_.CreateVersion("m", {.manifest = ManifestOf({{"f", "x"}})}, "ann", Soon());
  const auto go = [&](S from, S to) {
    return Reason(
        store_.SetState("m", made->version, {.from = from, .to = to, .reason = "why"}, "t", Soon()));
  };
  EXPECT_EQ(go(S::kUploading, S::kRejected), "registry_version_state");
  EXPECT_EQ(go(S::kTesting, S::kReady), "registry_version_state") << "it is uploading";
  EXPECT_EQ(go(S::kUploading, S::kTesting), "ok");
  EXPECT_EQ(go(S::kTesting, S::kRejected), "ok");
  EXPECT_EQ(store_.GetVersion("m", 1, Soon())->reason, "why");
  EXPECT_EQ(go(S::kRejected, S::kReady), "registry_version_state");
  EXPECT_EQ(go(S::kRejected, S::kTesting), "ok");
  EXPECT_EQ(go(S::kTesting, S::kReady), "ok");
  ASSERT_TRUE(store_.SetAlias("m", "prod", 1, {}, "ann", Soon()).ok());
  EXPECT_EQ(go(S::kReady, S::kArchived), "registry_version_aliased");
  ASSERT_TRUE(store_.DeleteAlias("m", "prod", "ann", Soon()).ok());
  EXPECT_EQ(go(S::kReady, S::kArchived), "ok");
  EXPECT_EQ(go(S::kArchived, S::kReady), "ok");
}

TEST_P(RegistryStoreTest, AVersionWithoutFilesIsReadyAtOnce) {
  MakeModel("m");
  const auto made = store_.CreateVersion("m", {.lineage = {.source = "models:/other/1"}}, "ann", Soon());
  ASSERT_TRUE(made.ok()) << made.error().ToString();
  EXPECT_EQ(made->state, VersionState::kReady);
}

TEST_P(RegistryStoreTest, AliasesPointAtReadyVersionsAndGoWithThem) {
  MakeModel("m");
  const std::int64_t one = MakeReady("m");
  const std::int64_t two = MakeReady("m");
  const auto half = store_.CreateVersion("m", {.manifest = ManifestOf({{"f", "x"}})}, "ann", Soon());
  EXPECT_EQ(Reason(store_.SetAlias("m", "prod", half->version, {}, "ann", Soon())),
            "registry_version_not_ready");
  EXPECT_EQ(Reason(store_.SetAlias("m", "prod", 9, {}, "ann", Soon())), "registry_version_unknown");
  EXPECT_EQ(Reason(store_.SetAlias("m", "Latest", one, {}, "ann", Soon())), "registry_alias_reserved");
  for (const char* bad : {"", "7", "v7", "V12", "a/b", ".x", "a b"}) {
    EXPECT_EQ(Reason(store_.SetAlias("m", bad, one, {}, "ann", Soon())), "registry_alias_name") << bad;
  }
  ASSERT_TRUE(store_.SetAlias("m", "prod", one, 0, "ann", Soon()).ok());
  EXPECT_EQ(Reason(store_.SetAlias("m", "prod", two, 0, "ann", Soon())), "registry_conflict");
  EXPECT_EQ(Reason(store_.SetAlias("m", "prod", two, two, "ann", Soon())), "registry_conflict");
  ASSERT_TRUE(store_.SetAlias("m", "prod", two, one, "ann", Soon()).ok());
  ASSERT_TRUE(store_.SetAlias("m", "old", one, {}, "ann", Soon()).ok());
  EXPECT_EQ(store_.Resolve("m", "prod", Soon())->version, two);
  EXPECT_EQ(store_.Resolve("m", "latest", Soon())->version, two);
  EXPECT_EQ(store_.Resolve("m", "1", Soon())->version, one);
  EXPECT_EQ(Reason(store_.Resolve("m", "none", Soon())), "registry_alias_unknown");
  EXPECT_THAT(store_.GetVersion("m", two, Soon())->aliases, ElementsAre("prod"));
  ASSERT_TRUE(store_.SetAlias("m", "third", one, {}, "ann", Soon()).ok());
  EXPECT_EQ(Reason(store_.SetAlias("m", "fourth", one, {}, "ann", Soon())), "registry_full");

  ASSERT_TRUE(store_.DeleteVersion("m", two, "ann", Soon()).ok());
  EXPECT_THAT(store_.GetModel("m", Soon())->aliases,
              UnorderedElementsAre(Pair("old", one), Pair("third", one)));
  EXPECT_EQ(store_.Resolve("m", "latest", Soon())->version, one);
  EXPECT_EQ(Reason(store_.DeleteAlias("m", "prod", "ann", Soon())), "registry_alias_unknown");
}

TEST_P(RegistryStoreTest, TagsAreSetReplacedAndBounded) {
  MakeModel("m");
  const std::int64_t v = MakeReady("m");
  for (const auto& of : {std::optional<std::int64_t>(), std::optional(v)}) {
    ASSERT_TRUE(store_.SetTag("m", of, "a", "1", "ann", Soon()).ok());
    ASSERT_TRUE(store_.SetTag("m", of, "a", "2", "ann", Soon()).ok());
    ASSERT_TRUE(store_.SetTag("m", of, "b", "3", "ann", Soon()).ok());
    ASSERT_TRUE(store_.SetTag("m", of, "c", "4", "ann", Soon()).ok());
    EXPECT_EQ(Reason(store_.SetTag("m", of, "d", "5", "ann", Soon())), "registry_full");
    ASSERT_TRUE(store_.DeleteTag("m", of, "b", "ann", Soon()).ok());
    EXPECT_EQ(Reason(store_.DeleteTag("m", of, "b", "ann", Soon())), "registry_tag_unknown");
  }
  EXPECT_THAT(store_.GetModel("m", Soon())->tags, ElementsAre(Pair("a", "2"), Pair("c", "4")));
  EXPECT_THAT(store_.GetVersion("m", v, Soon())->tags, ElementsAre(Pair("a", "2"), Pair("c", "4")));
  EXPECT_EQ(Reason(store_.SetTag("m", 7, "a", "1", "ann", Soon())), "registry_version_unknown");
}

TEST_P(RegistryStoreTest, ANewNameKeepsEverything) {
  MakeModel("old");
  MakeModel("taken");
  const std::int64_t v = MakeReady("old");
  ASSERT_TRUE(store_.SetAlias("old", "prod", v, {}, "ann", Soon()).ok());
  EXPECT_EQ(Reason(store_.RenameModel("old", "taken", "ann", Soon())), "registry_model_exists");
  EXPECT_EQ(Reason(store_.RenameModel("old", "a/b", "ann", Soon())), "registry_model_name");
  const auto renamed = store_.RenameModel("old", "new", "ann", Soon());
  ASSERT_TRUE(renamed.ok()) << renamed.error().ToString();
  EXPECT_EQ(Reason(store_.GetModel("old", Soon())), "registry_model_unknown");
  EXPECT_EQ(store_.Resolve("new", "prod", Soon())->version, v);
  EXPECT_EQ(store_.History("new", {}, 100, Soon())->back().kind, "model_created") << "of its old name too";
}

TEST_P(RegistryStoreTest, ListsArePagedByKeys) {
  for (const char* name : {"beta", "alpha", "Gamma", "alpine", "al_x", "delta"}) {
    MakeModel(name);
    clock_.Advance(std::chrono::seconds(1));
  }
  EXPECT_THAT(Names({.match = NameMatch::kPrefix, .name = "al"}),
              UnorderedElementsAre("al_x", "alpha", "alpine"));
  EXPECT_THAT(Names({.match = NameMatch::kEquals, .name = "delta"}), ElementsAre("delta"));
  EXPECT_THAT(Names({.match = NameMatch::kLike, .name = "%a"}),
              UnorderedElementsAre("Gamma", "alpha", "beta", "delta"));
  EXPECT_THAT(Names({.match = NameMatch::kLike, .name = "g%"}), IsEmpty()) << "case matters";
  EXPECT_THAT(Names({.match = NameMatch::kILike, .name = "g%"}), ElementsAre("Gamma"));
  EXPECT_THAT(Names({.match = NameMatch::kLike, .name = "al\\_%"}), ElementsAre("al_x"));
  EXPECT_THAT(Names({.match = NameMatch::kLike, .name = "al_x"}), ElementsAre("al_x"));
  EXPECT_THAT(Names({.match = NameMatch::kLike, .name = "*"}), IsEmpty());
  EXPECT_EQ(Reason(store_.ListModels({.match = NameMatch::kLike, .name = "a\\"}, "", 10, Soon())),
            "registry_pattern");
  EXPECT_THAT(Names({.order = RegistryOrder::kTime}),
              ElementsAre("beta", "alpha", "Gamma", "alpine", "al_x", "delta"));
  EXPECT_THAT(Names({.order = RegistryOrder::kTimeDown}),
              ElementsAre("delta", "al_x", "alpine", "Gamma", "alpha", "beta"));
  auto up = Names({.order = RegistryOrder::kName});
  auto down = Names({.order = RegistryOrder::kNameDown});
  EXPECT_EQ(up.size(), 6U);
  std::reverse(down.begin(), down.end());
  EXPECT_EQ(up, down);
  EXPECT_EQ(Reason(store_.ListModels({.order = RegistryOrder::kTime}, "x", 10, Soon())),
            "registry_page_token");
  EXPECT_EQ(Reason(store_.ListModels({}, "a/b", 10, Soon())), "registry_page_token");
}

TEST_P(RegistryStoreTest, ListsAreFilteredByTagsAliasesStatesAndTenants) {
  ASSERT_TRUE(store_.CreateModel({.name = "a", .tags = {{"t", "x"}, {"u", "1"}}}, "ann", Soon()).ok());
  ASSERT_TRUE(store_.CreateModel({.name = "b", .tags = {{"t", "x"}}}, "ann", Soon()).ok());
  ASSERT_TRUE(store_.CreateModel({.name = "c", .tenant = TenantId("acme")}, "ann", Soon()).ok());
  MakeReady("a");
  MakeReady("a");
  MakeReady("b");
  MakeReady("c");
  ASSERT_TRUE(store_
                  .CreateVersion("b", {.manifest = ManifestOf({{"f", "x"}}), .lineage = {.run_id = "r"}},
                                 "ann", Soon())
                  .ok());
  ASSERT_TRUE(store_.SetAlias("a", "prod", 1, {}, "ann", Soon()).ok());
  ASSERT_TRUE(store_.SetTag("a", 2, "q", "z", "ann", Soon()).ok());
  EXPECT_THAT(Names({.tags = {{"t", "x"}}}), ElementsAre("a", "b"));
  EXPECT_THAT(Names({.tags = {{"t", "x"}, {"u", "1"}}}), ElementsAre("a"));
  EXPECT_THAT(Names({.tags = {{"t", "y"}}}), IsEmpty());
  EXPECT_THAT(Names({.alias = "prod"}), ElementsAre("a"));
  EXPECT_THAT(Names({.visible_to = TenantId("other")}), ElementsAre("a", "b"));
  EXPECT_THAT(Names({.visible_to = TenantId("acme")}), ElementsAre("a", "b", "c"));

  EXPECT_THAT(Versions({.order = RegistryOrder::kName}), ElementsAre("a/1", "a/2", "b/1", "b/2", "c/1"));
  EXPECT_THAT(Versions({}), ElementsAre("c/1", "b/2", "b/1", "a/2", "a/1"));
  EXPECT_EQ(Versions({.order = RegistryOrder::kTime}).size(), 5U);
  EXPECT_THAT(Versions({.match = NameMatch::kEquals, .model = "a"}), ElementsAre("a/2", "a/1"));
  EXPECT_THAT(Versions({.state = VersionState::kUploading}), ElementsAre("b/2"));
  EXPECT_THAT(Versions({.tags = {{"q", "z"}}}), ElementsAre("a/2"));
  EXPECT_THAT(Versions({.alias = "prod"}), ElementsAre("a/1"));
  EXPECT_THAT(Versions({.run_id = "r"}), ElementsAre("b/2"));
  EXPECT_THAT(Versions({.digest = ManifestOf({{"f", "x"}}).Digest()}), ElementsAre("b/2"));
  EXPECT_THAT(Versions({.visible_to = TenantId("other")}), ElementsAre("b/2", "b/1", "a/2", "a/1"));
  EXPECT_EQ(Reason(store_.ListVersions({}, "a", 10, Soon())), "registry_page_token");
}

TEST_P(RegistryStoreTest, TheHistoryTellsWhatWasWhen) {
  MakeModel("m");
  const WallTime nothing = clock_.WallNow();
  clock_.Advance(std::chrono::seconds(10));
  MakeReady("m");
  ASSERT_TRUE(store_.SetAlias("m", "prod", 1, {}, "ann", Soon()).ok());
  ASSERT_TRUE(store_.NoteServing("m", 1, "host-a", true, Soon()).ok());
  const WallTime first = clock_.WallNow();
  clock_.Advance(std::chrono::seconds(10));
  MakeReady("m");
  ASSERT_TRUE(store_.SetAlias("m", "prod", 2, {}, "bob", Soon()).ok());
  ASSERT_TRUE(store_.NoteServing("m", 2, "host-a", true, Soon()).ok());
  ASSERT_TRUE(store_.NoteServing("m", 2, "host-a", true, Soon()).ok());
  ASSERT_TRUE(store_.NoteServing("m", 1, "host-a", false, Soon()).ok());
  const WallTime second = clock_.WallNow();
  clock_.Advance(std::chrono::seconds(10));
  ASSERT_TRUE(store_.DeleteVersion("m", 2, "ann", Soon()).ok());

  const auto then = store_.At("m", nothing, Soon());
  ASSERT_TRUE(then.ok()) << then.error().ToString();
  EXPECT_THAT(then->aliases, IsEmpty());
  EXPECT_FALSE(then->latest);
  const auto at_first = store_.At("m", first, Soon()).value();
  EXPECT_THAT(at_first.aliases, ElementsAre(Pair("prod", 1)));
  EXPECT_EQ(at_first.latest, 1);
  EXPECT_THAT(at_first.served, ElementsAre(RegistryMoment::Served{.version = 1, .host = "host-a"}));
  const auto at_second = store_.At("m", second, Soon()).value();
  EXPECT_THAT(at_second.aliases, ElementsAre(Pair("prod", 2)));
  EXPECT_EQ(at_second.latest, 2);
  EXPECT_THAT(at_second.served, ElementsAre(RegistryMoment::Served{.version = 2, .host = "host-a"}));
  const auto now = store_.At("m", clock_.WallNow(), Soon()).value();
  EXPECT_THAT(now.aliases, IsEmpty());
  EXPECT_EQ(now.latest, 1);

  const auto lines = store_.History("m", {.alias = "prod"}, 100, Soon()).value();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].kind, "alias_deleted");
  EXPECT_EQ(lines[1].by, "bob");
  EXPECT_EQ(lines[1].before, "1");
  EXPECT_EQ(lines[1].after, "2");
  EXPECT_EQ(lines[1].at, second);
  const auto served = store_.History("m", {.version = 2}, 100, Soon()).value();
  EXPECT_EQ(std::count_if(served.begin(), served.end(), [](const auto& e) { return e.kind == "served"; }), 1)
      << "said once";
  const auto page = store_.History("m", {.before = lines[1].number}, 1, Soon()).value();
  ASSERT_EQ(page.size(), 1U);
  EXPECT_LT(page[0].number, lines[1].number);

  ASSERT_TRUE(store_.DeleteModel("m", "ann", Soon()).ok());
  EXPECT_EQ(Reason(store_.GetModel("m", Soon())), "registry_model_unknown");
  EXPECT_THAT(store_.At("m", first, Soon())->aliases, ElementsAre(Pair("prod", 1)))
      << "of a model that is gone";
  EXPECT_EQ(Reason(store_.At("never", first, Soon())), "registry_model_unknown");
}

/// The history, played from its beginning, says what the tables say.
TEST_P(RegistryStoreTest, TheHistoryIsTheStateOverSeeds) {
  MakeModel("m");
  std::minstd_rand random(7);
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::vector<std::int64_t> ready;
  for (int step = 0; step < 60; ++step) {
    clock_.Advance(std::chrono::seconds(1));
    const std::string alias(1, static_cast<char>('a' + pick(3)));
    switch (pick(5)) {
      case 0:
        if (ready.size() < 20) ready.push_back(MakeReady("m"));
        break;
      case 1:
      case 2:
        if (!ready.empty()) {
          const auto version = ready[static_cast<std::size_t>(pick(static_cast<int>(ready.size())))];
          ASSERT_TRUE(store_.SetAlias("m", alias, version, {}, "ann", Soon()).ok());
        }
        break;
      case 3:
        (void)store_.DeleteAlias("m", alias, "ann", Soon());
        break;
      default:
        if (ready.size() > 2) {
          const auto at = ready.begin() + pick(static_cast<int>(ready.size()));
          ASSERT_TRUE(store_.DeleteVersion("m", *at, "ann", Soon()).ok());
          ready.erase(at);
        }
    }
    const auto now = store_.GetModel("m", Soon()).value();
    const auto told = store_.At("m", clock_.WallNow(), Soon()).value();
    ASSERT_EQ(told.aliases, now.aliases) << step;
    ASSERT_EQ(told.latest, now.latest) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Databases, RegistryStoreTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
