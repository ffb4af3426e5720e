#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// The samples of one scrape of /metrics. A sample that is absent counts as zero.
class MetricsText {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  MetricsText() = default;
  /// Prometheus or OpenMetrics text. Fails with "bad_metrics" naming the line. Exemplars and timestamps are
  /// ignored.
  static Result<MetricsText> Parse(std::string_view text);

  [[nodiscard]] bool Has(std::string_view name) const;
  /// The sum of the samples of this name that have all of `labels`.
  [[nodiscard]] double Sum(std::string_view name, const Labels& labels = {}) const;
  /// The distinct values of a label among the samples of this name that have all of `labels`.
  [[nodiscard]] std::set<std::string> Values(std::string_view name, std::string_view label,
                                             const Labels& labels = {}) const;
  /// Cumulative counts by upper bound of a histogram (`name` without "_bucket"), summed over the samples that
  /// have all of `labels`; infinity is the last bound.
  [[nodiscard]] std::map<double, double> Buckets(std::string_view name, const Labels& labels) const;

 private:
  struct Sample {
    std::map<std::string, std::string, std::less<>> labels;
    double value = 0;
  };
  [[nodiscard]] const std::vector<Sample>& Of(std::string_view name) const;
  static bool Matches(const Sample& sample, const Labels& labels);

  std::map<std::string, std::vector<Sample>, std::less<>> samples_;
};

/// A quantile of what was added to a histogram between two scrapes, interpolated within its bucket; negative
/// when nothing was added.
double QuantileBetween(const std::map<double, double>& before, const std::map<double, double>& after,
                       double q);

}  // namespace mezzo::app::cli
