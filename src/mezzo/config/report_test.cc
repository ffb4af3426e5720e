#include "mezzo/config/report.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/config/internal/test_schema.h"

namespace mezzo::config {
namespace {

using std::chrono::milliseconds;
using test::Policy;
using test::Root;
using test::Server;
using test::Tenant;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Reference, HasOneRowPerKeyInTheTableOfItsSection) {
  const std::string text = Reference<Root>();

  EXPECT_THAT(text, HasSubstr("\n## Top level\n\n| key | type | default | bounds | reload | meaning |\n"
                              "|---|---|---|---|---|---|\n"
                              "| `model` | string | `none` |  | restart | A model. |\n"));
  EXPECT_THAT(text, HasSubstr("\n## server.serving.batching\n\nHow batches form.\n\n"));
  EXPECT_THAT(text,
              HasSubstr("| `server.serving.batching.max_rows` | integer | `8` | 1 to 1024 | live | Rows per "
                        "batch. |\n"));
  EXPECT_THAT(text, HasSubstr("| `server.serving.batching.max_delay` | duration | `5ms` | 0 to 1s | live |"));
  EXPECT_THAT(text, HasSubstr("| `server.budget` | size | `64MiB` | 1MiB to 4GiB | restart | Memory. |"));
  EXPECT_THAT(text, HasSubstr("| `server.deadline` | duration, or null | `null` | at least 1ms | live |"));
  EXPECT_THAT(text, HasSubstr("| `server.serving.policy` | `fair`, `fifo` | `fair` |  | live |"));
  EXPECT_THAT(text,
              HasSubstr("| `server.serving.roles` | list of string | `[gateway, worker]` | 1 to 3 items |"));
  EXPECT_THAT(text, HasSubstr("| `server.token` | secret | `null` |"));
  EXPECT_THAT(text, HasSubstr("| `server.tenants` | map of section | `{}` |"));
  EXPECT_THAT(text, HasSubstr("| `server.tenants.<name>.weight` | number | `1` | 0.1 to 100 | live |"));
  EXPECT_THAT(text,
              HasSubstr("| `server.listeners[].host` | string | `127.0.0.1` | 1 to 64 bytes | restart | "
                        "Address \\| name. |"));
  EXPECT_THAT(text, HasSubstr("| `server.tls.key` | string | `\"\"` |"));
}

TEST(Reference, SaysWhatIsRequired) {
  EXPECT_THAT(Reference<test::Strict>(),
              HasSubstr("| `name` | string | required | not empty | restart | Name. |"));
}

Server Filled() {
  Server server;
  server.name = "it's: \"a\" #name\n\x01é";
  server.verbose = true;
  server.nice = -128;
  server.offset = INT64_MIN;
  server.seed = UINT64_MAX;
  server.budget = ByteSize(1'234'567);
  server.deadline = milliseconds(90'000);
  server.tls = test::Tls{.certificate = "null", .key = "~"};
  server.serving.policy = Policy::kFifo;
  server.serving.roles = {"true", "- x"};
  server.listeners = {{.host = "::1", .port = 1}, {.host = "-", .port = 2}};
  server.tenants["a b"] = Tenant{.weight = 0.1, .key = {}, .policies = {Policy::kFair}};
  server.tenants["null"] = Tenant{};
  server.priorities = {{"<<", 1}, {"yes", -2}};
  return server;
}

TEST(EffectiveYaml, ReadsBackAsTheSameValues) {
  for (const Server& server : {Server(), Filled()}) {
    const std::string text = EffectiveYaml(server);
    const auto again = ParseYaml<Server>(text, "effective");
    ASSERT_TRUE(again.ok()) << again.error().message() << "\n" << text;
    EXPECT_THAT(Diff(server, *again), IsEmpty()) << text;
  }
}

TEST(EffectiveYaml, NeverShowsASecret) {
  Server server;
  server.token = Secret("file:/run/token", "hunter2");
  server.tenants["a"].key = Secret("env:KEY", "hunter2");
  server.tenants["b"];

  const std::string text = EffectiveYaml(server);

  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  EXPECT_THAT(text, HasSubstr("\ntoken: \"***\"  # file:/run/token\n"));
  EXPECT_THAT(text, HasSubstr("    key: \"***\"  # env:KEY\n"));
  EXPECT_THAT(text, HasSubstr("    key: null\n"));
}

TEST(EffectiveYaml, NamesTheSourceOfGivenValues) {
  Provenance provenance;
  const auto server = ParseYaml<Server>(
      "seed: 7\nserving: {batching: {max_rows: 9}, roles: [x]}\nlisteners: [{port: 5}]\ntenants: "
      "{}\ndeadline: ~\n",
      "m.yaml", {}, &provenance);
  ASSERT_TRUE(server.ok()) << server.error().message();

  const std::string text = EffectiveYaml(*server, &provenance);

  EXPECT_THAT(text, HasSubstr("\nseed: 7  # from m.yaml:1:7\n"));
  EXPECT_THAT(text,
              HasSubstr("serving:\n  batching:\n    max_rows: 9  # from m.yaml:2:32\n    max_delay: 5ms\n"));
  EXPECT_THAT(text, HasSubstr("  roles: [x]  # from m.yaml:2:"));
  EXPECT_THAT(text, HasSubstr("listeners:\n  - host: 127.0.0.1\n    port: 5  # from m.yaml:3:"));
  EXPECT_THAT(text, HasSubstr("tenants: {}  # from m.yaml:4:10\n"));
  EXPECT_THAT(text, HasSubstr("deadline: null  # from m.yaml:5:1\n"));
  EXPECT_THAT(text, StartsWith("name: \"\"\nverbose: false\n"));
}

std::vector<std::string> Lines(const std::vector<Change>& changes) {
  std::vector<std::string> lines;
  for (const Change& change : changes) {
    lines.push_back(change.path + (change.reload == Reload::kLive ? " live " : " restart ") + change.before +
                    " -> " + change.after);
  }
  return lines;
}

TEST(Diff, IsEmptyForEqualValues) { EXPECT_THAT(Diff(Filled(), Filled()), IsEmpty()); }

TEST(Diff, NamesEachChangedKeyWithItsReloadKind) {
  Root before;
  Root after;
  after.server.serving.batching.max_rows = 9;
  after.server.seed = 1;
  after.server.deadline = milliseconds(5);
  after.server.listeners = {{.host = "x", .port = 1}};
  after.model = ModelName("other");

  EXPECT_THAT(
      Lines(Diff(before, after)),
      ElementsAre("server.seed restart 0 -> 1", "server.deadline live null -> 5ms",
                  "server.serving.batching.max_rows live 8 -> 9",
                  "server.listeners restart [] -> [{host: x, port: 1}]", "model restart none -> other"));
}

TEST(Diff, GoesIntoMapsAndOptionals) {
  Server before;
  before.tenants["gone"];
  before.tenants["kept"];
  before.tls = test::Tls{};
  Server after;
  after.tenants["kept"].weight = 2;
  after.tenants["new"];
  after.tls = test::Tls{.certificate = "c", .key = ""};

  EXPECT_THAT(Lines(Diff(before, after)),
              ElementsAre("tls.certificate restart \"\" -> c",
                          "tenants.gone live {weight: 1, key: null, policies: []} -> ",
                          "tenants.kept.weight live 1 -> 2",
                          "tenants.new live  -> {weight: 1, key: null, policies: []}"));
}

TEST(Diff, SeesANewSecretBehindTheSameReferenceWithoutShowingIt) {
  Server before;
  before.token = Secret("env:T", "one");
  Server after;
  after.token = Secret("env:T", "two");

  EXPECT_THAT(Lines(Diff(before, after)), ElementsAre("token restart \"***\" -> \"***\""));
}

}  // namespace
}  // namespace mezzo::config
