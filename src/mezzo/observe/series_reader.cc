#include "mezzo/observe/series_reader.h"

#include <utility>

#include "mezzo/observe/internal/writer.h"

namespace mezzo::observe {
namespace {

/// Keeps samples instead of writing them.
class Collector final : public internal::ExpositionWriter {
 public:
  Collector() : ExpositionWriter(ExpositionFormat::kPrometheusText) {}

  void BeginFamily(const MetricDescription& /*description*/) override {}
  void Value(const internal::LabelSet& values, std::uint64_t value) override {
    Value(values, static_cast<double>(value));
  }
  void Value(const internal::LabelSet& values, double value) override {
    series_.push_back({.labels = values, .value = value});
  }
  void Histogram(const internal::LabelSet& values, const HistogramSnapshot& snapshot,
                 std::span<const double> /*bounds*/) override {
    series_.push_back({.labels = values, .histogram = snapshot});
  }
  std::vector<SeriesValue> Take() { return std::move(series_); }

 private:
  std::vector<SeriesValue> series_;
};

}  // namespace

std::vector<SeriesValue> ReadSeries(const internal::AnyFamily& family) {
  Collector collector;
  family.Write(collector);
  return collector.Take();
}

}  // namespace mezzo::observe
