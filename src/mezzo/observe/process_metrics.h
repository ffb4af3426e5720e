#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::observe {

/// What Linux says about this process. Nothing where /proc can't be read.
struct ProcessUsage {
  std::optional<std::uint64_t> resident_bytes;
  std::optional<std::uint64_t> open_files;
  std::optional<std::uint64_t> open_file_limit;
  std::optional<std::uint64_t> threads;
  Duration cpu{};  ///< User and system time so far.
};
ProcessUsage ReadProcessUsage();

/// What this binary is; the label values of mezzo_build_info.
struct BuildDescription {
  std::string version;
  std::string commit;
  std::string compiler;
};

/// Registers the process's own metrics (mezzo_process_*, mezzo_build_info), read when a scrape asks, for as
/// long as this object lives. A value that can't be read is shown as NaN.
class ProcessMetrics {
 public:
  /// The registry must outlive this.
  ProcessMetrics(Registry& registry, const Clock& clock, const BuildDescription& build);

 private:
  std::vector<Callback> callbacks_;
};

}  // namespace mezzo::observe
