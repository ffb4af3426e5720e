#pragma once

#include <string>
#include <vector>

#include "mezzo/observe/instruments.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::observe {

/// One series of a metric as it is now.
struct SeriesValue {
  std::vector<std::string> labels;  ///< Values, in the order of the family's label names.
  double value = 0;                 ///< Of a counter or gauge.
  HistogramSnapshot histogram;      ///< Of a histogram.
};

/// Every series of a `Family` or `CallbackFamily`, sorted by labels: for what the server shows of itself.
/// Takes the family's lock while it reads, as a scrape does.
[[nodiscard]] std::vector<SeriesValue> ReadSeries(const internal::AnyFamily& family);

}  // namespace mezzo::observe
