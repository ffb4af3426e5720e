#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace mezzo::jobs::internal {

/// Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996) over the tenants of a lane, in device seconds:
/// a job's start tag is the later of the lane's clock and the tenant's last finish tag; its finish tag is
/// cost / weight later. Jobs go by start tag. The clock is the tag of what started last, so a tenant that
/// comes back after a pause starts level with the others and has banked nothing. Pure; not thread-safe.
///
/// The database keeps both (table job_lanes, the clock under the empty tenant name) and loads them here for
/// one transaction.
class Lanes {
 public:
  using Key = std::pair<std::int64_t, std::string>;  ///< Lane, tenant; "" is the lane's clock.
  /// What a job costs at least, so that jobs without a cost take turns too.
  static constexpr double kLeastCost = 1e-6;

  void Load(const Key& key, double tag) { tags_[key] = tag; }

  /// The start tag of the tenant's next job.
  double Add(std::int64_t lane, const std::string& tenant, double cost, double weight) {
    const double clock = Tag({lane, ""});
    double& finish = tags_[{lane, tenant}];
    const double start = std::max(clock, finish);
    finish = start + std::max(cost, kLeastCost) / std::max(weight, kLeastWeight);
    return start;
  }

  /// All tags, for the database.
  [[nodiscard]] const std::map<Key, double>& tags() const { return tags_; }

 private:
  static constexpr double kLeastWeight = 1e-3;

  [[nodiscard]] double Tag(const Key& key) const {
    const auto found = tags_.find(key);
    return found == tags_.end() ? 0 : found->second;
  }

  std::map<Key, double> tags_;
};

}  // namespace mezzo::jobs::internal
