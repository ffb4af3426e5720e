#include "mezzo/observe/exposition.h"

#include <cmath>
#include <iterator>
#include <optional>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/observe/internal/writer.h"

namespace mezzo::observe {
namespace {

/// RFC 9110 section 12.4.2; a malformed quality counts as 0.
double ParseQuality(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  double value = text[0] - '0';
  if (text.size() > 1 && text[1] != '.') return 0;
  double digit = 0.1;
  for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (c < '0' || c > '9') return 0;
    value += digit * (c - '0');
    digit /= 10;
  }
  return value <= 1 ? value : 0;
}

struct MediaRange {
  std::string_view type;
  std::string_view version;
  double quality = 1;
};

MediaRange ParseMediaRange(std::string_view text) {
  MediaRange range;
  bool first = true;
  for (const std::string_view part : Split(text, ';')) {
    const std::string_view item = Trim(part);
    if (first) {
      range.type = item;
    } else if (item.size() > 2 && EqualsIgnoreCase(item.substr(0, 2), "q=")) {
      range.quality = ParseQuality(item.substr(2));
    } else if (item.size() > 8 && EqualsIgnoreCase(item.substr(0, 8), "version=")) {
      range.version = item.substr(8);
      if (range.version.size() >= 2 && range.version.front() == '"' && range.version.back() == '"') {
        range.version = range.version.substr(1, range.version.size() - 2);
      }
    }
    first = false;
  }
  return range;
}

std::string_view TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kLatencyHistogram:
    case MetricType::kSizeHistogram:
      return "histogram";
  }
  return "unknown";
}

std::string_view UnitOf(std::string_view name) {
  for (const std::string_view unit : {"seconds", "bytes", "ratio"}) {
    if (name.ends_with(unit) && name.size() > unit.size() && name[name.size() - unit.size() - 1] == '_')
      return unit;
  }
  return {};
}

}  // namespace

ExpositionFormat ChooseFormat(std::string_view accept) {
  double open_metrics = 0;
  std::optional<double> plain;
  for (const std::string_view part : Split(accept, ',')) {
    const MediaRange range = ParseMediaRange(part);
    if (EqualsIgnoreCase(range.type, "application/openmetrics-text")) {
      const bool known = range.version.empty() || range.version == "1.0.0" || range.version == "0.0.1";
      if (known) open_metrics = std::max(open_metrics, range.quality);
    } else if (EqualsIgnoreCase(range.type, "text/plain") &&
               (range.version.empty() || range.version == "0.0.4")) {
      plain = std::max(plain.value_or(0), range.quality);
    }
  }
  const bool preferred = open_metrics > 0 && open_metrics >= plain.value_or(0);
  return preferred ? ExpositionFormat::kOpenMetrics : ExpositionFormat::kPrometheusText;
}

std::string_view ContentType(ExpositionFormat format) {
  return format == ExpositionFormat::kOpenMetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

std::string Render(const Registry& registry, ExpositionFormat format) {
  internal::ExpositionWriter writer(format);
  registry.Write(writer);
  return writer.Finish();
}

namespace internal {

void ExpositionWriter::BeginFamily(const MetricDescription& description) {
  family_ = &description;
  std::string_view name = description.name;
  // In OpenMetrics a counter's family name has no suffix; its sample has.
  if (open_metrics() && description.type == MetricType::kCounter)
    name.remove_suffix(std::string_view("_total").size());
  fmt::format_to(std::back_inserter(out_), "# TYPE {} {}\n", name, TypeName(description.type));
  if (const std::string_view unit = UnitOf(name); open_metrics() && !unit.empty()) {
    fmt::format_to(std::back_inserter(out_), "# UNIT {} {}\n", name, unit);
  }
  fmt::format_to(std::back_inserter(out_), "# HELP {} ", name);
  Escaped(description.help, open_metrics());
  out_ += '\n';
}

void ExpositionWriter::Value(const LabelSet& values, std::uint64_t value) {
  Name("", values, {});
  fmt::format_to(std::back_inserter(out_), " {}\n", value);
}

void ExpositionWriter::Value(const LabelSet& values, double value) {
  Name("", values, {});
  out_ += ' ';
  Number(value);
  out_ += '\n';
}

void ExpositionWriter::Histogram(const LabelSet& values, const HistogramSnapshot& snapshot,
                                 std::span<const double> bounds) {
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < snapshot.buckets.size(); ++i) {
    cumulative += snapshot.buckets[i];
    const Exemplar* exemplar = nullptr;
    if (i < snapshot.exemplars.size()) {
      if (const std::optional<Exemplar>& kept = snapshot.exemplars[i]; kept.has_value())
        exemplar = &kept.value();
    }
    std::string le = "+Inf";
    if (i < bounds.size()) {
      le = fmt::format("{}", bounds[i]);
      // The canonical form of OpenMetrics: 1.0, not 1.
      if (open_metrics() && le.find_first_of(".e") == std::string::npos) le += ".0";
    }
    Bucket(values, le, cumulative, exemplar);
  }
  Name("_sum", values, {});
  out_ += ' ';
  Number(snapshot.sum);
  out_ += '\n';
  Name("_count", values, {});
  fmt::format_to(std::back_inserter(out_), " {}\n", snapshot.count);
}

void ExpositionWriter::Bucket(const LabelSet& values, std::string_view le, std::uint64_t count,
                              const Exemplar* exemplar) {
  Name("_bucket", values, le);
  fmt::format_to(std::back_inserter(out_), " {}", count);
  if (open_metrics() && exemplar != nullptr) {
    out_ += " # {trace_id=\"";
    Escaped(exemplar->trace_id, true);
    out_ += "\"} ";
    Number(exemplar->value);
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(exemplar->at.time_since_epoch()).count();
    fmt::format_to(std::back_inserter(out_), " {}.{:03}", ms / 1000, ms % 1000);
  }
  out_ += '\n';
}

std::string ExpositionWriter::Finish() {
  if (open_metrics()) out_ += "# EOF\n";
  return std::move(out_);
}

void ExpositionWriter::Name(std::string_view suffix, const LabelSet& values, std::string_view le) {
  out_.append(family_->name).append(suffix);
  if (values.empty() && le.empty()) return;
  char before = '{';
  for (std::size_t i = 0; i < values.size(); ++i) {
    out_ += before;
    out_.append(family_->labels[i]).append("=\"");
    Escaped(values[i], true);
    out_ += '"';
    before = ',';
  }
  if (!le.empty()) {
    out_ += before;
    out_.append("le=\"").append(le) += '"';
  }
  out_ += '}';
}

void ExpositionWriter::Escaped(std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\n') {
      out_ += "\\n";
    } else if (c == '\\' || (quotes && c == '"')) {
      out_ += '\\';
      out_ += c;
    } else {
      out_ += c;
    }
  }
}

void ExpositionWriter::Number(double value) {
  if (std::isnan(value)) {
    out_ += "NaN";
  } else if (std::isinf(value)) {
    out_ += value > 0 ? "+Inf" : "-Inf";
  } else {
    fmt::format_to(std::back_inserter(out_), "{}", value);
  }
}

}  // namespace internal
}  // namespace mezzo::observe
