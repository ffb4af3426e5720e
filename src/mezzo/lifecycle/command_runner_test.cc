#include "mezzo/lifecycle/command_runner.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace mezzo::lifecycle
