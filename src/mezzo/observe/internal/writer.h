#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "mezzo/observe/exposition.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::observe::internal {

/// Writes one exposition, family by family. ReadSeries() (series_reader.h) takes the samples elsewhere
/// instead.
class ExpositionWriter {
 public:
  explicit ExpositionWriter(ExpositionFormat format) : format_(format) {}
  virtual ~ExpositionWriter() = default;
  ExpositionWriter(const ExpositionWriter&) = delete;
  ExpositionWriter& operator=(const ExpositionWriter&) = delete;

  virtual void BeginFamily(const MetricDescription& description);
  /// Samples of the family begun last.
  virtual void Value(const LabelSet& values, std::uint64_t value);
  virtual void Value(const LabelSet& values, double value);
  virtual void Histogram(const LabelSet& values, const HistogramSnapshot& snapshot,
                         std::span<const double> bounds);
  /// The whole text.
  std::string Finish();

 private:
  [[nodiscard]] bool open_metrics() const { return format_ == ExpositionFormat::kOpenMetrics; }
  void Name(std::string_view suffix, const LabelSet& values, std::string_view le);
  void Escaped(std::string_view text, bool quotes);
  void Number(double value);
  void Bucket(const LabelSet& values, std::string_view le, std::uint64_t count, const Exemplar* exemplar);

  const ExpositionFormat format_;
  const MetricDescription* family_ = nullptr;
  std::string out_;
};

}  // namespace mezzo::observe::internal
