#include "mezzo/observe/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/observe/internal/log_line.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::observe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Line(LogFormat format, std::string_view message, LogFields fields = {}) {
  std::string line;
  internal::FormatLogLine(
      {.at = WallTime(milliseconds(1'700'000'000'123)), .message = message, .fields = fields}, format, line);
  return line;
}

TEST(FormatLogLine, WritesOneJsonObject) {
  EXPECT_EQ(
      Line(LogFormat::kJson, "model loaded",
           {{"model", "magika"},
            {"ms", 12},
            {"bytes", std::uint64_t{1} << 63},
            {"ratio", 0.5},
            {"ok", true},
            {"delta", -3},
            {"wait", Duration(milliseconds(1500))},
            {"tenant", TenantId("acme")}}),
      R"({"ts":"2023-11-14T22:13:20.123Z","level":"info","msg":"model loaded","model":"magika","ms":12,)"
      R"("bytes":9223372036854775808,"ratio":0.5,"ok":true,"delta":-3,"wait":1.5,"tenant":"acme"})"
      "\n");
}

TEST(FormatLogLine, WritesOneConsoleLine) {
  EXPECT_EQ(
      Line(LogFormat::kConsole, "model loaded", {{"model", "magika"}, {"note", "two words"}, {"none", ""}}),
      "2023-11-14T22:13:20.123Z info  model loaded model=magika note=\"two words\" none=\"\"\n");
}

TEST(FormatLogLine, EscapesHostileBytesInJson) {
  EXPECT_THAT(Line(LogFormat::kJson, "a\nb\"c\\d\x01\xFF\x7F"),
              HasSubstr(R"("msg":"a\nb\"c\\d\u0001\ufffd\u007f"})"));
}

TEST(FormatLogLine, EscapesWhatDrivesATerminal) {
  const std::string line = Line(LogFormat::kConsole, "a\x1b[31m\nb", {{"k", "x=\"\xC2\x9B\xFF"}});

  EXPECT_THAT(line, HasSubstr(R"(a\x1b[31m\x0ab k="x=\"\xc2\x9b\xff")"));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(FormatLogLine, KeepsUtf8) {
  EXPECT_THAT(Line(LogFormat::kJson, "größe 模型"), HasSubstr("größe 模型"));
  EXPECT_THAT(Line(LogFormat::kConsole, "größe 模型"), HasSubstr("größe 模型"));
}

TEST(FormatLogLine, NeverShowsASecret) {
  for (const LogFormat format : {LogFormat::kJson, LogFormat::kConsole}) {
    const std::string line = Line(format, "key", {{"api_key", Redacted("hunter2")}});
    EXPECT_THAT(line, HasSubstr("***"));
    EXPECT_THAT(line, Not(HasSubstr("hunter2")));
  }
}

TEST(FormatLogLine, RenamesKeysThatWouldClash) {
  EXPECT_THAT(Line(LogFormat::kJson, "a", {{"msg", "b"}}), HasSubstr(R"("msg":"a","msg_":"b")"));
}

TEST(FormatLogLine, WritesNumbersThatJsonLacksAsStrings) {
  EXPECT_THAT(Line(LogFormat::kJson, "a", {{"x", std::numeric_limits<double>::infinity()}}),
              HasSubstr(R"("x":"Infinity"})"));
}

TEST(FormatLogLine, CutsLongLinesAndSaysSo) {
  for (const LogFormat format : {LogFormat::kJson, LogFormat::kConsole}) {
    for (const std::size_t size : {8000UL, 8025UL, 8050UL, 8095UL, 8096UL, 8100UL, 8192UL, 100'000UL}) {
      const std::string text(size, 'x');
      const std::string in_message = Line(format, text, {{"k", 1}, {"text", text}});
      const std::string in_field = Line(format, "m", {{"text", text}, {"k", 1}});
      const std::string hostile = Line(format, std::string(size, '\x01'), {{"k", text}});
      for (const std::string& line : {in_message, in_field, hostile}) {
        EXPECT_LE(line.size(), Logger::kMaxLine);
        EXPECT_TRUE(line.ends_with(format == LogFormat::kJson ? "}\n" : "\n"));
        EXPECT_GT(line.size(), 7900U);
      }
      EXPECT_THAT(hostile, HasSubstr("truncated"));
    }
  }
}

TEST(FormatRfc3339, KnowsLeapYearsAndTheEpoch) {
  EXPECT_EQ(internal::FormatRfc3339(WallTime{}), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(internal::FormatRfc3339(WallTime(seconds(951'782'400))), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(internal::FormatRfc3339(WallTime(seconds(-1))), "1970-01-01T00:00:00.000Z");
}

class LoggerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::pipe2(pipe_.data(), O_CLOEXEC | O_NONBLOCK), 0);
    logger_ = std::make_unique<Logger>(Logger::Options{.level = LogLevel::kInfo,
                                                       .format = LogFormat::kJson,
                                                       .fd = pipe_[1],
                                                       .limit_burst = 2,
                                                       .limit_window = seconds(10)},
                                       clock_);
  }
  void TearDown() override {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }
  /// What was written since the last call.
  std::vector<std::string> Lines() {
    std::string text;
    std::array<char, 65536> buffer{};
    for (ssize_t n = 0; (n = ::read(pipe_[0], buffer.data(), buffer.size())) > 0;) {
      text.append(buffer.data(), static_cast<std::size_t>(n));
    }
    std::vector<std::string> lines;
    for (const std::string_view line : Split(text, '\n')) {
      if (!line.empty()) lines.emplace_back(line);
    }
    return lines;
  }

  std::array<int, 2> pipe_{};
  testing::ManualClock clock_;
  std::unique_ptr<Logger> logger_;
};

TEST_F(LoggerTest, WritesAtAndAboveItsLevel) {
  logger_->Debug("no");
  logger_->Info("yes", {{"n", 1}});
  logger_->set_level(LogLevel::kError);
  logger_->Warn("no");
  logger_->Error("bad");
  logger_->set_level(LogLevel::kOff);
  logger_->Error("no");

  EXPECT_THAT(Lines(),
              ::testing::ElementsAre(HasSubstr(R"("msg":"yes","n":1})"), HasSubstr(R"("level":"error")")));
}

TEST_F(LoggerTest, ChangesItsFormatAtRunTime) {
  logger_->set_format(LogFormat::kConsole);

  logger_->Info("hello");

  EXPECT_THAT(Lines(), ::testing::ElementsAre(HasSubstr("info  hello")));
}

TEST_F(LoggerTest, LimitsAKeyAndTellsHowManyLinesItSuppressed) {
  for (int i = 0; i < 5; ++i) logger_->Limited("bad_frame").Warn("bad frame");
  EXPECT_EQ(Lines().size(), 2U);
  EXPECT_EQ(logger_->suppressed_lines(), 3U);

  clock_.Advance(seconds(10));
  logger_->Limited("bad_frame").Warn("bad frame");
  logger_->Limited("bad_frame").Warn("bad frame");

  EXPECT_THAT(Lines(), ::testing::ElementsAre(HasSubstr("\"suppressed\":3"), Not(HasSubstr("suppressed"))));
}

TEST_F(LoggerTest, LimitsEachKeyAlone) {
  for (int i = 0; i < 3; ++i) logger_->Limited("one").Warn("one");

  logger_->Limited("two").Warn("two");

  EXPECT_THAT(Lines(), ::testing::ElementsAre(HasSubstr("one"), HasSubstr("one"), HasSubstr("two")));
}

TEST_F(LoggerTest, KeysBeyondTheBoundShareALimit) {
  for (std::size_t i = 0; i < Logger::kMaxKeys; ++i)
    logger_->Limited("key " + std::to_string(i)).Warn("filler");
  EXPECT_EQ(Lines().size(), Logger::kMaxKeys);

  for (int i = 0; i < 10; ++i) logger_->Limited("late " + std::to_string(i)).Warn("late");

  EXPECT_EQ(Lines().size(), 2U);
}

TEST_F(LoggerTest, ALineBelowTheLevelSpendsNoLimit) {
  for (int i = 0; i < 10; ++i) logger_->Limited("key").Debug("no");

  logger_->Limited("key").Warn("yes");

  EXPECT_EQ(Lines().size(), 1U);
  EXPECT_EQ(logger_->suppressed_lines(), 0U);
}

TEST_F(LoggerTest, CountsLinesItCouldNotWrite) {
  for (int i = 0; i < 10; ++i) logger_->Info(std::string(7000, 'x'));  // More than a pipe takes.
  EXPECT_GT(logger_->lost_lines(), 0U);
}

TEST_F(LoggerTest, LinesOfSeveralThreadsStayWhole) {
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 100; ++i) logger_->Info("hello", {{"i", i}});
    });
  }
  for (std::thread& thread : threads) thread.join();

  const auto lines = Lines();

  EXPECT_EQ(lines.size(), 400U);
  for (const std::string& line : lines) {
    EXPECT_TRUE(line.starts_with("{\"ts\"") && line.ends_with("}")) << line;
  }
}

TEST(ParseLogLevel, NamesTheChoices) {
  EXPECT_EQ(*ParseLogLevel("warn"), LogLevel::kWarn);
  const auto bad = ParseLogLevel("loud");
  ASSERT_FALSE(bad.ok());
  EXPECT_THAT(bad.error().message(), HasSubstr("debug, info, warn, error or off, not 'loud'"));
  EXPECT_EQ(*ParseLogFormat("console"), LogFormat::kConsole);
  EXPECT_FALSE(ParseLogFormat("xml").ok());
}

}  // namespace
}  // namespace mezzo::observe
