#include "mezzo/app/cli/top_view.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/bench_report.h"
#include "mezzo/app/cli/internal/text_table.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using Labels = MetricsText::Labels;

constexpr std::string_view kRequests = "mezzo_inference_requests_total";
constexpr std::string_view kLatency = "mezzo_inference_request_seconds";
constexpr std::string_view kBatchRows = "mezzo_inference_batch_rows";
constexpr std::string_view kDeviceTime = "mezzo_inference_device_nanoseconds_total";

/// Differences of counters between the samples; a counter that went back (a restart) has not moved.
class Deltas {
 public:
  Deltas(const TopSample& before, const TopSample& after) : before_(before.metrics), after_(after.metrics) {
    seconds_ = std::max(1e-3, Seconds(after.at - before.at));
  }
  [[nodiscard]] double Added(std::string_view name, const Labels& labels = {}) const {
    return std::max(0.0, after_.Sum(name, labels) - before_.Sum(name, labels));
  }
  [[nodiscard]] double PerSecond(std::string_view name, const Labels& labels = {}) const {
    return Added(name, labels) / seconds_;
  }
  [[nodiscard]] double Quantile(const Labels& labels, double q) const {
    return QuantileBetween(before_.Buckets(kLatency, labels), after_.Buckets(kLatency, labels), q);
  }
  [[nodiscard]] double seconds() const { return seconds_; }

 private:
  const MetricsText& before_;
  const MetricsText& after_;
  double seconds_ = 1;
};

Labels With(Labels labels, std::string key, std::string value) {
  labels.emplace_back(std::move(key), std::move(value));
  return labels;
}

/// What models and tenants have in common.
void FillCalls(TopRow& row, const Deltas& deltas, const Labels& labels) {
  row.rate = deltas.PerSecond(kRequests, labels);
  row.failures = deltas.PerSecond(kRequests, With(labels, "outcome", "failure"));
  row.p50 = deltas.Quantile(labels, 0.5);
  row.p99 = deltas.Quantile(labels, 0.99);
}

TopRow ModelRow(const IndexLine& line, const Deltas& deltas, double slots) {
  TopRow row;
  row.name = line.name;
  row.version = line.version;
  row.state = line.state;
  const Labels labels{{"model", line.name}, {"version", line.version}};
  FillCalls(row, deltas, labels);
  const double batches = deltas.Added(std::string(kBatchRows) + "_count", labels);
  if (batches > 0) row.batch = deltas.Added(std::string(kBatchRows) + "_sum", labels) / batches;
  row.device = deltas.PerSecond(kDeviceTime, labels) / 1e9 / slots;
  // By Little's law, the time spent waiting in one second is the mean number of those who wait.
  row.queued = deltas.PerSecond("mezzo_inference_stage_seconds_sum", With(labels, "stage", "queue"));
  return row;
}

void BusiestFirst(std::vector<TopRow>& rows) {
  std::sort(rows.begin(), rows.end(), [](const TopRow& a, const TopRow& b) {
    const auto rank = [](const TopRow& row) { return std::max(row.device * 1000, row.rate); };
    return std::tuple(-rank(a), a.name, a.version) < std::tuple(-rank(b), b.name, b.version);
  });
}

std::vector<TopRow> ModelRows(const TopSample& after, const Deltas& deltas, double slots) {
  std::vector<TopRow> rows;
  std::string counted;  // Refusals have no version: the model's first line shows them.
  for (const IndexLine& line : after.index) {
    TopRow row = ModelRow(line, deltas, slots);
    if (counted != line.name)
      row.refusals = deltas.PerSecond("mezzo_inference_refused_total", {{"model", line.name}});
    counted = line.name;
    for (const ServerStatistics& one : after.statistics) {
      if (one.model == line.name && one.version == line.version) row.memory_bytes = one.memory_bytes;
    }
    rows.push_back(std::move(row));
  }
  BusiestFirst(rows);
  return rows;
}

std::vector<TopRow> TenantRows(const TopSample& after, const Deltas& deltas, double slots) {
  std::set<std::string> names = after.metrics.Values("mezzo_sched_charged_seconds_total", "tenant");
  names.merge(after.metrics.Values(kRequests, "tenant"));
  std::vector<TopRow> rows;
  for (const std::string& name : names) {
    TopRow row;
    row.name = name;
    FillCalls(row, deltas, {{"tenant", name}});
    row.queued = after.metrics.Sum("mezzo_sched_tenant_queued_items", {{"tenant", name}});
    row.device = deltas.PerSecond("mezzo_sched_charged_seconds_total", {{"tenant", name}}) / slots;
    rows.push_back(std::move(row));
  }
  BusiestFirst(rows);
  return rows;
}

std::string Time(double seconds) { return seconds < 0 ? "-" : ShortDuration(FromSeconds(seconds)); }
std::string PerSecond(double rate) { return rate == 0 ? "0" : ShortCount(rate); }

std::string Bytes(double bytes) {
  if (!(bytes >= 1)) return "-";
  return FormatBytes(static_cast<std::uint64_t>(bytes));
}

/// A column with its importance: when the terminal is narrow, the greatest `drop` goes first.
struct Column {
  std::string_view title;
  int drop;
  std::string (*cell)(const TopView&, const TopRow&);
};

std::string DeviceCell(const TopView& view, const TopRow& row) {
  return view.slots_known ? fmt::format("{:.0f}%", row.device * 100) : fmt::format("{:.2f}", row.device);
}

const std::vector<Column>& ModelColumns() {
  static const std::vector<Column> columns = {
      {"MODEL", 0,
       [](const TopView&, const TopRow& row) {
         return row.name + (row.version.empty() ? "" : ":" + row.version);
       }},
      {"STATE", 5,
       [](const TopView&, const TopRow& row) { return ToLower(row.state.empty() ? "on disk" : row.state); }},
      {"REQ/S", 1, [](const TopView&, const TopRow& row) { return PerSecond(row.rate); }},
      {"P50", 4, [](const TopView&, const TopRow& row) { return Time(row.p50); }},
      {"P99", 2, [](const TopView&, const TopRow& row) { return Time(row.p99); }},
      {"QUEUE", 6, [](const TopView&, const TopRow& row) { return fmt::format("{:.1f}", row.queued); }},
      {"BATCH", 7,
       [](const TopView&, const TopRow& row) {
         return row.batch < 0 ? "-" : fmt::format("{:.1f}", row.batch);
       }},
      {"DEVICE", 3, DeviceCell},
      {"FAIL/S", 9, [](const TopView&, const TopRow& row) { return PerSecond(row.failures); }},
      {"REFUSE/S", 8, [](const TopView&, const TopRow& row) { return PerSecond(row.refusals); }},
      {"MEMORY", 10,
       [](const TopView&, const TopRow& row) { return Bytes(static_cast<double>(row.memory_bytes)); }},
  };
  return columns;
}

const std::vector<Column>& TenantColumns() {
  static const std::vector<Column> columns = {
      {"TENANT", 0, [](const TopView&, const TopRow& row) { return row.name; }},
      {"REQ/S", 1, [](const TopView&, const TopRow& row) { return PerSecond(row.rate); }},
      {"P50", 4, [](const TopView&, const TopRow& row) { return Time(row.p50); }},
      {"P99", 2, [](const TopView&, const TopRow& row) { return Time(row.p99); }},
      {"QUEUE", 5, [](const TopView&, const TopRow& row) { return fmt::format("{:.0f}", row.queued); }},
      {"DEVICE", 3, DeviceCell},
      {"FAIL/S", 6, [](const TopView&, const TopRow& row) { return PerSecond(row.failures); }},
  };
  return columns;
}

std::string Clip(std::string_view text, std::size_t width) {
  std::string out;
  std::size_t columns = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool starts = (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
    if (starts && columns++ == width) break;
    out += text[i];
  }
  return out;
}

/// The table's lines, header first, with as many columns as fit.
std::vector<std::string> TableLines(const TopView& view, std::vector<Column> columns,
                                    const std::vector<TopRow>& rows, std::size_t width, std::size_t most) {
  while (true) {
    std::vector<std::string> header;
    for (const Column& column : columns) header.emplace_back(column.title);
    TextTable table(std::move(header));
    for (std::size_t i = 0; i < std::min(rows.size(), most); ++i) {
      std::vector<std::string> cells;
      for (const Column& column : columns) cells.push_back(Printable(column.cell(view, rows[i]), 48));
      table.Add(std::move(cells));
    }
    std::vector<std::string> lines;
    bool fits = true;
    const std::string text = table.ToString();
    for (const std::string_view line : Split(text, '\n')) {
      if (line.empty()) continue;
      fits = fits && ColumnsOf(line) <= width;
      lines.emplace_back(line);
    }
    if (fits || columns.size() == 1) return lines;
    columns.erase(std::max_element(columns.begin(), columns.end(),
                                   [](const Column& a, const Column& b) { return a.drop < b.drop; }));
  }
}

std::vector<std::string> Summary(const TopView& view) {
  double rate = 0;
  for (const TopRow& row : view.models) rate += row.rate;
  const std::string slots = view.slots_known
                                ? fmt::format("{:.1f} of {:.0f} slots busy", view.busy, view.slots)
                                : fmt::format("{:.2f} slots busy", view.busy);
  std::string memory = Bytes(view.model_bytes);
  if (view.model_budget_bytes > 0) memory += " of " + Bytes(view.model_budget_bytes);
  return {
      fmt::format("mezzo top  {}  {} req/s, {} queued", view.url, PerSecond(rate), ShortCount(view.queued)),
      fmt::format("device {}, models {}", slots, memory),
      fmt::format("process {:.2f} cores, {} resident, {:.0f} connections, {:.0f} threads, {:.0f} loop stalls",
                  view.cpu, Bytes(view.resident_bytes), view.connections, view.threads, view.loop_stalls)};
}

}  // namespace

Result<std::vector<IndexLine>> ParseIndex(std::string_view json) {
  const auto body = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!body.is_array()) return Internal("bad_answer", "the repository index is not a JSON list");
  std::vector<IndexLine> lines;
  for (const auto& item : body) {
    if (!item.is_object())
      return Internal("bad_answer", "the repository index holds something other than objects");
    const auto text = [&item](const char* key) {
      const auto found = item.find(key);
      return found != item.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    lines.push_back(
        {.name = text("name"), .version = text("version"), .state = text("state"), .reason = text("reason")});
  }
  return lines;
}

TopView CompareSamples(const TopSample& before, const TopSample& after) {
  const Deltas deltas(before, after);
  const MetricsText& now = after.metrics;
  TopView view;
  view.interval = after.at - before.at;
  view.slots = now.Sum("mezzo_sched_slots");
  view.slots_known = view.slots > 0;
  const double slots = view.slots_known ? view.slots : 1;
  view.busy = deltas.PerSecond(kDeviceTime) / 1e9;
  view.queued = now.Sum("mezzo_sched_queued_items");
  view.cpu = deltas.PerSecond("mezzo_process_cpu_seconds_total");
  view.resident_bytes = now.Sum("mezzo_process_resident_memory_bytes");
  view.threads = now.Sum("mezzo_process_threads");
  view.connections = now.Sum("mezzo_net_connections");
  view.loop_stalls = deltas.Added("mezzo_runtime_loop_stalls_total");
  view.model_bytes = now.Sum("mezzo_models_memory_bytes");
  view.model_budget_bytes = now.Sum("mezzo_models_memory_budget_bytes");
  view.models = ModelRows(after, deltas, slots);
  view.tenants = TenantRows(after, deltas, slots);
  return view;
}

std::string RenderTop(const TopView& view, std::size_t width, std::size_t height, bool colour) {
  constexpr std::string_view kBold = "\x1b[1m", kReverse = "\x1b[7m", kPlain = "\x1b[0m";
  const auto paint = [colour, kPlain](std::string_view attribute, const std::string& text) {
    return colour ? std::string(attribute) + text + std::string(kPlain) : text;
  };
  std::vector<std::string> lines;
  for (const std::string& line : Summary(view)) {
    lines.push_back(lines.empty() ? paint(kBold, Clip(line, width)) : Clip(line, width));
  }
  const auto add_table = [&](std::vector<std::string> table) {
    if (table.size() < 2) return;
    lines.emplace_back();
    for (std::size_t i = 0; i < table.size(); ++i) {
      std::string line = Clip(table[i], width);
      if (i > 0 || !colour) {
        lines.push_back(std::move(line));
        continue;
      }
      line.append(width - std::min(width, ColumnsOf(line)), ' ');
      lines.push_back(paint(kReverse, line));
    }
  };
  // Tenants get what they need up to a third of the screen; models take the rest.
  const std::size_t room = height > lines.size() + 4 ? height - lines.size() - 4 : 0;
  const std::size_t tenants =
      std::min(view.tenants.size(), std::max<std::size_t>(room / 3, room > 3 ? 1 : 0));
  add_table(TableLines(view, ModelColumns(), view.models, width, room - tenants));
  add_table(TableLines(view, TenantColumns(), view.tenants, width, tenants));
  if (view.models.empty()) lines.push_back(Clip("no models", width));
  std::string out;
  for (std::size_t i = 0; i < std::min(lines.size(), height); ++i) out += lines[i] + "\n";
  return out;
}

}  // namespace mezzo::app::cli
