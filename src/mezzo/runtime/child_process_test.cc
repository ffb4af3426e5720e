#include "mezzo/runtime/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "mezzo/base/fd.h"

namespace mezzo::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ChildProcess, GetsItsInputAndGivesItsOutput) {
  const RealClock clock;
  const std::string text(300'000, 'x');

  const auto out = OutputOf({.command = {"cat"}, .input = AsBytes(text)}, clock.Now() + seconds(10), clock);

  ASSERT_TRUE(out.ok()) << out.error().ToString();
  EXPECT_EQ(*out, text);
}

TEST(ChildProcess, IsKilledAtTheDeadline) {
  const RealClock clock;
  const TimePoint start = clock.Now();

  const auto out = OutputOf({.command = {"sleep", "30"}}, start + milliseconds(100), clock);

  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.error().reason(), "deadline");
  EXPECT_LT(clock.Now() - start, seconds(5));
}

TEST(ChildProcess, IsKilledAtTheDeadlineAlsoWhenItHasClosedItsOutput) {
  const RealClock clock;
  const TimePoint start = clock.Now();

  const auto out =
      OutputOf({.command = {"sh", "-c", "exec >&-; sleep 30"}}, start + milliseconds(200), clock);

  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.error().reason(), "deadline");
  EXPECT_LT(clock.Now() - start, seconds(5));
}

TEST(ChildProcess, TooMuchOutputEndsIt) {
  const RealClock clock;

  const auto out = OutputOf({.command = {"yes"}, .max_output = 10'000}, clock.Now() + seconds(10), clock);

  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.error().message(), "yes: it wrote more than 10000 bytes");
}

TEST(ChildProcess, ItsStatusIsToldAndItsEnvironmentIsEmpty) {
  const RealClock clock;
  const auto failed = OutputOf({.command = {"sh", "-c", "exit 3"}}, clock.Now() + seconds(10), clock);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().message(), "sh: it ended with status 3");

  const auto environment = OutputOf({.command = {"env"}}, clock.Now() + seconds(10), clock);
  ASSERT_TRUE(environment.ok());
  EXPECT_EQ(*environment, "PATH=/usr/local/bin:/usr/bin:/bin\n");
}

TEST(ChildProcess, ASignalThatEndedItIsTold) {
  const RealClock clock;

  const auto end = RunChild({.command = {"sh", "-c", "kill -SEGV $$"}}, clock.Now() + seconds(10), clock);

  ASSERT_TRUE(end.ok()) << end.error().ToString();
  EXPECT_EQ(end->signal, SIGSEGV);
}

TEST(ChildProcess, HasNoFilesOfItsParentsAndNoIgnoredSignals) {
  const RealClock clock;
  const Fd inherited(::fcntl(STDIN_FILENO, F_DUPFD, 100));  // Without O_CLOEXEC.
  const auto before = ::signal(SIGPIPE, SIG_IGN);

  const auto files =
      OutputOf({.command = {"sh", "-c", "echo /proc/$$/fd/*"}}, clock.Now() + seconds(10), clock);
  const auto end = RunChild({.command = {"sh", "-c", "kill -PIPE $$"}}, clock.Now() + seconds(10), clock);

  ::signal(SIGPIPE, before);
  ASSERT_TRUE(files.ok() && end.ok());
  EXPECT_EQ(files->find("/fd/" + std::to_string(inherited.get())), std::string::npos) << *files;
  EXPECT_EQ(end->signal, SIGPIPE);
}

TEST(ChildProcess, CannotWriteFiles) {
  const RealClock clock;
  const std::string path = ::testing::TempDir() + "/mezzo_child_wrote_this";

  const auto out = OutputOf({.command = {"sh", "-c", "sleep 0.05; echo hello >" + path}},
                            clock.Now() + seconds(10), clock);

  EXPECT_FALSE(out.ok());
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    EXPECT_EQ(status.st_size, 0);
    ::unlink(path.c_str());
  }
}

TEST(ChildProcess, AWatchedOneThatIsKilledHasSaidWhatItSaid) {
  const RealClock clock;

  const auto late =
      WatchChild({.command = {"sh", "-c", "echo started; exec sleep 60"}}, clock.Now() + seconds(2), clock);
  const auto loud = WatchChild({.command = {"yes"}, .max_output = 100'000}, clock.Now() + seconds(30), clock);

  ASSERT_TRUE(late.ok()) << late.error().ToString();
  EXPECT_EQ(late->cut, ChildEnd::Cut::kDeadline);
  EXPECT_EQ(late->output, "started\n");
  ASSERT_TRUE(loud.ok()) << loud.error().ToString();
  EXPECT_EQ(loud->cut, ChildEnd::Cut::kOutput);
}

TEST(ChildProcess, IsEndedWhenItIsToldToStop) {
  const RealClock clock;
  int asked = 0;

  const auto end = RunChild({.command = {"sleep", "60"}, .stop = [&asked] { return ++asked > 2; }},
                            clock.Now() + seconds(60), clock);

  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().reason(), "child_stopped");
  EXPECT_EQ(end.error().code(), Code::kCancelled);
}

}  // namespace
}  // namespace mezzo::runtime
