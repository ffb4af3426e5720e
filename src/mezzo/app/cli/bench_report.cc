#include "mezzo/app/cli/bench_report.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/internal/text_table.h"

namespace mezzo::app::cli {
namespace {

std::string Count(std::uint64_t count) { return std::to_string(count); }

/// Three significant digits, plain.
std::string Rate(double value) {
  if (value >= 100) return fmt::format("{:.0f}", value);
  return value >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

std::string CountTable(const std::vector<FlowReport>& lines) {
  TextTable table({"requests", "intended", "ok", "late", "refused", "failed", "dropped", "offered/s",
                   "answers/s", "goodput/s", "batch"});
  for (const FlowReport& flow : lines) {
    const FlowTally& tally = flow.tally;
    table.Add({flow.name, Count(tally.intended), Count(tally.ok), Count(tally.late), Count(tally.refused),
               Count(tally.failed), Count(tally.dropped), Rate(flow.PerSecond(tally.intended)),
               Rate(flow.PerSecond(tally.answers_in_window)), Rate(flow.PerSecond(tally.good_in_window)),
               flow.server.has_value() ? Rate(flow.server->mean_batch()) : "-"});
  }
  return table.ToString();
}

std::vector<std::string> LatencyRow(const std::string& name, const LatencyHistogram& latency) {
  std::vector<std::string> row{name};
  if (latency.count() == 0) {
    row.insert(row.end(), 7, "-");
    return row;
  }
  row.push_back(ShortDuration(latency.Mean()));
  for (const double q : {0.5, 0.9, 0.95, 0.99, 0.999, 1.0}) row.push_back(ShortDuration(latency.Quantile(q)));
  return row;
}

std::string LatencyTable(const std::vector<FlowReport>& lines) {
  TextTable table({"latency", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"});
  for (const FlowReport& flow : lines) {
    table.Add(LatencyRow(flow.name, flow.tally.latency));
    if (flow.tally.refused > 0) table.Add(LatencyRow("  refusals", flow.tally.refusal_latency));
    const bool waits = flow.tally.service.Quantile(0.99) * 5 < flow.tally.latency.Quantile(0.99) * 4;
    if (waits) table.Add(LatencyRow("  from sending", flow.tally.service));
  }
  return table.ToString();
}

std::string Reasons(const std::vector<FlowReport>& flows) {
  std::string out;
  for (const FlowReport& flow : flows) {
    for (const auto& [reason, count] : flow.tally.refusals) {
      out += fmt::format("  {}: {} refused: {}\n", flow.name, count, reason);
    }
    for (const auto& [reason, count] : flow.tally.failures) {
      out += fmt::format("  {}: {} failed: {}\n", flow.name, count, reason);
    }
  }
  return out.empty() ? out : "reasons\n" + out;
}

std::string Histogram(const LatencyHistogram& latency) {
  if (latency.count() == 0) return {};
  // Four bars for each doubling, from the first to the last recorded value.
  const auto step = [](Duration value) {
    return static_cast<int>(std::floor(4 * std::log2(std::max(1.0, static_cast<double>(value.count())))));
  };
  const int first = step(latency.min());
  int width = 1;
  while ((step(latency.max()) - first) / width > 20) ++width;
  std::vector<std::uint64_t> bars(static_cast<std::size_t>((step(latency.max()) - first) / width) + 1);
  for (const auto& bucket : latency.NonEmpty()) {
    const int at = (step(bucket.lower + (bucket.upper - bucket.lower) / 2) - first) / width;
    bars[static_cast<std::size_t>(std::clamp(at, 0, static_cast<int>(bars.size()) - 1))] += bucket.count;
  }
  constexpr double kWidth = 50;
  const auto most = static_cast<double>(*std::max_element(bars.begin(), bars.end()));
  std::string out = "latency of all successes\n";
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const double from = std::exp2((first + static_cast<int>(i) * width) / 4.0);
    const auto length = static_cast<std::size_t>(std::ceil(kWidth * static_cast<double>(bars[i]) / most));
    out += fmt::format("  {:>7} |{:<50} {}\n", ShortDuration(Duration(std::llround(from))),
                       std::string(length, '#'), bars[i]);
  }
  return out;
}

std::string Remarks(const BenchReport& report) {
  std::string out;
  const auto share = [](std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  for (const FlowReport& flow : report.flows) {
    const FlowTally& tally = flow.tally;
    if (tally.dropped > 0) {
      out += fmt::format("  {}: {} requests were never sent, as {} were outstanding (max-outstanding)\n",
                         flow.name, tally.dropped, flow.spec.max_outstanding);
    }
    if (share(tally.waited, tally.intended) > 0.001) {
      out += fmt::format(
          "  {}: {} requests were sent over 1 ms late (p99 {}): too few connections, or this client was too "
          "slow\n",
          flow.name, tally.waited, ShortDuration(tally.send_lag.Quantile(0.99)));
    }
  }
  if (report.interrupted) out += "  interrupted: the figures cover the time until then\n";
  return out.empty() ? out : "remarks\n" + out;
}

void AppendText(std::string& out, std::string_view text) {
  using Json = nlohmann::json;
  out += Json(text).dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

void AppendKinds(std::string& out, const std::map<std::string, std::uint64_t>& kinds) {
  out += '{';
  for (const auto& [kind, count] : kinds) {
    if (out.back() != '{') out += ',';
    AppendText(out, kind);
    out += ":" + Count(count);
  }
  out += '}';
}

void AppendHistogram(std::string& out, std::string_view name, const LatencyHistogram& histogram) {
  out += fmt::format(R"(,"{}":{{"count":{},"mean":{},"min":{})", name, histogram.count(),
                     Seconds(histogram.Mean()), Seconds(histogram.min()));
  constexpr std::array<std::pair<std::string_view, double>, 7> kQuantiles{{{"p50", 0.5},
                                                                           {"p90", 0.9},
                                                                           {"p95", 0.95},
                                                                           {"p99", 0.99},
                                                                           {"p999", 0.999},
                                                                           {"p9999", 0.9999},
                                                                           {"max", 1.0}}};
  for (const auto& [label, q] : kQuantiles)
    out += fmt::format(R"(,"{}":{})", label, Seconds(histogram.Quantile(q)));
  out += R"(,"buckets_ns":[)";
  for (const auto& bucket : histogram.NonEmpty()) {
    if (out.back() != '[') out += ',';
    out += fmt::format("[{},{},{}]", bucket.lower.count(), bucket.upper.count(), bucket.count);
  }
  out += "]}";
}

void AppendFigures(std::string& out, const FlowReport& flow) {
  const FlowTally& tally = flow.tally;
  out += fmt::format(
      R"("window_s":{},"intended":{},"ok":{},"late":{},"refused":{},"failed":{},"dropped":{},"waited":{},)"
      R"("offered_per_s":{},"throughput_per_s":{},"goodput_per_s":{},"sent_bytes":{},"received_bytes":{})",
      Seconds(flow.window), tally.intended, tally.ok, tally.late, tally.refused, tally.failed, tally.dropped,
      tally.waited, flow.PerSecond(tally.intended), flow.PerSecond(tally.answers_in_window),
      flow.PerSecond(tally.good_in_window), tally.sent_bytes, tally.received_bytes);
  out += R"(,"refusals":)";
  AppendKinds(out, tally.refusals);
  out += R"(,"failures":)";
  AppendKinds(out, tally.failures);
  AppendHistogram(out, "latency_s", tally.latency);
  AppendHistogram(out, "service_s", tally.service);
  AppendHistogram(out, "refusal_latency_s", tally.refusal_latency);
  AppendHistogram(out, "send_lag_s", tally.send_lag);
}

void AppendFlow(std::string& out, const FlowReport& flow) {
  const FlowSpec& spec = flow.spec;
  out += R"({"name":)";
  AppendText(out, flow.name);
  for (const auto& [key, value] : {std::pair("model", &spec.model), std::pair("version", &spec.version),
                                   std::pair("tenant", &spec.tenant), std::pair("path", &spec.path)}) {
    out += fmt::format(R"(,"{}":)", key);
    AppendText(out, *value);
  }
  out += fmt::format(
      R"(,"protocol":"{}","loop":"{}","rate":{},"concurrency":{},"priority":{},"deadline_s":{},)",
      ProtocolName(spec.protocol), spec.concurrency > 0 ? "closed" : "open", spec.rate, spec.concurrency,
      spec.priority, spec.deadline.has_value() ? fmt::format("{}", Seconds(*spec.deadline)) : "null");
  AppendFigures(out, flow);
  if (flow.server.has_value()) {
    out += fmt::format(
        R"(,"server":{{"rows":{},"batches":{},"mean_batch":{},"mean_queue_s":{},"mean_compute_s":{}}})",
        flow.server->rows, flow.server->batches, flow.server->mean_batch(), Seconds(flow.server->mean_queue),
        Seconds(flow.server->mean_compute));
  } else {
    out += R"(,"server":null)";
  }
  out += '}';
}

}  // namespace

FlowReport BenchReport::Total() const {
  FlowReport total;
  total.name = "total";
  for (const FlowReport& flow : flows) {
    total.tally.Add(flow.tally);
    total.window = std::max(total.window, flow.window);
  }
  return total;
}

std::string ReportText(const BenchReport& report) {
  const FlowReport total = report.Total();
  std::vector<FlowReport> lines = report.flows;
  if (lines.size() > 1) lines.push_back(total);
  std::string out = CountTable(lines) + "\n" + LatencyTable(lines);
  for (const std::string& part : {Reasons(report.flows), Histogram(total.tally.latency), Remarks(report)}) {
    if (!part.empty()) out += "\n" + part;
  }
  return out;
}

std::string ReportJson(const BenchReport& report) {
  const auto started =
      std::chrono::duration_cast<std::chrono::milliseconds>(report.started_at.time_since_epoch());
  std::string out = fmt::format(
      R"({{"schema":"mezzo.bench/1","started_at_unix_ms":{},"seed":{},"threads":{},"warmup_s":{},)"
      R"("interrupted":{},"flows":[)",
      started.count(), report.seed, report.threads, Seconds(report.warmup), report.interrupted);
  for (const FlowReport& flow : report.flows) {
    if (out.back() != '[') out += ',';
    AppendFlow(out, flow);
  }
  out += R"(],"total":{)";
  AppendFigures(out, report.Total());
  return out + "}}\n";
}

std::string ProgressLine(const ProgressSample& sample, std::size_t width) {
  std::string line;
  if (sample.planned > Duration::zero()) {
    constexpr std::size_t kBar = 20;
    const double done = std::clamp(Seconds(sample.elapsed) / Seconds(sample.planned), 0.0, 1.0);
    const auto filled = static_cast<std::size_t>(std::lround(done * kBar));
    line = "[" + std::string(filled, '=') + std::string(kBar - filled, ' ') + "] ";
  }
  line += fmt::format("{:.0f}s{} {}/s, {} in flight, p50 {} p99 {}", Seconds(sample.elapsed),
                      sample.warming_up ? " (warm-up)" : "", ShortCount(sample.rate), sample.in_flight,
                      ShortDuration(sample.p50), ShortDuration(sample.p99));
  if (sample.refused > 0) line += ", " + ShortCount(static_cast<double>(sample.refused)) + " refused";
  if (sample.failed > 0) line += ", " + ShortCount(static_cast<double>(sample.failed)) + " failed";
  if (sample.dropped > 0) line += ", " + ShortCount(static_cast<double>(sample.dropped)) + " dropped";
  return line.substr(0, width);
}

std::string ShortDuration(Duration duration) {
  const double ns = static_cast<double>(duration.count());
  const auto digits = [](double value, std::string_view unit) {
    const int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    return fmt::format("{:.{}f}{}", value, decimals, unit);
  };
  if (duration == Duration::zero()) return "0";
  if (ns < 999.5) return fmt::format("{:.0f}ns", ns);
  if (ns < 999.5e3) return digits(ns / 1e3, "us");
  if (ns < 999.5e6) return digits(ns / 1e6, "ms");
  return digits(ns / 1e9, "s");
}

std::string ShortCount(double count) {
  const auto digits = [](double value, std::string_view unit) {
    const int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    return fmt::format("{:.{}f}{}", value, decimals, unit);
  };
  if (count < 9.995)
    return count == std::floor(count) ? fmt::format("{:.0f}", count) : fmt::format("{:.1f}", count);
  if (count < 999.5) return fmt::format("{:.0f}", count);
  if (count < 999.5e3) return digits(count / 1e3, "k");
  return count < 999.5e6 ? digits(count / 1e6, "M") : digits(count / 1e9, "G");
}

}  // namespace mezzo::app::cli
