#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/data_watch.h"

namespace mezzo::lifecycle {

/// Data that pipelines may watch. Thread-safe; blocks.
class Datasets {
 public:
  virtual ~Datasets() = default;
  /// What lies below `prefix` of a dataset; nothing is there before it is made. Fails with
  /// kFailedPrecondition "pipeline_dataset" (not a dataset of this host's configuration, or no prefix),
  /// kResourceExhausted "pipeline_dataset_limit" (too many files, too deep), kUnavailable
  /// "pipeline_dataset_unreadable", kDeadlineExceeded "pipeline_dataset_slow".
  virtual Result<DataSight> Look(const std::string& dataset, const std::string& prefix,
                                 TimePoint deadline) = 0;
};

/// Whether a pipeline may name it: empty (all of the dataset), or up to 8 names with '/' between them of
/// letters, digits and "._=+-", not beginning with '.', 200 bytes together; one '/' may stand at the end.
bool IsDatasetPrefix(std::string_view text);

/// A folder that the operator lets pipelines watch.
struct DatasetRule {
  std::string folder;  ///< Absolute. Shared by all hosts.
  std::size_t max_files = 20'000;
};

/// Folders of this host. Nothing is opened that is not below a rule's folder: names of the prefix are opened
/// one by one and never as links, links below are left out, as is what begins with '.'. Of files, only names,
/// sizes and times are read.
class FolderDatasets final : public Datasets {
 public:
  static constexpr std::size_t kMaxDepth = 16;
  FolderDatasets(std::map<std::string, DatasetRule> rules, const Clock& clock)
      : rules_(std::move(rules)), clock_(clock) {}
  Result<DataSight> Look(const std::string& dataset, const std::string& prefix, TimePoint deadline) override;

 private:
  const std::map<std::string, DatasetRule> rules_;
  const Clock& clock_;
};

}  // namespace mezzo::lifecycle
