#include "mezzo/observe/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <memory>
#include <string_view>

#include "mezzo/base/strings.h"

namespace mezzo::observe {
namespace {

/// The start of a small file under /proc; empty when it can't be read.
std::string ReadStart(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::array<char, 4096> buffer{};
  const ssize_t size = ::read(fd, buffer.data(), buffer.size());
  ::close(fd);
  return size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size)) : std::string();
}

/// Number `index` of the space-separated words after the process's name, which may itself hold spaces.
std::optional<std::uint64_t> StatWord(std::string_view stat, std::size_t index) {
  const std::size_t after_name = stat.rfind(')');
  if (after_name == std::string_view::npos || after_name + 2 >= stat.size()) return std::nullopt;
  const auto words = Split(stat.substr(after_name + 2), ' ');
  return index < words.size() ? ParseUint(words[index]) : std::nullopt;
}

std::optional<std::uint64_t> CountOpenFiles() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), &::closedir);
  if (folder == nullptr) return std::nullopt;
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(folder.get())) count += entry->d_name[0] != '.' ? 1 : 0;
  return count - 1;  // Without the one that reads this folder.
}

Duration ReadCpu() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return {};
  const auto of = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

std::optional<std::uint64_t> ReadResident() {
  const std::string statm = ReadStart("/proc/self/statm");
  const auto words = Split(statm, ' ');
  const auto pages = words.size() > 1 ? ParseUint(words[1]) : std::nullopt;
  if (!pages) return std::nullopt;
  return *pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::optional<std::uint64_t> ReadThreads() {
  constexpr std::size_t kThreadsWord = 17;  // proc(5): field 20, two of which precede the words counted here.
  return StatWord(ReadStart("/proc/self/stat"), kThreadsWord);
}

std::optional<std::uint64_t> ReadOpenFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  return limit.rlim_cur;
}

double OrNan(const std::optional<std::uint64_t>& value) {
  return value ? static_cast<double>(*value) : std::nan("");
}

}  // namespace

ProcessUsage ReadProcessUsage() {
  return {.resident_bytes = ReadResident(),
          .open_files = CountOpenFiles(),
          .open_file_limit = ReadOpenFileLimit(),
          .threads = ReadThreads(),
          .cpu = ReadCpu()};
}

ProcessMetrics::ProcessMetrics(Registry& registry, const Clock& clock, const BuildDescription& build) {
  callbacks_.push_back(registry.NewCallbackGauge("mezzo_process_resident_memory_bytes", "Resident memory.",
                                                 [] { return OrNan(ReadResident()); }));
  callbacks_.push_back(registry.NewCallbackGauge("mezzo_process_open_fds", "Open file descriptors.",
                                                 [] { return OrNan(CountOpenFiles()); }));
  callbacks_.push_back(registry.NewCallbackGauge("mezzo_process_max_fds", "Most file descriptors allowed.",
                                                 [] { return OrNan(ReadOpenFileLimit()); }));
  callbacks_.push_back(
      registry.NewCallbackGauge("mezzo_process_threads", "Threads.", [] { return OrNan(ReadThreads()); }));
  callbacks_.push_back(registry.NewCallbackCounter(
      "mezzo_process_cpu_seconds_total", "User and system CPU time.", [] { return Seconds(ReadCpu()); }));
  registry.NewGauge("mezzo_process_start_time_seconds", "Start of the process since the Unix epoch.")
      .Set(Seconds(clock.WallNow().time_since_epoch()));
  registry
      .NewGauge("mezzo_build_info", "Always 1; the labels say what is running.",
                {{"version", build.version}, {"commit", build.commit}, {"compiler", build.compiler}})
      .Set(1);
}

}  // namespace mezzo::observe
