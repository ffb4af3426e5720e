// What Python processes do wrong, and what becomes of it: real processes, real signals.

#include <sys/resource.h>

#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/sanitizers.h"
#include "mezzo/drivers/worker/testing/python_models.h"
#include "mezzo/drivers/worker/worker_engine.h"

namespace mezzo::drivers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::AnyOf;
using testing::Floats;
using ::testing::HasSubstr;
using testing::Predicting;
using testing::PythonModel;
using testing::Workers;

/// Runs as predict() when x is 0; other values are returned.
std::string FailingOnZero(const std::string& statement) {
  return Predicting("        if inputs['x'][0] == 0:\n            " + statement +
                    "\n        return {'y': inputs['x']}\n");
}

/// Leaves nothing behind: no child, no descriptor.
class WorkerFaultsTest : public ::testing::Test {
 protected:
  void SetUp() override { descriptors_ = testing::OpenDescriptors(); }
  void TearDown() override {
    EXPECT_FALSE(testing::HasChildren());
    EXPECT_EQ(testing::OpenDescriptors(), descriptors_);
  }

  /// The error of the run with a zero, after which the model has to run again.
  std::string ErrorAndRecovery(const std::string& statement) {
    const PythonModel model(FailingOnZero(statement));
    const auto session = workers_.Load(model);
    if (!session.ok()) return "not loaded: " + session.error().ToString();
    const std::string error = Workers::Values(**session, {0}).second;
    EXPECT_EQ(Workers::RunsAgain(**session), "") << "after: " << error;
    return error;
  }

  Workers workers_;
  std::size_t descriptors_ = 0;
};

TEST_F(WorkerFaultsTest, ASegmentationFaultEndsItsRunAndTheNextOneFindsANewProcess) {
  EXPECT_THAT(ErrorAndRecovery("ctypes.string_at(0)"),
              AllOf(HasSubstr("UNAVAILABLE worker_died"), HasSubstr("signal 11 (Segmentation fault)")));
  EXPECT_EQ(workers_.Deaths("worker_died"), 1U);
  EXPECT_EQ(workers_.Deaths("worker_hung"), 0U);
}

TEST_F(WorkerFaultsTest, AProcessThatEndsOrIsKilledIsStartedAgain) {
  EXPECT_THAT(ErrorAndRecovery("os._exit(0)"), HasSubstr("UNAVAILABLE worker_died"));
  EXPECT_THAT(ErrorAndRecovery("os.kill(os.getpid(), signal.SIGKILL)"), HasSubstr("signal 9"));
  EXPECT_THAT(ErrorAndRecovery("os.abort()"), HasSubstr("signal 6"));
}

TEST_F(WorkerFaultsTest, AHangThatHoldsTheInterpreterIsToldFromALongRun) {
  workers_.settings.hang_timeout = milliseconds(600);

  // PyDLL keeps the interpreter's lock during the call; signals change nothing.
  const std::string hung = ErrorAndRecovery(
      "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)), ctypes.PyDLL(None).sleep(60)");
  const std::string long_run = ErrorAndRecovery("time.sleep(1.5)");

  EXPECT_THAT(hung, HasSubstr("DEADLINE_EXCEEDED worker_hung"));
  EXPECT_EQ(long_run, "");
}

TEST_F(WorkerFaultsTest, ALongRunIsEndedAtItsTimeout) {
  workers_.settings.run_timeout = milliseconds(300);

  EXPECT_THAT(ErrorAndRecovery("time.sleep(60)"), HasSubstr("DEADLINE_EXCEEDED worker_run_timeout"));
  EXPECT_THAT(ErrorAndRecovery("while True: pass"), HasSubstr("DEADLINE_EXCEEDED worker_run_timeout"));
}

TEST_F(WorkerFaultsTest, AStoppedProcessCountsAsHung) {
  workers_.settings.hang_timeout = milliseconds(400);

  EXPECT_THAT(ErrorAndRecovery("os.kill(os.getpid(), signal.SIGSTOP)"), HasSubstr("worker_hung"));
}

TEST_F(WorkerFaultsTest, ALeakIsEndedAtTheMemoryLimit) {
  workers_.settings.memory_limit = ByteCount{200} << 20U;

  const std::string error = ErrorAndRecovery(
      "kept = []\n            while True: kept.append(bytearray(os.urandom(1)) * (4 << 20))");

  EXPECT_THAT(error, AllOf(HasSubstr("RESOURCE_EXHAUSTED worker_memory_exceeded"),
                           HasSubstr("its limit is 200 MiB")));
}

TEST_F(WorkerFaultsTest, ModelsThatWriteToTheConnectionThemselvesAreFoundOut) {
  const std::string send = "socket.socket(fileno=os.dup(3)).sendall(";
  const auto frame = [&send](const std::string& json) {
    return send + "(lambda b: struct.pack('<I', len(b)) + b)((" + json + ").encode()))";
  };

  EXPECT_THAT(ErrorAndRecovery(send + "b'GET / HTTP/1.1')"), HasSubstr("INTERNAL worker_protocol"));
  EXPECT_THAT(ErrorAndRecovery(send + "struct.pack('<I', 1 << 31))"), HasSubstr("frame of 2147483648 bytes"));
  EXPECT_THAT(ErrorAndRecovery(frame("'[' * 100_000")), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorAndRecovery(frame("'{\"type\":\"ready\",\"inputs\":[],\"outputs\":[]}'")),
              HasSubstr("'ready' out of turn"));
  EXPECT_THAT(ErrorAndRecovery(frame("'{\"type\":\"hello\",\"protocol\":1,\"python\":\"\"}'")),
              HasSubstr("'hello' out of turn"));
  EXPECT_THAT(ErrorAndRecovery(frame("'{\"type\":\"result\",\"run\":99,\"segment\":1,\"outputs\":[]}'")),
              HasSubstr("'result' for run 99"));
  EXPECT_THAT(ErrorAndRecovery(frame("'{\"type\":\"failed\",\"run\":-1,\"kind\":\"failed\",\"text\":\"\"}'")),
              HasSubstr("'run' is not a number"));
}

TEST_F(WorkerFaultsTest, LiesAboutWhereOutputsLieAreErrors) {
  const auto lying = [](const std::string& fields) {
    return "context._channel.send('room', run=context._run, bytes=4096) or time.sleep(0.1) or "
           "context._channel.send('result', run=context._run, segment=2, outputs=[dict(name='y', "
           "datatype='FP32', " +
           fields + ")]) or time.sleep(5)";
  };

  EXPECT_THAT(ErrorAndRecovery(lying("shape=[1], offset=1 << 40, bytes=4")),
              HasSubstr("outside of its memory"));
  EXPECT_THAT(ErrorAndRecovery(lying("shape=[1], offset=(1 << 64) - 64, bytes=4")),
              HasSubstr("outside of its memory"));
  EXPECT_THAT(ErrorAndRecovery(lying("shape=[1], offset=4, bytes=4")), HasSubstr("outside of its memory"));
  EXPECT_THAT(ErrorAndRecovery(lying("shape=[1 << 40], offset=0, bytes=1 << 42")),
              HasSubstr("outside of its memory"));
  EXPECT_THAT(ErrorAndRecovery(lying("shape=[2], offset=0, bytes=4")), HasSubstr("its shape needs 8"));
  EXPECT_THAT(ErrorAndRecovery(lying("shape=[1 << 62, 8], offset=0, bytes=0")), HasSubstr("worker_protocol"));
  EXPECT_THAT(ErrorAndRecovery(lying("shape=[-1], offset=0, bytes=4")), HasSubstr("'shape' is not a shape"));
}

TEST_F(WorkerFaultsTest, SharedMemoryThatAWorkerTriesToShrinkStaysWhole) {
  const PythonModel model(
      Predicting("        refused = 0\n"
                 "        for fd in os.listdir('/proc/self/fd'):\n"
                 "            try:\n"
                 "                if 'mezzo-tensors' in os.readlink(f'/proc/self/fd/{fd}'):\n"
                 "                    os.ftruncate(int(fd), 0)\n"
                 "            except PermissionError: refused += 1\n"
                 "            except OSError: pass\n"
                 "        return {'y': np.full(1 << 20, refused, np.float32)}\n"));
  const auto session = workers_.Load(model);
  ASSERT_TRUE(session.ok()) << session.error().ToString();

  const auto first = Workers::Run(**session, Floats(std::vector<float>(1U << 20U)));
  const auto second = Workers::Values(**session, {1});

  ASSERT_TRUE(first.ok()) << first.error().ToString();
  EXPECT_EQ(second.second, "");
  EXPECT_GE(second.first.front(), 1);
}

TEST_F(WorkerFaultsTest, RequestsForImpossibleRoomAreRefused) {
  EXPECT_THAT(
      ErrorAndRecovery("context._channel.send('room', run=context._run, bytes=1 << 60) or time.sleep(60)"),
      HasSubstr("worker_memory_full"));
}

TEST_F(WorkerFaultsTest, DeathAtAnyPointOfTheProtocolIsAnErrorAndTheNextProcessServes) {
  const std::string die = "os.kill(os.getpid(), signal.SIGKILL)";
  const auto once = [&die](const PythonModel& model, const std::string& where) {
    // The first process to come here dies; the next one finds the mark.
    model.Write("die.py",
                "import os, signal\n"
                "def at(point):\n"
                "    mark = '" +
                    model.File("died") +
                    "'\n"
                    "    if point == '" +
                    where +
                    "' and not os.path.exists(mark):\n"
                    "        open(mark, 'w').close()\n"
                    "        " +
                    die + "\n");
  };
  const std::string body =
      "import die\n"
      "import mezzo_worker.worker as worker\n"
      "real_send = worker.Channel.send\n"
      "def send(self, frame_type, /, **fields):\n"
      "    die.at('before ' + frame_type)\n"
      "    real_send(self, frame_type, **fields)\n"
      "    die.at('after ' + frame_type)\n"
      "worker.Channel.send = send\n" +
      Predicting(
          "        die.at('predict')\n"
          "        context.progress(1, 1)\n"
          "        return {'y': inputs['x']}\n");

  for (const std::string where : {"before room", "after room", "predict", "before progress", "after progress",
                                  "before result", "after result"}) {
    const PythonModel model(body);
    once(model, where);
    const auto session = workers_.Load(model);
    ASSERT_TRUE(session.ok()) << where << ": " << session.error().ToString();
    const std::string error = Workers::Values(**session, {1}).second;
    // After its result a worker may die: the answer is there, or the death was noticed first.
    EXPECT_THAT(error, AnyOf(HasSubstr("worker_died"), where == "after result" ? "" : "never")) << where;
    EXPECT_EQ(Workers::RunsAgain(**session), "") << where;
  }
  for (const std::string where : {"before ready", "after ready", "before beat"}) {
    const PythonModel model(body);
    once(model, where);
    const auto session = workers_.Load(model);
    if (session.ok()) {
      EXPECT_EQ(Workers::RunsAgain(**session), "") << where;
    } else {
      EXPECT_THAT(session.error().ToString(), HasSubstr("worker_died")) << where;
    }
  }
}

TEST_F(WorkerFaultsTest, AModelThatKeepsDyingIsUnhealthyWithItsReasonAndRecovers) {
  workers_.options.crash_budget = 3;
  workers_.options.broken_pause = milliseconds(500);
  const PythonModel model(
      "if os.path.exists(os.path.dirname(__file__) + '/broken'):\n"
      "    print('the weights are gone', file=sys.stderr, flush=True)\n"
      "    os._exit(9)\n" +
      FailingOnZero("os._exit(1)"));
  const auto session = workers_.Load(model);
  ASSERT_TRUE(session.ok()) << session.error().ToString();
  EXPECT_TRUE((*session)->Health().ok());
  model.Write("broken", "");

  const std::string first = Workers::Values(**session, {0}).second;
  const std::string later = Workers::Values(**session, {1}).second;
  const auto health = (*session)->Health();
  std::filesystem::remove(model.File("broken"));

  EXPECT_THAT(first, HasSubstr("it ended with status 1"));
  EXPECT_THAT(later, HasSubstr("UNAVAILABLE worker_broken"));
  ASSERT_FALSE(health.ok());
  EXPECT_THAT(health.error().message(),
              AllOf(HasSubstr("it ended with status 9"), HasSubstr("the weights are gone")));
  EXPECT_EQ(Workers::RunsAgain(**session), "");
  EXPECT_TRUE((*session)->Health().ok());
}

TEST_F(WorkerFaultsTest, WhatAModelStartsEndsWithIt) {
  const PythonModel model(
      FailingOnZero("import subprocess; p = subprocess.Popen(['sleep', '60']); "
                    "open(context.folder + '/child', 'w').write(str(p.pid)); os._exit(1)"));
  const auto session = workers_.Load(model);
  ASSERT_TRUE(session.ok()) << session.error().ToString();

  (void)Workers::Values(**session, {0});
  pid_t child = 0;
  std::ifstream(model.File("child")) >> child;

  ASSERT_GT(child, 0);
  const auto until = std::chrono::steady_clock::now() + seconds(5);
  const auto lives = [child] {  // A killed orphan may stay a zombie until init looks.
    std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
    const std::string text((std::istreambuf_iterator<char>(stat)), {});
    return !text.empty() && text.find(") Z") == std::string::npos;
  };
  while (lives() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_FALSE(lives());
}

TEST_F(WorkerFaultsTest, AFloodOfOutputHarmsNobody) {
  EXPECT_EQ(ErrorAndRecovery("sys.stderr.write('x' * (8 << 20)); sys.stdout.write('y\\n' * 500_000)"), "");
  EXPECT_EQ(ErrorAndRecovery("os.close(1); os.close(2)"), "");
}

TEST_F(WorkerFaultsTest, DescriptorsThatRunOutAreAnErrorAtWhateverPointTheyDo) {
  if constexpr (kAddressSanitizer) {
    GTEST_SKIP() << "UBSan opens pipes to look at memory, and takes objects for broken when it can't";
  }
  const PythonModel model(FailingOnZero("pass"));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  int failures = 0;

  for (rlim_t spare = 1; spare < 24; ++spare) {
    const rlimit tight{descriptors_ + spare, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
    const auto session = workers_.Load(model);
    const std::string error =
        session.ok() ? Workers::Values(**session, {1}).second : session.error().ToString();
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    if (error.empty()) break;
    ++failures;
    EXPECT_THAT(error,
                AnyOf(HasSubstr("worker_start"), HasSubstr("worker_memory_full"), HasSubstr("worker_died")))
        << spare;
  }

  EXPECT_GE(failures, 4);
  EXPECT_LT(failures, 23);
}

}  // namespace
}  // namespace mezzo::drivers
