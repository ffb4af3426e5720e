#include "mezzo/config/load.h"

#include <filesystem>
#include <fstream>
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
using test::Strict;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

/// The message of a failure, or "(accepted)".
template <typename T>
std::string MessageOf(const Result<T>& result) {
  return result.ok() ? "(accepted)" : result.error().message();
}

std::string Refusal(std::string_view yaml) { return MessageOf(ParseYaml<Server>(yaml, "mezzo.yaml")); }

std::string ReasonOf(std::string_view yaml) {
  const auto result = ParseYaml<Server>(yaml, "mezzo.yaml");
  return result.ok() ? "" : result.error().reason();
}

TEST(ParseYaml, KeepsDefaultsOfWhatIsNotGiven) {
  for (const char* text : {"", "serving:\n", "serving: {}\n", "serving:\n  batching:\n"}) {
    const auto server = ParseYaml<Server>(text, "mezzo.yaml");
    ASSERT_TRUE(server.ok()) << server.error().message();
    EXPECT_EQ(server->serving.batching.max_rows, 8U);
    EXPECT_THAT(server->serving.roles, ElementsAre("gateway", "worker"));
    EXPECT_EQ(server->priorities.at("low"), 1);
  }
}

TEST(ParseYaml, ReadsEveryKindOfField) {
  const auto root = ParseYaml<Root>(R"(
model: resnet
server:
  name: "1e3"
  verbose: true
  nice: -128
  offset: -9223372036854775808
  seed: 18446744073709551615
  budget: 90MB
  deadline: 1.5s
  tls: {certificate: /a, key: /b}
  serving:
    batching: {max_rows: 1024, max_delay: 0}
    policy: fifo
    roles: [controller]
  listeners:
    - port: 65535
    - {host: "::1", port: 0}
  tenants:
    acme: {weight: 2.5e0, policies: [fair, fifo]}
    "strange key": {}
  priorities: {high: -10}
)",
                                    "mezzo.yaml");

  ASSERT_TRUE(root.ok()) << root.error().message();
  const Server& server = root->server;
  EXPECT_EQ(root->model, ModelName("resnet"));
  EXPECT_EQ(server.name, "1e3");
  EXPECT_TRUE(server.verbose);
  EXPECT_EQ(server.nice, -128);
  EXPECT_EQ(server.offset, INT64_MIN);
  EXPECT_EQ(server.seed, UINT64_MAX);
  EXPECT_EQ(server.budget, 90'000'000U);
  EXPECT_EQ(server.deadline, milliseconds(1500));
  ASSERT_TRUE(server.tls.has_value());
  EXPECT_EQ(server.tls->key, "/b");
  EXPECT_EQ(server.serving.batching.max_rows, 1024U);
  EXPECT_EQ(server.serving.batching.max_delay, Duration::zero());
  EXPECT_EQ(server.serving.policy, Policy::kFifo);
  EXPECT_THAT(server.serving.roles, ElementsAre("controller"));
  ASSERT_EQ(server.listeners.size(), 2U);
  EXPECT_EQ(server.listeners[0].host, "127.0.0.1");
  EXPECT_EQ(server.listeners[1].host, "::1");
  ASSERT_EQ(server.tenants.size(), 2U);
  EXPECT_EQ(server.tenants.at("acme").weight, 2.5);
  EXPECT_THAT(server.tenants.at("acme").policies, ElementsAre(Policy::kFair, Policy::kFifo));
  EXPECT_EQ(server.priorities, (std::map<std::string, int>{{"high", -10}}));
}

TEST(ParseYaml, StringsKeepTheirTextWhateverYamlWouldMakeOfIt) {
  for (const char* text :
       {"yes", "no", "on", "true", "1e3", "010", "12:30:45", "2020-01-01", "0x10", "1_000"}) {
    const auto server = ParseYaml<Server>(std::string("name: ") + text, "mezzo.yaml");
    ASSERT_TRUE(server.ok()) << server.error().message();
    EXPECT_EQ(server->name, text);
  }
}

TEST(ParseYaml, NamesUnknownKeysWithPlaceAndNearest) {
  EXPECT_EQ(Refusal("serving:\n  batching:\n    max_row: 5\n"),
            "mezzo.yaml:3:5: unknown key 'max_row' in serving.batching; did you mean 'max_rows'?");
  EXPECT_EQ(Refusal("servin: {}"),
            "mezzo.yaml:1:1: unknown key 'servin' at the top level; did you mean 'serving'?");
  EXPECT_EQ(Refusal("serving: {zzz: 1}"),
            "mezzo.yaml:1:11: unknown key 'zzz' in serving; known are batching, policy, roles");
  EXPECT_EQ(Refusal("listeners: [{prot: 1}]"),
            "mezzo.yaml:1:14: unknown key 'prot' in listeners[0]; known are host, port");
  EXPECT_EQ(Refusal("tenants: {acme: {wieght: 1}}"),
            "mezzo.yaml:1:18: unknown key 'wieght' in tenants.acme; did you mean 'weight'?");
  EXPECT_EQ(ReasonOf("servin: {}"), "config_unknown_key");
  EXPECT_THAT(Refusal("serving: {<<: {policy: fifo}}"), HasSubstr("unknown key '<<' in serving"));
}

TEST(ParseYaml, NamesValuesOutOfBounds) {
  EXPECT_EQ(Refusal("serving:\n  batching:\n    max_rows: 5000\n"),
            "mezzo.yaml:3:15: serving.batching.max_rows must be between 1 and 1024, not 5000");
  EXPECT_EQ(Refusal("serving: {batching: {max_rows: -5}}"),
            "mezzo.yaml:1:32: serving.batching.max_rows must be between 1 and 1024, not -5");
  EXPECT_EQ(
      Refusal("serving: {batching: {max_rows: 99999999999999999999999}}"),
      "mezzo.yaml:1:32: serving.batching.max_rows must be between 1 and 1024, not 99999999999999999999999");
  EXPECT_EQ(Refusal("serving: {batching: {max_delay: 2s}}"),
            "mezzo.yaml:1:33: serving.batching.max_delay must be between 0 and 1s, not 2s");
  EXPECT_EQ(Refusal("budget: 5GiB"), "mezzo.yaml:1:9: budget must be between 1MiB and 4GiB, not 5GiB");
  EXPECT_EQ(Refusal("deadline: 0"), "mezzo.yaml:1:11: deadline must be at least 1ms, not 0");
  EXPECT_EQ(Refusal("tenants: {acme: {weight: 0.01}}"),
            "mezzo.yaml:1:26: tenants.acme.weight must be between 0.1 and 100, not 0.01");
  EXPECT_EQ(Refusal("priorities: {x: 11}"),
            "mezzo.yaml:1:17: priorities.x must be between -10 and 10, not 11");
  EXPECT_EQ(ReasonOf("budget: 5GiB"), "config_invalid_value");
}

TEST(ParseYaml, NamesValuesBeyondTheirType) {
  EXPECT_EQ(Refusal("nice: 128"), "mezzo.yaml:1:7: nice must be at most 127, not 128");
  EXPECT_EQ(Refusal("nice: -129"), "mezzo.yaml:1:7: nice must be at least -128, not -129");
  EXPECT_EQ(Refusal("seed: -1"), "mezzo.yaml:1:7: seed must be at least 0, not -1");
  EXPECT_EQ(Refusal("seed: 18446744073709551616"),
            "mezzo.yaml:1:7: seed must be at most 18446744073709551615, not 18446744073709551616");
  EXPECT_EQ(Refusal("offset: 9223372036854775808"),
            "mezzo.yaml:1:9: offset must be at most 9223372036854775807, not 9223372036854775808");
  EXPECT_EQ(Refusal("offset: -9223372036854775809"),
            "mezzo.yaml:1:9: offset must be at least -9223372036854775808, not -9223372036854775809");
  EXPECT_EQ(Refusal("listeners: [{port: 65536}]"),
            "mezzo.yaml:1:20: listeners[0].port must be at most 65535, not 65536");
  EXPECT_THAT(Refusal("tenants: {a: {weight: 1e999}}"),
              EndsWith("must be a finite number that fits a double, not 1e999"));
  EXPECT_THAT(Refusal("tenants: {a: {weight: nan}}"),
              EndsWith("must be a finite number that fits a double, not nan"));
}

TEST(ParseYaml, NamesValuesOfTheWrongType) {
  EXPECT_EQ(Refusal("seed: 1e3"), "mezzo.yaml:1:7: seed must be a whole number, not '1e3'");
  EXPECT_EQ(Refusal("seed: 0x10"), "mezzo.yaml:1:7: seed must be a whole number, not '0x10'");
  EXPECT_EQ(Refusal("seed: 010"), "mezzo.yaml:1:7: seed must be a whole number, not '010'");
  EXPECT_EQ(Refusal("seed: 1.0"), "mezzo.yaml:1:7: seed must be a whole number, not '1.0'");
  EXPECT_EQ(Refusal("seed: +1"), "mezzo.yaml:1:7: seed must be a whole number, not '+1'");
  EXPECT_EQ(Refusal("seed: \"8\""), "mezzo.yaml:1:7: seed must be a whole number, not the string '8'");
  EXPECT_EQ(Refusal("seed:"), "mezzo.yaml:1:1: seed must be a whole number, not null");
  EXPECT_EQ(Refusal("seed: [1]"), "mezzo.yaml:1:7: seed must be a whole number, not a list");
  EXPECT_EQ(Refusal("verbose: yes"), "mezzo.yaml:1:10: verbose must be true or false, not 'yes'");
  EXPECT_EQ(Refusal("verbose: \"true\""),
            "mezzo.yaml:1:10: verbose must be true or false, not the string 'true'");
  EXPECT_EQ(Refusal("verbose: 1"), "mezzo.yaml:1:10: verbose must be true or false, not '1'");
  EXPECT_EQ(Refusal("name: {a: 1}"), "mezzo.yaml:1:7: name must be a string, not a mapping");
  EXPECT_EQ(Refusal("name: null"), "mezzo.yaml:1:1: name must be a string, not null");
  EXPECT_EQ(Refusal("serving: 5"), "mezzo.yaml:1:10: serving must be a mapping, not '5'");
  EXPECT_EQ(Refusal("listeners: {a: 1}"), "mezzo.yaml:1:12: listeners must be a list, not a mapping");
  EXPECT_EQ(Refusal("listeners:"), "mezzo.yaml:1:1: listeners must be a list, not null (write [] for none)");
  EXPECT_EQ(Refusal("tenants:"), "mezzo.yaml:1:1: tenants must be a mapping, not null (write {} for none)");
  EXPECT_EQ(Refusal("tenants: []"), "mezzo.yaml:1:10: tenants must be a mapping, not a list");
  EXPECT_EQ(Refusal("[1]"), "mezzo.yaml:1:1: the top level must be a mapping, not a list");
  EXPECT_EQ(Refusal("serving: {policy: lifo}"),
            "mezzo.yaml:1:19: serving.policy must be one of fair, fifo, not 'lifo'");
}

TEST(ParseYaml, NamesBadUnits) {
  EXPECT_EQ(Refusal("deadline: 5"),
            "mezzo.yaml:1:11: deadline must be a duration with a unit of ns, us, ms, s, m, h or d, like "
            "'5ms', not '5'");
  EXPECT_THAT(Refusal("deadline: -5ms"), EndsWith("like '5ms', not '-5ms'"));
  EXPECT_THAT(Refusal("budget: 64mb"),
              StartsWith("mezzo.yaml:1:9: budget must be a number of bytes or a size"));
  EXPECT_EQ(Refusal("budget: 99999999999TiB"),
            "mezzo.yaml:1:9: budget must be at most 18446744073709551615, not '99999999999TiB'");
}

TEST(ParseYaml, NamesBadLengths) {
  EXPECT_EQ(Refusal("serving: {roles: []}"), "mezzo.yaml:1:18: serving.roles must not be empty");
  EXPECT_EQ(Refusal("serving: {roles: [a, b, c, d]}"),
            "mezzo.yaml:1:18: serving.roles must have at most 3 items, not 4");
  EXPECT_EQ(Refusal("listeners: [{host: \"\"}]"), "mezzo.yaml:1:20: listeners[0].host must not be empty");
  EXPECT_EQ(Refusal("listeners: [{host: " + std::string(65, 'h') + "}]"),
            "mezzo.yaml:1:20: listeners[0].host must have at most 64 bytes, not 65");
}

TEST(ParseYaml, RunsChecksOfFieldsAndStructs) {
  EXPECT_EQ(Refusal("name: a/b"), "mezzo.yaml:1:7: name must not contain '/'");
  EXPECT_EQ(Refusal("tls:\n  key: x\n"), "mezzo.yaml:2:3: tls needs both certificate and key, or neither");
}

TEST(ParseYaml, ReportsEveryProblemAtOnceUpToTwenty) {
  EXPECT_EQ(Refusal("seed: x\nnam: y\nverbose: 3\n"),
            "mezzo.yaml:1:7: seed must be a whole number, not 'x'\n"
            "mezzo.yaml:2:1: unknown key 'nam' at the top level; did you mean 'name'?\n"
            "mezzo.yaml:3:10: verbose must be true or false, not '3'");

  std::string many = "priorities:\n";
  for (int i = 0; i < 27; ++i) many += "  k" + std::to_string(i) + ": 99\n";
  const std::string message = Refusal(many);
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 20);
  EXPECT_THAT(message, EndsWith("\n... and 7 more"));
}

TEST(ParseYaml, CostsLittleForManyUnknownKeys) {
  std::string many;
  for (int i = 0; i < 40'000; ++i) many += "verbos" + std::to_string(i) + ": 1\n";
  const auto begin = std::chrono::steady_clock::now();

  EXPECT_THAT(Refusal(many), EndsWith("... and 39980 more"));

  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20))
      << "quadratic would take minutes";
}

TEST(ParseYaml, NamesMissingValuesAlsoInAbsentSections) {
  EXPECT_EQ(MessageOf(ParseYaml<Strict>("listener: {}\n", "m.yaml")), "m.yaml:1:1: name is required");
  const auto result = ParseYaml<Strict>("batching: {}\n", "m.yaml");
  EXPECT_EQ(MessageOf(result), "m.yaml:1:1: listener is required\nm.yaml:1:1: name is required");
  EXPECT_EQ(result.error().reason(), "config_missing");
  EXPECT_EQ(MessageOf(ParseYaml<Strict>("listener: {}\nname: \"\"", "m.yaml")),
            "m.yaml:2:7: name must not be empty");
}

TEST(ParseYaml, RefusesSecretsWithoutReadingThem) {
  EXPECT_EQ(
      Refusal("token: file:/etc/passwd"),
      "mezzo.yaml:1:8: token must not be given here: secrets belong into the server's own configuration");
  EXPECT_EQ(
      Refusal("token: env:HOME"),
      "mezzo.yaml:1:8: token must not be given here: secrets belong into the server's own configuration");
}

TEST(ParseYaml, ShowsHostileTextHarmlesslyAndShortened) {
  EXPECT_EQ(Refusal("\"a\\e[31m\": 1").find('\x1b'), std::string::npos);
  EXPECT_THAT(Refusal("verbose: \"\\0\\n" + std::string(500'000, 'x') + "\""),
              HasSubstr("the string '\\x00\\x0axx"));
  EXPECT_LT(Refusal("verbose: " + std::string(500'000, 'x')).size(), 200U);
  EXPECT_LT(Refusal(std::string(1000, 'k') + ": 1").size(), 300U);
}

class LoadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("mezzo_load_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }
  Result<Server> Load() { return config::Load<Server>(options_, &provenance_); }
  std::string Refusal() { return MessageOf(Load()); }

  std::filesystem::path folder_;
  LoadOptions options_;
  Provenance provenance_;
};

TEST_F(LoadTest, TakesTheHighestSource) {
  options_.file = Write("mezzo.yaml", "seed: 1\nnice: 1\nname: file\nserving: {batching: {max_rows: 2}}\n");
  options_.environment = {
      {"MEZZO_NICE", "2"}, {"MEZZO_NAME", "env"}, {"MEZZO_SERVING_BATCHING_MAX_ROWS", "3"}};
  options_.flags = {{"--name", "name", "flag"}, {"--max-rows", "serving.batching.max_rows", "4"}};
  options_.sets = {"serving.batching.max_rows=5", "serving.batching.max_rows=6"};

  const auto server = Load();

  ASSERT_TRUE(server.ok()) << server.error().message();
  EXPECT_FALSE(server->verbose);
  EXPECT_EQ(server->seed, 1U);
  EXPECT_EQ(server->nice, 2);
  EXPECT_EQ(server->name, "flag");
  EXPECT_EQ(server->serving.batching.max_rows, 6U);
  EXPECT_EQ(provenance_.at("seed"), options_.file + ":1:7");
  EXPECT_EQ(provenance_.at("nice"), "MEZZO_NICE");
  EXPECT_EQ(provenance_.at("name"), "--name");
  EXPECT_EQ(provenance_.at("serving.batching.max_rows"), "--set serving.batching.max_rows");
  EXPECT_FALSE(provenance_.contains("verbose"));
}

TEST_F(LoadTest, NamesTheVariableOrFlagInErrors) {
  options_.environment = {
      {"MEZZO_SERVING_BATCHING_MAX_ROWS", "5000"}, {"MEZZO_VERBOSE", "yes"}, {"MEZZO_SEED", ""}};
  options_.flags = {{"--budget", "budget", "5"}};
  options_.sets = {"serving.policy=lifo"};

  EXPECT_EQ(
      Refusal(),
      "MEZZO_SEED: seed must be a whole number, not ''\n"
      "MEZZO_SERVING_BATCHING_MAX_ROWS: serving.batching.max_rows must be between 1 and 1024, not 5000\n"
      "--set serving.policy: serving.policy must be one of fair, fifo, not 'lifo'\n"
      "MEZZO_VERBOSE: verbose must be true or false, not 'yes'\n"
      "--budget: budget must be between 1MiB and 4GiB, not 5");
}

TEST_F(LoadTest, RefusesUnknownVariables) {
  options_.environment = {{"MEZZO_SERVING_BATCHING_MAX_ROW", "5"}, {"HOME", "/root"}, {"MEZZO_CONFIG", "x"}};
  options_.ignored_variables = {"MEZZO_CONFIG"};

  EXPECT_EQ(
      Refusal(),
      "unknown variable MEZZO_SERVING_BATCHING_MAX_ROW; did you mean 'MEZZO_SERVING_BATCHING_MAX_ROWS'?");
}

TEST_F(LoadTest, ExplainsTheVariablesOfKubernetes) {
  options_.environment = {{"MEZZO_PORT_80_TCP_ADDR", "10.0.0.1"}};

  EXPECT_THAT(Refusal(), HasSubstr("set enableServiceLinks: false"));
}

TEST_F(LoadTest, RefusesUnknownPathsAndMalformedSets) {
  options_.sets = {"serving.batching.max_row=5", "serving", "=1", "name.x=1", "tenants.=1",
                   "listeners.x.port=1"};

  EXPECT_EQ(
      Refusal(),
      "--set serving.batching.max_row: unknown key 'max_row' in serving.batching; did you mean 'max_rows'?\n"
      "--set serving: must have the form path=value\n"
      "--set =1: must have the form path=value\n"
      "--set name.x: 'x' does not exist below name, which is a string\n"
      "--set tenants.: '' does not exist below tenants, which is a mapping\n"
      "--set listeners.x.port: 'x' does not exist below listeners, which is a list");
}

TEST_F(LoadTest, SetsInsideMapsListsAndOptionals) {
  options_.file =
      Write("mezzo.yaml", "tenants: {acme: {weight: 2}}\nlisteners: [{port: 1}, {port: 2}]\ntls:\n");
  options_.environment = {{"MEZZO_TLS_CERTIFICATE", "/c"}, {"MEZZO_TLS_KEY", "/k"}, {"MEZZO_DEADLINE", "2s"}};
  options_.sets = {"tenants.acme.policies=fair,fifo", "tenants.beta.weight=3", "listeners.1.port=99"};

  const auto server = Load();

  ASSERT_TRUE(server.ok()) << server.error().message();
  EXPECT_EQ(server->tenants.at("acme").weight, 2);
  EXPECT_EQ(server->tenants.at("acme").policies.size(), 2U);
  EXPECT_EQ(server->tenants.at("beta").weight, 3);
  EXPECT_EQ(server->listeners.at(0).port, 1);
  EXPECT_EQ(server->listeners.at(1).port, 99);
  EXPECT_EQ(server->tls->key, "/k");
  EXPECT_EQ(server->deadline, milliseconds(2000));
}

TEST_F(LoadTest, RefusesAnIndexThatTheFileLacks) {
  options_.sets = {"listeners.0.port=99"};

  EXPECT_EQ(Refusal(), "--set listeners.0.port: listeners has 0 items in the file, so there is no item 0");
}

TEST_F(LoadTest, ReadsListsAndMapsOfVariablesAsYaml) {
  options_.environment = {{"MEZZO_SERVING_ROLES", " a , b"},
                          {"MEZZO_TENANTS", "{acme: {weight: 2}}"},
                          {"MEZZO_LISTENERS", "- port: 1\n- port: 2"},
                          {"MEZZO_DEADLINE", "null"}};

  const auto server = Load();

  ASSERT_TRUE(server.ok()) << server.error().message();
  EXPECT_THAT(server->serving.roles, ElementsAre("a", "b"));
  EXPECT_EQ(server->tenants.at("acme").weight, 2);
  EXPECT_EQ(server->listeners.size(), 2U);
  EXPECT_FALSE(server->deadline.has_value());
}

TEST_F(LoadTest, RefusesHostileTextInVariables) {
  options_.environment = {
      {"MEZZO_TENANTS", "&a {b: *a}"}, {"MEZZO_NAME", "a\x01"}, {"MEZZO_LISTENERS", "[{prt: 1}]"}};

  const std::string message = Refusal();

  EXPECT_THAT(message, HasSubstr("MEZZO_TENANTS:1:1: anchors (&name) are not allowed"));
  EXPECT_THAT(message, HasSubstr("MEZZO_NAME: the byte \\x01 is not allowed"));
  EXPECT_THAT(message, HasSubstr("MEZZO_LISTENERS:1:3: unknown key 'prt' in listeners[0]"));
}

TEST_F(LoadTest, SuppliesRequiredValuesFromAnySource) {
  options_.environment = {{"MEZZO_NAME", "x"}, {"MEZZO_LISTENER_PORT", "1"}};
  EXPECT_EQ(MessageOf(config::Load<Strict>(options_)), "(accepted)");

  options_.environment.erase("MEZZO_NAME");
  EXPECT_EQ(MessageOf(config::Load<Strict>(options_)), "name is required");
}

TEST_F(LoadTest, ReportsFilesItCannotRead) {
  options_.file = (folder_ / "absent.yaml").string();
  const auto absent = Load();
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code(), Code::kNotFound);
  EXPECT_EQ(absent.error().reason(), "config_missing");
  EXPECT_EQ(absent.error().message(), options_.file + ": cannot be read: No such file or directory");

  options_.file = folder_.string();
  EXPECT_THAT(Refusal(), StartsWith(folder_.string() + ": cannot be read: "));
}

TEST_F(LoadTest, StopsReadingAtTheLimit) {
  options_.file = Write("big.yaml", std::string(200'000, ' '));
  options_.limits.max_bytes = 1000;

  EXPECT_THAT(Refusal(), HasSubstr("more than the limit of 1000"));
}

TEST_F(LoadTest, ResolvesSecrets) {
  options_.file =
      Write("mezzo.yaml", "token: file:" + Write("token", "hunter2\n") + "\ntenants: {a: {key: env:KEY}}");
  options_.environment = {{"KEY", "sesame"}};

  const auto server = Load();

  ASSERT_TRUE(server.ok()) << server.error().message();
  EXPECT_EQ(server->token.Reveal(), "hunter2");
  EXPECT_EQ(server->tenants.at("a").key.Reveal(), "sesame");
  EXPECT_EQ(server->tenants.at("a").key.reference(), "env:KEY");
}

TEST_F(LoadTest, KeepsOnlyTheReferenceWhenCheckingOffline) {
  options_.sets = {"token=file:/nowhere/token"};
  options_.resolve_secrets = false;

  const auto server = Load();

  ASSERT_TRUE(server.ok()) << server.error().message();
  EXPECT_TRUE(server->token.is_set());
  EXPECT_THAT(server->token.Reveal(), IsEmpty());
}

TEST_F(LoadTest, RefusesLiteralSecretsWithoutShowingThem) {
  for (const char* literal : {"hunter2", "file:hunter2", "\"env:\"", "\"hunter2\""}) {
    options_.file = Write("mezzo.yaml", std::string("token: ") + literal + "\n");
    const std::string message = Refusal();
    EXPECT_THAT(message,
                EndsWith(":1:8: token must be a reference file:/path or env:NAME, not a literal value (not "
                         "shown here)"));
    EXPECT_THAT(message, Not(HasSubstr("hunter2")));
  }
}

TEST_F(LoadTest, NamesSecretsItCannotResolve) {
  const std::string empty = Write("empty", "\n");
  const std::string big = Write("big", std::string(70'000, 'x'));
  options_.sets = {"token=env:ABSENT", "tenants.a.key=file:/nowhere/key", "tenants.b.key=file:" + empty,
                   "tenants.c.key=file:" + big, "tenants.d.key=file:" + folder_.string()};

  EXPECT_EQ(Refusal(),
            "--set token: token refers to the environment variable ABSENT, which is not set\n"
            "--set tenants.a.key: tenants.a.key refers to the file /nowhere/key, which cannot be read\n"
            "--set tenants.b.key: tenants.b.key refers to the file " +
                empty +
                ", which is empty\n"
                "--set tenants.c.key: tenants.c.key refers to the file " +
                big +
                ", which has more than 65536 bytes\n"
                "--set tenants.d.key: tenants.d.key refers to the file " +
                folder_.string() + ", which cannot be read");
}

TEST(ProcessEnvironment, HoldsThisProcessesVariables) {
  ASSERT_EQ(setenv("MEZZO_TEST_VARIABLE", "a=b", 1), 0);

  EXPECT_EQ(ProcessEnvironment().at("MEZZO_TEST_VARIABLE"), "a=b");
  unsetenv("MEZZO_TEST_VARIABLE");
}

}  // namespace
}  // namespace mezzo::config
