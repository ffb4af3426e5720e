#include "mezzo/lifecycle/command_runner.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/fd.h"
#include "mezzo/base/sanitizers.h"
#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/memory_blob_store.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Commands are lines of a shell script: the script is the operator's, what it does is the test's.
class CommandRunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kThreadSanitizer)
      GTEST_SKIP() << "ThreadSanitizer's child needs more than a confined process may have";
  }

  /// Runs `script`; `files` are what the stage before has made.
  Result<StageOutcome> Run(
      const std::string& script, Duration limit = seconds(60),
      const std::function<bool()>& stop = [] { return false; }) {
    const std::string path = folder_.path() + "/script.sh";
    std::ofstream(path) << script;
    CommandRunner::Options options;
    options.folder = folder_.path() + "/work";
    options.child = {MEZZO_STAGE_CHILD};
    options.commands["sh"] = {.argv = {"/bin/sh", path},
                              .max_arguments = 2,
                              .fixed = {{"FIXED", "f"}},
                              .environment = {"GIVEN"},
                              .memory = ByteCount{256} << 20};
    options.commands["net"] = options.commands["sh"];
    options.commands["net"].network = true;
    options.files.max_files = 5;
    CommandRunner runner(options, {.blobs = blobs_, .clock = clock_});
    const auto opened = runner.Open();
    EXPECT_TRUE(opened.ok());
    run_.id = "01990000-0000-7000-8000-000000000001";
    run_.pipeline = "p";
    run_.model = "m";
    run_.parent = 3;
    run_.trigger.kind = "manual";
    StageSpec stage = stage_;
    stage.time_limit = limit;
    return runner.Run(
        {.run = run_, .stage = stage, .index = 2, .attempt = 7, .inputs = inputs_, .inputs_key = "1"}, stop);
  }
  std::string Reason(const std::string& script) {
    const auto outcome = Run(script);
    return outcome.ok() ? "ok" : std::string(outcome.error().reason()) + ": " + outcome.error().message();
  }

  const storage::testing::TempDir folder_;
  const RealClock clock_;
  storage::testing::MemoryBlobStore blobs_{clock_};
  PipelineRun run_;
  StageSpec stage_{.name = "train",
                   .command = "sh",
                   .arguments = {"one", "two words; $(x)"},
                   .environment = {{"GIVEN", "g"}}};
  std::vector<ManifestFile> inputs_;
};

TEST_F(CommandRunnerTest, WhatItMakesIsKeptAndWhatItSaysIsTold) {
  inputs_ = {{.path = "a/before.txt", .sha256 = Sha256Hex("hello"), .bytes = 5}};
  const std::string_view hello = "hello";
  ASSERT_TRUE(
      storage::WriteBlob(
          blobs_,
          CommandRunner::KeyOf("01990000-0000-7000-8000-000000000001", "1", Sha256Hex("hello")).value(),
          std::as_bytes(std::span(hello.data(), hello.size())), {}, clock_.Now() + seconds(10))
          .ok());
  const auto outcome =
      Run("mkdir -p out/sub && cp in/a/before.txt out/sub/copy.txt && printf '%s|' \"$@\" > out/args\n"
          "env | grep -E '^(FIXED|GIVEN|MEZZO_|LD_)' | sort > out/env\n"
          "echo '{\"auc\": 0.5, \"n\": 3}' > metrics.json\n"
          "grep -q manual trigger.json && echo done\n");
  ASSERT_TRUE(outcome.ok()) << outcome.error().ToString();
  EXPECT_EQ(outcome->metrics, (std::map<std::string, double>{{"auc", 0.5}, {"n", 3}}));
  EXPECT_EQ(outcome->log, "done\n");
  EXPECT_TRUE(outcome->confined);
  std::map<std::string, std::string> made;
  for (const ManifestFile& file : outcome->files) {
    const auto key = CommandRunner::KeyOf(run_.id, CommandRunner::PartOf(2, 7), file.sha256);
    const auto read = storage::ReadBlob(blobs_, *key, 1 << 20, clock_.Now() + seconds(10));
    ASSERT_TRUE(read.ok()) << file.path;
    made[file.path] = *read;
    EXPECT_EQ(file.bytes, read->size());
  }
  EXPECT_EQ(made["sub/copy.txt"], "hello");
  EXPECT_EQ(made["args"], "one|two words; $(x)|");  // No shell has read them.
  EXPECT_THAT(made["env"], HasSubstr("FIXED=f\nGIVEN=g\n"));
  EXPECT_THAT(made["env"], HasSubstr("MEZZO_ATTEMPT=7\nMEZZO_MODEL=m\nMEZZO_PARENT=3\nMEZZO_PIPELINE=p\n"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path() + "/work"));
}

TEST_F(CommandRunnerTest, HowItFailedIsSaidWithWhatItWroteLast) {
  EXPECT_EQ(Reason("echo no data; echo at all; exit 3"),
            "pipeline_command_failed: the command 'sh' ended with status 3; it wrote last: no data | at all");
  EXPECT_THAT(Reason("kill -SEGV $$"),
              HasSubstr("pipeline_command_failed: the command 'sh' was ended by signal 11 (SIGSEGV)"));
  EXPECT_THAT(Reason("echo x > ../outside"), HasSubstr("pipeline_command_failed"));
  stage_.command = "other";
  EXPECT_THAT(Reason(""), HasSubstr("pipeline_command: the command 'other' is not allowed on this host"));
  stage_ = {.name = "a", .command = "sh", .arguments = {"1", "2", "3"}};
  EXPECT_THAT(Reason(""),
              HasSubstr("pipeline_command: the command 'sh' takes 2 further arguments at most, not 3"));
  stage_ = {.name = "a", .command = "sh", .environment = {{"PATH", "/tmp"}}};
  EXPECT_THAT(Reason(""), HasSubstr("pipeline_command: the command 'sh' does not let 'PATH' be set"));
}

TEST_F(CommandRunnerTest, NothingOutsideItsFolderIsRead) {
  std::ofstream(folder_.path() + "/secret") << "s";
  EXPECT_EQ(Reason("cat " + folder_.path() + "/secret && exit 9; exit 0"), "ok");
  EXPECT_EQ(Reason("ls " + folder_.path() + " && exit 9; exit 0"), "ok");
  EXPECT_EQ(Reason("cat /etc/shadow && exit 9; cat /proc/1/environ && exit 9; exit 0"), "ok");
  EXPECT_EQ(Reason("touch mine && cp mine out/m && mv out/m tmp/m"), "ok");
}

TEST_F(CommandRunnerTest, WhatItLeavesIsNotTrusted) {
  EXPECT_THAT(Reason("ln -s /etc/passwd out/model.onnx"),
              HasSubstr("manifest_path: 'out/model.onnx' is no plain file"));
  EXPECT_THAT(Reason("mkfifo out/model.onnx"), HasSubstr("manifest_path"));
  EXPECT_THAT(Reason("touch out/.hidden"), HasSubstr("manifest_path"));
  EXPECT_THAT(Reason("mkdir -p out/1/2/3/4/5/6/7/8/9 && touch out/1/2/3/4/5/6/7/8/9/a"),
              HasSubstr("manifest_path"));
  EXPECT_THAT(Reason("for i in 1 2 3 4 5 6; do touch out/$i; done"),
              HasSubstr("manifest_limits: out/ has more than 5 files"));
  EXPECT_THAT(Reason("ln -s /etc/passwd metrics.json"),
              HasSubstr("pipeline_metrics: metrics.json is no plain file"));
  EXPECT_THAT(Reason("mkdir metrics.json"), HasSubstr("pipeline_metrics"));
  for (const char* text : {"[]", "{", "{\"a\": \"b\"}", "{\"a\": true}", "{\"a\": 1e999}", "{\"\": 1}"}) {
    EXPECT_THAT(Reason("echo '" + std::string(text) + "' > metrics.json"), HasSubstr("pipeline_metrics"))
        << text;
  }
  EXPECT_THAT(Reason("head -c 70000 /dev/zero | tr '\\0' ' ' > metrics.json"),
              HasSubstr("has more than 65536 bytes"));
}

TEST_F(CommandRunnerTest, ItsTimeEndsWithAllThatItBegan) {
  const auto outcome = Run("sleep 1000 & setsid sleep 1000 & sleep 1000", milliseconds(1500));
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().reason(), "pipeline_time_limit");
  EXPECT_THAT(outcome.error().message(), HasSubstr("took longer than 1.5 s"));
}

TEST_F(CommandRunnerTest, ItIsStoppedWhenItIsToldSo) {
  const TimePoint from = clock_.Now();
  const auto outcome =
      Run("sleep 1000 & sleep 1000", seconds(600), [&] { return clock_.Now() > from + milliseconds(300); });
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().reason(), "pipeline_stopped");
  EXPECT_LT(clock_.Now() - from, seconds(25));  // Not by force.
}

TEST_F(CommandRunnerTest, ItHasNoNetworkUnlessTheOperatorSaysSo) {
  const Fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listening.get(), 8), 0);
  ASSERT_EQ(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string port = std::to_string(::ntohs(address.sin_port));
  const std::string connect = "exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/" + port + "'";
  EXPECT_THAT(Reason(connect), HasSubstr("pipeline_command_failed: the command 'sh' ended with status 1"));
  EXPECT_THAT(Reason(connect), HasSubstr("Operation not permitted"));
  EXPECT_THAT(Reason("exec bash -c 'echo > /dev/udp/127.0.0.1/" + port + "'"),
              HasSubstr("Operation not permitted"));
  EXPECT_THAT(Reason("bash -c 'bash -c \"exec 3<>/dev/tcp/127.0.0.1/" + port + "\"' || exit 7"),
              HasSubstr("ended with status 7"))
      << "nor have its children";
  stage_.command = "net";
  EXPECT_EQ(Reason(connect), "ok");
}

/// Processes with the run's mark in their environment: the command and all that it has begun.
std::vector<pid_t> Marked(const std::string& run) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const auto pid = ParseUint(entry.path().filename().string());
    if (!pid) continue;
    std::ifstream file(entry.path() / "environ", std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (text.find("MEZZO_RUN=" + run) != std::string::npos) found.push_back(static_cast<pid_t>(*pid));
  }
  return found;
}
pid_t ParentOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("PPid:")) return std::stoi(line.substr(5));
  }
  return 0;
}
template <typename Check>
bool Eventually(Check check) {
  for (int i = 0; i < 600; ++i) {
    if (check()) return true;
    std::this_thread::sleep_for(milliseconds(100));
  }
  return false;
}

TEST_F(CommandRunnerTest, NothingOfItOutlivesWhoeverIsKilledOverIt) {
  const std::string run = "01990000-0000-7000-8000-000000000001";
  for (const bool nearer : {true, false}) {
    // Two that have left: their parents have ended, sessions and groups are their own.
    std::atomic<bool> ended = false;
    Result<StageOutcome> outcome = Unavailable("test", "not run");
    std::thread runs([&] {
      outcome =
          Run("setsid sh -c 'setsid sleep 1000 & setsid sh -c \"sleep 1000 & sleep 1000\" & sleep 0.1' &\n"
              "sleep 1000\n",
              seconds(600));
      ended = true;
    });
    std::vector<pid_t> marked;
    // The command, its sleep, and three that are not below it any more, with a shell.
    const bool begun = Eventually([&] {
      marked = Marked(run);
      return marked.size() >= 6 || ended;
    });
    EXPECT_TRUE(begun && !ended);
    // Over the command's shell stand two; the upper one is this process's child.
    pid_t over = 0;
    for (const pid_t one : marked) {
      const pid_t first = ParentOf(one);
      if (first > 0 && ParentOf(ParentOf(first)) == ::getpid()) over = first;
    }
    EXPECT_GT(over, 0);
    const pid_t killed = nearer ? over : ParentOf(over);
    EXPECT_NE(killed, ::getpid());
    if (killed > 1 && killed != ::getpid()) ::kill(killed, SIGKILL);
    EXPECT_TRUE(Eventually([&] { return Marked(run).empty(); })) << "nearer: " << nearer;
    runs.join();
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().reason(), "pipeline_command_failed");
    EXPECT_THAT(outcome.error().message(), HasSubstr("the process that stood over it has ended"));
  }
}

TEST_F(CommandRunnerTest, ItCanNotEndWhatStandsOverIt) {
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1 /* its version */) < 6)
    GTEST_SKIP() << "this kernel's Landlock lets signals pass";
  EXPECT_EQ(Reason("kill -9 $PPID && exit 9; exit 0"), "ok");
  EXPECT_EQ(Reason("sleep 100 & kill -9 $! && exit 0"), "ok") << "its own it can";
}

}  // namespace
}  // namespace mezzo::lifecycle
