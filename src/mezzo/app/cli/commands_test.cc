#include "mezzo/app/cli/commands.h"

#include <cstdlib>
#include <fstream>

#include <CLI/CLI.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/infer_command.h"
#include "mezzo/app/cli/internal/fake_server.h"
#include "mezzo/app/cli/models_command.h"
#include "mezzo/app/cli/v2_client.h"

namespace mezzo::app::cli {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

/// Runs a command line as `mezzo` would.
Outcome Mezzo(std::vector<std::string> arguments) {
  Outcome outcome;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  CLI::App app("", "mezzo");
  app.require_subcommand(1);
  AddCommands(app, outcome.code);
  std::reverse(arguments.begin(), arguments.end());  // As CLI11 wants them.
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    outcome.code = app.exit(error) == 0 ? 0 : 2;
  }
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

/// A server that knows one model, `add`: z = x, answered in binary.
class AddServer {
 public:
  AddServer() : server_([](const FakeServer::Request& request) { return Route(request); }) {}
  [[nodiscard]] std::string url() const { return server_.url(); }

 private:
  static FakeServer::Answer Route(const FakeServer::Request& request) {
    const std::string target(request.target());
    if (target == "/v2/models/add") {
      return {.body = R"({"name":"add","versions":["1","2"],"platform":"onnxruntime_onnx",
        "inputs":[{"name":"x","datatype":"INT32","shape":[-1,2]}],
        "outputs":[{"name":"z","datatype":"INT32","shape":[-1,2]}]})"};
    }
    if (target == "/v2/models/add/config") return {.body = R"({"max_batch_size":8})"};
    if (target == "/v2/models/add/infer") return Infer(request);
    if (target == "/v2/repository/index") {
      return {.body =
                  R"([{"name":"add","version":"1","state":"READY"},
                          {"name":"bad","state":"UNAVAILABLE","reason":"no file"}])"};
    }
    if (target == "/v2/repository/models/add/load")
      return {.body = request.body().find("max_batch") != std::string::npos ? "1" : ""};
    if (target == "/v2/repository/models/add/unload") return {.body = ""};
    if (target == "/v2/models/stats") {
      return {.body = R"({"model_stats":[{"name":"add","version":"1","inference_count":6,"execution_count":3,
        "inference_stats":{"success":{"count":2,"ns":10},"queue":{"count":2,"ns":4000}},
        "memory_usage":[{"byte_size":2048}]}]})"};
    }
    return {.status = 404,
            .body = R"({"error":"unknown model"})",
            .headers = {{"X-Mezzo-Reason", "model_unknown"}}};
  }

  static FakeServer::Answer Infer(const FakeServer::Request& request) {
    if (request["Authorization"] != "Bearer s3cret") return {.status = 401, .body = R"({"error":"no key"})"};
    const auto length = std::stoul(std::string(request["Inference-Header-Content-Length"]));
    const std::string raw = request.body().substr(length);
    const auto asked = nlohmann::json::parse(request.body().substr(0, length));
    nlohmann::json output{{"name", "z"}, {"datatype", "INT32"}, {"shape", asked["inputs"][0]["shape"]}};
    if (asked["parameters"]["binary_data_output"] == false) {
      output["data"] = {1, 2};
      return {.body = nlohmann::json{{"outputs", {output}}}.dump()};
    }
    output["parameters"] = {{"binary_data_size", raw.size()}};
    const std::string json = nlohmann::json{{"model_name", "add"}, {"outputs", {output}}}.dump();
    return {.body = json + raw,
            .headers = {{"Inference-Header-Content-Length", std::to_string(json.size())}}};
  }

  FakeServer server_;
};

class CommandsTest : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv("TEST_CLI_KEY", "s3cret", 1); }
  [[nodiscard]] Outcome Infer(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"infer", "add", "--url", server_.url(), "--key-env", "TEST_CLI_KEY"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Mezzo(arguments);
  }
  [[nodiscard]] Outcome Models(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"models", "--url", server_.url()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Mezzo(arguments);
  }

  AddServer server_;
};

TEST_F(CommandsTest, InferPrintsTheOutputs) {
  const Outcome outcome = Infer({"--input", "x=[[1,-2],[3,4]]"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "z INT32[2,2]\n  [1,-2,3,4]\n");
}

TEST_F(CommandsTest, InferReadsJsonAndRawFiles) {
  const std::string json = ::testing::TempDir() + "/mezzo_x.json";
  const std::string raw = ::testing::TempDir() + "/mezzo_x.bin";
  std::ofstream(json) << "[[7,8]]";
  std::ofstream(raw, std::ios::binary) << std::string("\x05\0\0\0\x06\0\0\0", 8);

  EXPECT_EQ(Infer({"--input", "x=@" + json}).out, "z INT32[1,2]\n  [7,8]\n");
  EXPECT_EQ(Infer({"--input", "x=@" + raw}).out, "z INT32[1,2]\n  [5,6]\n");
  EXPECT_EQ(Infer({"--input", "x=@" + raw, "--output", "raw"}).out, std::string("\x05\0\0\0\x06\0\0\0", 8));
}

TEST_F(CommandsTest, InferPrintsTheServersJson) {
  const Outcome outcome = Infer({"--input", "x=[[1,2]]", "-o", "json"});
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["outputs"][0]["data"], nlohmann::json({1, 2}));
}

TEST_F(CommandsTest, InferNamesWhatIsWrongWithTheInput) {
  const auto fault = [this](std::vector<std::string> more) {
    const Outcome outcome = Infer(std::move(more));
    EXPECT_EQ(outcome.code, 2);
    return outcome.err;
  };
  EXPECT_THAT(fault({"--input", "y=[1]"}), HasSubstr("input 'y' is none of the model's (x)"));
  EXPECT_THAT(fault({"--input", "x"}), HasSubstr("must be NAME=JSON or NAME=@FILE"));
  EXPECT_THAT(fault({"--input", "x=[1.5]"}), HasSubstr("holds 1.5, which is no INT32"));
  EXPECT_THAT(fault({"--input", "x=@/nowhere.json"}), HasSubstr("cannot read '/nowhere.json'"));
  EXPECT_THAT(fault({"--input", "x=[1]", "--shape", "y:1"}), HasSubstr("--shape 'y:1' must be NAME:VALUE"));
  EXPECT_THAT(fault({"--input", "x=[1]", "--datatype", "x:F"}), HasSubstr("unknown datatype 'F'"));
}

TEST_F(CommandsTest, ExitCodesTellRefusedFromUnreachableFromUsage) {
  const Outcome refused = Mezzo({"infer", "other", "--url", server_.url(), "--input", "x=1"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.err, "mezzo infer: the server answered 404 (model_unknown): unknown model\n");
  EXPECT_EQ(Mezzo({"infer", "add", "--url", server_.url(), "--input", "x=[[1,2]]"}).code, 1);  // No key.
  const Outcome unreachable = Mezzo({"models", "--url", "http://127.0.0.1:1"});
  EXPECT_EQ(unreachable.code, 3);
  EXPECT_THAT(unreachable.err, HasSubstr("http://127.0.0.1:1: Connection refused"));
  EXPECT_EQ(Mezzo({"infer", "add"}).code, 2);
  EXPECT_EQ(Mezzo({"models", "--timeout", "soon"}).code, 2);
  EXPECT_EQ(Mezzo({"models", "--url", "ftp://x"}).code, 2);
  EXPECT_EQ(Mezzo({"models", "--url", server_.url(), "--key-env", "NOT_SET_ANYWHERE"}).code, 2);
  EXPECT_EQ(Mezzo({"bench", "--model", "m", "--url", server_.url()}).code, 2);
  EXPECT_EQ(Mezzo({"top", "--interval", "1ms"}).code, 2);
}

TEST_F(CommandsTest, ModelsListsShowsLoadsAndUnloads) {
  EXPECT_EQ(Models({}).out,
            "MODEL  VERSION  STATE        REASON\n"
            "add    1        READY\n"
            "bad    -        UNAVAILABLE  no file\n");
  EXPECT_EQ(Models({"list"}).out, Models({}).out);
  EXPECT_THAT(Models({"show", "add"}).out, HasSubstr("input   x     INT32  [-1,2]"));
  EXPECT_THAT(Models({"show", "add"}).out, HasSubstr("\"max_batch_size\": 8"));
  EXPECT_EQ(Models({"load", "add"}).out, "loaded add\n");
  EXPECT_EQ(Models({"unload", "add"}).out, "unloaded add\n");
  EXPECT_EQ(Models({"unload", "nothing"}).code, 1);
  EXPECT_EQ(Models({"list", "--json"}).out.front(), '[');
}

TEST_F(CommandsTest, ModelsStatsShowsMeans) {
  EXPECT_EQ(Models({"stats"}).out,
            "MODEL  VERSION  OK  FAILED  ROWS  BATCHES  MEAN BATCH  MEAN QUEUE  MEAN RUN  MEMORY\n"
            "add          1   2       0     6        3        2.00      2.00us         0   2 KiB\n");
}

TEST_F(CommandsTest, BenchWritesItsReportAsJson) {
  const std::string path = ::testing::TempDir() + "/mezzo_bench.json";
  const Outcome outcome = Mezzo({"bench", "--url", server_.url(), "--key-env", "TEST_CLI_KEY", "-m", "add",
                                 "-c", "2", "-n", "40", "--json", path});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("latency of all successes"));
  std::ifstream file(path);
  EXPECT_EQ(nlohmann::json::parse(file)["total"]["ok"], 40);
}

TEST_F(CommandsTest, BenchWithoutASuccessIsRefused) {
  const Outcome outcome = Mezzo({"bench", "--url", server_.url(), "-m", "add", "-c", "2", "-n", "10"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("10 refused: 401"));
}

TEST_F(CommandsTest, TopWithoutATerminalSaysWhatToDo) {
  const Outcome outcome = Mezzo({"top", "--url", server_.url()});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--once"));
}

TEST(ParseUrl, TakesApartAndRefuses) {
  const auto address = ParseUrl("https://[::1]:8443/base/");
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(address->host, "::1");
  EXPECT_EQ(address->authority(), "[::1]:8443");
  EXPECT_EQ(address->prefix, "/base");
  EXPECT_TRUE(address->tls);
  EXPECT_EQ(ParseUrl("http://h")->authority(), "h");
  for (const char* bad : {"h:80", "http://", "http://h:0", "http://h:99999", "http://u:p@h", "http://h/?q",
                          "http://[::1", "http://h:8x"}) {
    EXPECT_FALSE(ParseUrl(bad).ok()) << bad;
  }
}

TEST(ReadKey, ComesFromTheEnvironmentOnly) {
  ::unsetenv("MEZZO_API_KEY");
  EXPECT_EQ(*ReadKey(""), "");
  ::setenv("MEZZO_API_KEY", "k", 1);
  EXPECT_EQ(*ReadKey(""), "k");
  ::setenv("MEZZO_API_KEY", "k\r\nX: y", 1);
  EXPECT_THAT(ReadKey("").error().message(), HasSubstr("characters other than printable ASCII"));
  ::unsetenv("MEZZO_API_KEY");
}

TEST(ModelPath, EncodesNames) {
  EXPECT_EQ(ModelPath("a/../b c", "1"), "/v2/models/a%2F..%2Fb%20c/versions/1");
}

TEST(ParseAnswer, RefusesLiesAboutSizes) {
  const std::string json =
      R"({"outputs":[{"name":"z","datatype":"INT32","shape":[1],"parameters":{"binary_data_size":400}}]})";
  EXPECT_THAT(ParseAnswer(json + "1234", json.size()).error().message(), HasSubstr("longer than the answer"));
  EXPECT_THAT(ParseAnswer(json, json.size() + 1).error().message(), HasSubstr("JSON part is longer"));
  EXPECT_FALSE(ParseAnswer(R"({"outputs":[{"name":5}]})", 24).ok());
}

TEST(ParseSignature, RefusesWhatIsNotTheProtocol) {
  for (const char* bad :
       {"", "[]", "{}", R"({"name":"m","inputs":5,"outputs":[]})",
        R"({"name":"m","inputs":[{"name":"x","datatype":"FP99","shape":[]}],"outputs":[]})"}) {
    const auto signature = ParseSignature(bad);
    ASSERT_FALSE(signature.ok()) << bad;
    EXPECT_EQ(signature.error().reason(), "bad_answer");
  }
}

TEST(Commands, DecodePictureIsHiddenAndRefusesOtherCommandLines) {
  EXPECT_THAT(Mezzo({"--help"}).out, ::testing::Not(HasSubstr("decode-picture")));

  const Outcome outcome = Mezzo({"decode-picture", "1", "2"});

  EXPECT_EQ(outcome.code, 0) << "the answer is the error";
  EXPECT_THAT(outcome.out, ::testing::StartsWith("error child_task_invalid\n"));
}

}  // namespace
}  // namespace mezzo::app::cli
