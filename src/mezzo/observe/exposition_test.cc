#include "mezzo/observe/exposition.h"

#include <atomic>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"

namespace mezzo::observe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A strict reader of OpenMetrics 1.0 (and, with its differences, of Prometheus text 0.0.4): refuses whatever
/// the format's grammar and rules refuse, as far as this library could ever write it.
class StrictReader {
 public:
  explicit StrictReader(bool open_metrics) : open_metrics_(open_metrics) {}

  /// Empty when the text is right, else the line and what is wrong with it.
  std::string Check(std::string_view text) {
    if (!text.ends_with('\n')) return "no line feed at the end";
    auto lines = Split(text.substr(0, text.size() - 1), '\n');
    if (open_metrics_) {
      if (lines.back() != "# EOF") return "no # EOF at the end";
      lines.pop_back();
    }
    for (const std::string_view line : lines) {
      if (std::string problem = Line(line); !problem.empty()) return std::string(line) + ": " + problem;
    }
    return EndFamily();
  }

  /// Value of a sample as written, labels included.
  std::map<std::string, double> samples;

 private:
  struct Label {
    std::string name;
    std::string value;
  };

  std::string Line(std::string_view line) {
    if (line.empty()) return "empty line";
    if (line.starts_with("# ")) return MetaLine(line.substr(2));
    return Sample(line);
  }

  std::string MetaLine(std::string_view line) {
    const auto words = Split(line, ' ');
    if (words.size() < 3) return "metadata with less than three words";
    if (words[0] == "TYPE") {
      if (std::string problem = EndFamily(); !problem.empty()) return problem;
      family_ = words[1];
      type_ = words[2];
      if (words.size() != 3 || !types_.contains(type_)) return "unknown type";
      if (!families_.insert(family_).second) return "family twice";
      if (open_metrics_ && type_ == "counter" && family_.ends_with("_total"))
        return "family name ends in _total";
      return {};
    }
    if (words[1] != family_) return "metadata of another family";
    if (words[0] == "UNIT") {
      if (!open_metrics_) return "UNIT in classic text";
      return family_.ends_with("_" + std::string(words[2])) ? "" : "unit is not the name's suffix";
    }
    if (words[0] != "HELP") return "unknown metadata";
    return Escapes(line, open_metrics_ ? "\\n\"" : "\\n") ? "" : "bad escape in HELP";
  }

  static bool Escapes(std::string_view text, std::string_view allowed) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\') continue;
      ++i;
      if (i == text.size() || allowed.find(text[i]) == std::string_view::npos) return false;
    }
    return true;
  }

  /// Reads {a="b",…} from the front of `text`.
  static std::optional<std::vector<Label>> Labels(std::string_view& text) {
    std::vector<Label> labels;
    text.remove_prefix(1);
    while (true) {
      const std::size_t equals = text.find("=\"");
      if (equals == 0 || equals == std::string_view::npos) return std::nullopt;
      Label label{.name = std::string(text.substr(0, equals)), .value = {}};
      for (const char c : label.name) {
        if (!(std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_')) return std::nullopt;
      }
      text.remove_prefix(equals + 2);
      std::size_t i = 0;
      for (; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\') {
          ++i;
          if (i == text.size() || std::string_view("\\n\"").find(text[i]) == std::string_view::npos)
            return std::nullopt;
        }
        label.value += text[i];
      }
      if (i + 1 >= text.size()) return std::nullopt;
      labels.push_back(std::move(label));
      const char next = text[i + 1];
      text.remove_prefix(i + 2);
      if (next == '}') return labels;
      if (next != ',') return std::nullopt;
    }
  }

  static std::optional<double> Number(std::string_view text) {
    if (text == "+Inf") return std::numeric_limits<double>::infinity();
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    const std::string copy(text);
    char* end = nullptr;
    const double value = std::strtod(copy.c_str(), &end);
    return !copy.empty() && end == copy.c_str() + copy.size() ? std::optional(value) : std::nullopt;
  }

  std::string Sample(std::string_view line) {
    const std::string_view name = line.substr(0, line.find_first_of("{ "));
    std::string_view rest = line.substr(name.size());
    std::vector<Label> labels;
    if (rest.starts_with('{')) {
      auto parsed = Labels(rest);
      if (!parsed) return "bad labels";
      labels = std::move(*parsed);
    }
    if (!rest.starts_with(' ')) return "no space before the value";
    rest.remove_prefix(1);
    const std::size_t exemplar = rest.find(" # ");
    if (exemplar != std::string_view::npos) {
      if (std::string problem = CheckExemplar(name, rest.substr(exemplar + 3)); !problem.empty())
        return problem;
      rest = rest.substr(0, exemplar);
    }
    const auto value = Number(rest);
    if (!value) return "bad value";
    if (!samples.emplace(line.substr(0, line.find("} ") + 1), *value).second && !labels.empty())
      return "sample twice";
    return CheckSuffix(name, labels, *value);
  }

  std::string CheckExemplar(std::string_view name, std::string_view text) const {
    if (!open_metrics_) return "exemplar in classic text";
    if (!name.ends_with("_bucket")) return "exemplar outside a bucket";
    const auto labels = Labels(text);
    if (!labels) return "bad exemplar labels";
    const auto words = Split(text.substr(1), ' ');
    if (words.size() != 2 || !Number(words[0]) || !Number(words[1])) return "bad exemplar";
    return {};
  }

  std::string CheckSuffix(std::string_view name, const std::vector<Label>& labels, double value) {
    if (!name.starts_with(family_)) return "sample of another family";
    const std::string_view suffix = name.substr(family_.size());
    if (type_ == "gauge") return suffix.empty() ? "" : "gauge with a suffix";
    if (type_ == "counter") {
      if (suffix != (open_metrics_ ? "_total" : "")) return "wrong suffix of a counter";
      return value >= 0 ? "" : "negative counter";
    }
    if (suffix == "_sum") return {};
    if (suffix == "_count") {
      return buckets_ended_ && value == last_bucket_ ? "" : "count differs from the last bucket";
    }
    if (suffix != "_bucket" || labels.empty() || labels.back().name != "le") return "bad histogram sample";
    return CheckBucket(labels.back().value, value);
  }

  std::string CheckBucket(const std::string& le, double value) {
    const auto bound = Number(le);
    if (!bound) return "bad le";
    if (open_metrics_ && le != "+Inf" && le.find_first_of(".e") == std::string::npos)
      return "le is not canonical";
    if (buckets_ended_) {
      last_bound_ = -1;
      last_bucket_ = 0;
    }
    if (*bound <= last_bound_) return "le does not grow";
    if (value < last_bucket_) return "buckets are not cumulative";
    last_bound_ = *bound;
    last_bucket_ = value;
    buckets_ended_ = le == "+Inf";
    return {};
  }

  std::string EndFamily() const { return buckets_ended_ ? "" : "histogram without +Inf"; }

  const bool open_metrics_;
  const std::set<std::string, std::less<>> types_ = {"counter", "gauge", "histogram"};
  std::set<std::string> families_;
  std::string family_;
  std::string type_;
  double last_bound_ = -1;
  double last_bucket_ = 0;
  bool buckets_ended_ = true;
};

std::string Problem(const Registry& registry, ExpositionFormat format) {
  return StrictReader(format == ExpositionFormat::kOpenMetrics).Check(Render(registry, format));
}

void Fill(Registry& registry) {
  registry.NewCounterFamily("mezzo_test_calls_total", "Calls with \"quotes\",\nline feeds and \\.", {"model"})
      .With({"a \"b\"\n\\c"})
      .Add(3);
  registry.NewGauge("mezzo_test_memory_bytes", "Memory.").Set(1.5);
  auto& waits = registry.NewHistogramFamily("mezzo_test_wait_seconds", "Waits.", {"stage"});
  waits.With({"run"}).Observe(std::chrono::milliseconds(3));
  waits.With({"queue"}).ObserveTraced(std::chrono::hours(1), "0af7651916cd43dd8448eb211c80319c",
                                      WallTime(std::chrono::milliseconds(1'700'000'000'123)));
  registry.NewSizeHistogram("mezzo_test_batch_rows", "Rows.").Observe(8);
}

TEST(Render, OpenMetricsPassesAStrictReader) {
  Registry registry;
  Fill(registry);

  EXPECT_EQ(Problem(registry, ExpositionFormat::kOpenMetrics), "");
}

TEST(Render, ClassicTextPassesAStrictReader) {
  Registry registry;
  Fill(registry);

  EXPECT_EQ(Problem(registry, ExpositionFormat::kPrometheusText), "");
}

TEST(StrictReader, RefusesWhatItMust) {
  EXPECT_NE(StrictReader(true).Check("# TYPE a gauge\na 1\n"), "");
  EXPECT_NE(StrictReader(true).Check("# TYPE a counter\na 1\n# EOF\n"), "");
  EXPECT_NE(StrictReader(true).Check(
                "# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 1\n# EOF\n"),
            "");
  EXPECT_NE(StrictReader(true).Check("# TYPE a gauge\na{b=\"c\\x\"} 1\n# EOF\n"), "");
  EXPECT_NE(StrictReader(false).Check("# TYPE a gauge\na{b=\"c\"} 1\na{b=\"c\"} 1\n"), "");
}

TEST(Render, WritesCountersOfOpenMetricsWithAndTheFamilyWithoutTotal) {
  Registry registry;
  registry.NewCounter("mezzo_test_read_bytes_total", "Read.").Add(5);

  EXPECT_THAT(Render(registry, ExpositionFormat::kOpenMetrics),
              HasSubstr("# TYPE mezzo_test_read_bytes counter\n# UNIT mezzo_test_read_bytes bytes\n"
                        "# HELP mezzo_test_read_bytes Read.\nmezzo_test_read_bytes_total 5\n"));
  EXPECT_THAT(
      Render(registry, ExpositionFormat::kPrometheusText),
      HasSubstr("# TYPE mezzo_test_read_bytes_total counter\n# HELP mezzo_test_read_bytes_total Read.\n"
                "mezzo_test_read_bytes_total 5\n"));
}

TEST(Render, WritesHistogramsInSecondsWithExemplars) {
  Registry registry;
  Fill(registry);

  const std::string text = Render(registry, ExpositionFormat::kOpenMetrics);

  EXPECT_THAT(text, HasSubstr("mezzo_test_wait_seconds_bucket{stage=\"run\",le=\"0.002\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("mezzo_test_wait_seconds_bucket{stage=\"run\",le=\"0.0035\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("mezzo_test_wait_seconds_bucket{stage=\"run\",le=\"600.0\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("mezzo_test_wait_seconds_sum{stage=\"run\"} 0.003\n"));
  EXPECT_THAT(text, HasSubstr("mezzo_test_wait_seconds_bucket{stage=\"queue\",le=\"+Inf\"} 1 # "
                              "{trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 3600 1700000000.123\n"));
  EXPECT_THAT(Render(registry, ExpositionFormat::kPrometheusText), Not(HasSubstr("trace_id")));
}

TEST(Render, EscapesLabelValues) {
  Registry registry;
  Fill(registry);

  EXPECT_THAT(Render(registry, ExpositionFormat::kOpenMetrics), HasSubstr(R"({model="a \"b\"\n\\c"} 3)"));
}

TEST(Render, IsTheSameWhateverTheOrderOfRegistration) {
  Registry one;
  one.NewGauge("mezzo_test_a", "A.");
  one.NewGaugeFamily("mezzo_test_b", "B.", {"x"}).With({"1"});
  one.NewGaugeFamily("mezzo_test_b", "B.", {"x"}).With({"2"});
  Registry two;
  two.NewGaugeFamily("mezzo_test_b", "B.", {"x"}).With({"2"});
  two.NewGaugeFamily("mezzo_test_b", "B.", {"x"}).With({"1"});
  two.NewGauge("mezzo_test_a", "A.");

  EXPECT_EQ(Render(one, ExpositionFormat::kOpenMetrics), Render(two, ExpositionFormat::kOpenMetrics));
}

TEST(Render, StaysConsistentAndMonotonicWhileThreadsCount) {
  Registry registry;
  Histogram& histogram = registry.NewHistogram("mezzo_test_wait_seconds", "Waits.");
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (std::int64_t ns = 1; !stop.load(); ns = (ns * 7 + 1) % 1'000'000'000)
        histogram.Observe(Duration(ns));
    });
  }

  double last = 0;
  for (int i = 0; i < 50; ++i) {
    StrictReader reader(true);
    EXPECT_EQ(reader.Check(Render(registry, ExpositionFormat::kOpenMetrics)), "");
    const double now = reader.samples["mezzo_test_wait_seconds_bucket{le=\"+Inf\"}"];
    EXPECT_GE(now, last);
    last = now;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(ChooseFormat, FollowsTheAcceptHeader) {
  const auto open = ExpositionFormat::kOpenMetrics;
  const auto classic = ExpositionFormat::kPrometheusText;
  const std::vector<std::pair<std::string_view, ExpositionFormat>> cases = {
      {"", classic},
      {"*/*", classic},
      {"text/html,application/xhtml+xml,*/*;q=0.8", classic},
      {"application/openmetrics-text", open},
      {"Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", open},
      {"application/openmetrics-text;version=\"1.0.0\"", open},
      {"application/openmetrics-text;version=2.0.0", classic},
      {"application/openmetrics-text;q=0", classic},
      {"application/openmetrics-text;q=bad", classic},
      {"application/openmetrics-text;q=0.3,text/plain;q=0.5", classic},
      {"application/openmetrics-text;q=0.5,text/plain;version=0.0.4;q=0.5", open},
      // What Prometheus 2.50 and 3.0 send.
      {"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
       "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
       open},
      {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
       "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
       "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
       open},
  };
  for (const auto& [accept, format] : cases) EXPECT_EQ(ChooseFormat(accept), format) << accept;
}

TEST(ContentType, NamesTheVersion) {
  EXPECT_EQ(ContentType(ExpositionFormat::kOpenMetrics),
            "application/openmetrics-text; version=1.0.0; charset=utf-8");
  EXPECT_EQ(ContentType(ExpositionFormat::kPrometheusText), "text/plain; version=0.0.4; charset=utf-8");
}

}  // namespace
}  // namespace mezzo::observe
