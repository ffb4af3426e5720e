#include "mezzo/app/cli/metrics_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

std::optional<double> ParseValue(std::string_view text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  if (text == "-Inf") return -std::numeric_limits<double>::infinity();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Reads `name="value"` pairs up to the closing brace, which it consumes with everything before it.
template <typename Labels>
bool ParseLabels(std::string_view& rest, Labels& labels) {
  while (!rest.empty() && rest.front() != '}') {
    const std::size_t equals = rest.find("=\"");
    if (equals == std::string_view::npos) return false;
    std::string name(Trim(rest.substr(0, equals)));
    rest.remove_prefix(equals + 2);
    std::string value;
    while (!rest.empty() && rest.front() != '"') {
      char c = rest.front();
      rest.remove_prefix(1);
      if (c == '\\' && !rest.empty()) {
        c = rest.front() == 'n' ? '\n' : rest.front();
        rest.remove_prefix(1);
      }
      value += c;
    }
    if (rest.empty()) return false;
    rest.remove_prefix(1);
    labels.emplace(std::move(name), std::move(value));
    if (rest.starts_with(',')) rest.remove_prefix(1);
  }
  if (rest.empty()) return false;
  rest.remove_prefix(1);
  return true;
}

}  // namespace

Result<MetricsText> MetricsText::Parse(std::string_view text) {
  MetricsText metrics;
  std::size_t number = 0;
  for (std::string_view line : Split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const std::size_t end = line.find_first_of("{ ");
    Sample sample;
    std::string_view rest = end == std::string_view::npos ? std::string_view() : line.substr(end);
    bool good = !rest.empty() && end > 0;
    if (good && rest.front() == '{') {
      rest.remove_prefix(1);
      good = ParseLabels(rest, sample.labels);
    }
    rest = Trim(rest);
    const auto value = ParseValue(rest.substr(0, rest.find(' ')));
    if (!good || !value) {
      return Internal("bad_metrics", "line " + std::to_string(number) +
                                         " of the metrics is no sample: " + Printable(line, 80));
    }
    sample.value = *value;
    metrics.samples_[std::string(line.substr(0, end))].push_back(std::move(sample));
  }
  return metrics;
}

const std::vector<MetricsText::Sample>& MetricsText::Of(std::string_view name) const {
  static const std::vector<Sample> none;
  const auto found = samples_.find(name);
  return found == samples_.end() ? none : found->second;
}

bool MetricsText::Matches(const Sample& sample, const Labels& labels) {
  return std::all_of(labels.begin(), labels.end(), [&sample](const auto& label) {
    const auto found = sample.labels.find(label.first);
    return found != sample.labels.end() && found->second == label.second;
  });
}

bool MetricsText::Has(std::string_view name) const { return samples_.find(name) != samples_.end(); }

double MetricsText::Sum(std::string_view name, const Labels& labels) const {
  double sum = 0;
  for (const Sample& sample : Of(name)) {
    if (Matches(sample, labels) && std::isfinite(sample.value)) sum += sample.value;
  }
  return sum;
}

std::set<std::string> MetricsText::Values(std::string_view name, std::string_view label,
                                          const Labels& labels) const {
  std::set<std::string> values;
  for (const Sample& sample : Of(name)) {
    const auto found = sample.labels.find(label);
    if (found != sample.labels.end() && Matches(sample, labels)) values.insert(found->second);
  }
  return values;
}

std::map<double, double> MetricsText::Buckets(std::string_view name, const Labels& labels) const {
  std::map<double, double> buckets;
  for (const Sample& sample : Of(std::string(name) + "_bucket")) {
    const auto bound = sample.labels.find("le");
    if (bound == sample.labels.end() || !Matches(sample, labels)) continue;
    if (const auto upper = ParseValue(bound->second)) buckets[*upper] += sample.value;
  }
  return buckets;
}

double QuantileBetween(const std::map<double, double>& before, const std::map<double, double>& after,
                       double q) {
  const auto added = [&before](const auto& bucket) {
    const auto old = before.find(bucket.first);
    return bucket.second - (old == before.end() ? 0.0 : old->second);
  };
  if (after.empty()) return -1;
  const double total = added(*after.rbegin());
  if (!(total > 0)) return -1;
  double lower_bound = 0;
  double lower_count = 0;
  for (const auto& bucket : after) {
    const double count = added(bucket);
    if (count >= q * total && count > lower_count) {
      if (std::isinf(bucket.first)) return lower_bound;
      return lower_bound + (bucket.first - lower_bound) * (q * total - lower_count) / (count - lower_count);
    }
    lower_bound = bucket.first;
    lower_count = count;
  }
  return lower_bound;
}

}  // namespace mezzo::app::cli
