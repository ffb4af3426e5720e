#include "mezzo/observe/process_metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/observe/exposition.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::observe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ReadProcessUsage, SeesAnotherOpenFile) {
  const ProcessUsage before = ReadProcessUsage();
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const ProcessUsage during = ReadProcessUsage();
  ::close(fd);

  ASSERT_TRUE(before.open_files && during.open_files);
  EXPECT_EQ(*during.open_files, *before.open_files + 1);
}

TEST(ReadProcessUsage, ReadsPlausibleNumbers) {
  const ProcessUsage usage = ReadProcessUsage();

  ASSERT_TRUE(usage.resident_bytes && usage.threads && usage.open_file_limit);
  EXPECT_GT(*usage.resident_bytes, 1'000'000U);
  EXPECT_GE(*usage.threads, 1U);
  EXPECT_LT(*usage.threads, 1000U);
  EXPECT_GT(*usage.open_file_limit, 2U);
  EXPECT_GT(usage.cpu.count(), 0);
}

TEST(ProcessMetrics, AreShownWhileTheCollectorLives) {
  Registry registry;
  const testing::ManualClock clock;
  {
    const ProcessMetrics process(registry, clock,
                                 {.version = "0.1.0", .commit = "abc", .compiler = "clang 19"});
    const std::string text = Render(registry, ExpositionFormat::kOpenMetrics);
    EXPECT_THAT(text, HasSubstr("# TYPE mezzo_process_cpu_seconds counter\n"));
    EXPECT_THAT(text, HasSubstr("mezzo_process_open_fds "));
    EXPECT_THAT(text,
                HasSubstr("mezzo_build_info{version=\"0.1.0\",commit=\"abc\",compiler=\"clang 19\"} 1\n"));
    EXPECT_THAT(text, HasSubstr("mezzo_process_start_time_seconds 1700000001\n"));
    EXPECT_THAT(text, Not(HasSubstr("NaN")));
  }

  EXPECT_THAT(Render(registry, ExpositionFormat::kOpenMetrics), Not(HasSubstr("mezzo_process_open_fds ")));
}

}  // namespace
}  // namespace mezzo::observe
