#include "mezzo/observe/internal/otlp_json.h"

#include <cmath>
#include <iterator>
#include <optional>

#include <fmt/format.h>

#include "mezzo/base/utf8.h"

namespace mezzo::observe::internal {
namespace {

void AppendString(std::string& out, std::string_view text) {
  out += '"';
  AppendJsonEscaped(out, text);
  out += '"';
}

void AppendValue(std::string& out, const Span::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    out += "{\"stringValue\":";
    AppendString(out, *text);
  } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
    fmt::format_to(std::back_inserter(out), "{{\"intValue\":\"{}\"", *number);
  } else if (const auto* real = std::get_if<double>(&value)) {
    // proto3 JSON writes what JSON has no number for as a string.
    if (std::isnan(*real)) {
      out += "{\"doubleValue\":\"NaN\"";
    } else if (std::isinf(*real)) {
      out += *real > 0 ? "{\"doubleValue\":\"Infinity\"" : "{\"doubleValue\":\"-Infinity\"";
    } else {
      fmt::format_to(std::back_inserter(out), "{{\"doubleValue\":{}", *real);
    }
  } else {
    fmt::format_to(std::back_inserter(out), "{{\"boolValue\":{}", std::get<bool>(value));
  }
  out += '}';
}

void AppendAttribute(std::string& out, std::string_view key, const Span::Value& value) {
  out += "{\"key\":";
  AppendString(out, key);
  out += ",\"value\":";
  AppendValue(out, value);
  out += '}';
}

std::int64_t Nanos(WallTime time) { return time.time_since_epoch().count(); }

struct SpanHead {
  std::string trace_id;
  std::string span_id;
  std::string parent_id;
  std::string_view name;
  SpanKind kind = SpanKind::kInternal;
  WallTime start;
  WallTime end;
};

/// Everything up to the attributes; leaves the object open.
void AppendHead(std::string& out, const SpanHead& head) {
  fmt::format_to(std::back_inserter(out), R"({{"traceId":"{}","spanId":"{}",)", head.trace_id, head.span_id);
  if (!head.parent_id.empty())
    fmt::format_to(std::back_inserter(out), R"("parentSpanId":"{}",)", head.parent_id);
  out += "\"name\":";
  AppendString(out, head.name);
  fmt::format_to(std::back_inserter(out), R"(,"kind":{},"startTimeUnixNano":"{}","endTimeUnixNano":"{}")",
                 static_cast<int>(head.kind), Nanos(head.start), Nanos(head.end));
}

/// Stage `index` of a span: the span's own random id, moved on; never the span's id itself nor zero.
std::string StageId(const SpanId& span, std::size_t index) {
  SpanId id = span;
  id.bytes[7] = static_cast<std::uint8_t>(id.bytes[7] + index + 1);
  if (id.empty()) id.bytes[0] = 1;
  return id.Hex();
}

void AppendSpan(std::string& out, const Span& span) {
  const std::string trace_id = span.context().trace_id.Hex();
  const std::string span_id = span.context().span_id.Hex();
  AppendHead(out, {.trace_id = trace_id,
                   .span_id = span_id,
                   .parent_id = span.parent().empty() ? std::string() : span.parent().Hex(),
                   .name = span.name(),
                   .kind = span.kind(),
                   .start = span.start(),
                   .end = span.end()});
  if (!span.context().trace_state.empty()) {
    out += ",\"traceState\":";
    AppendString(out, span.context().trace_state);
  }
  out += ",\"attributes\":[";
  for (std::size_t i = 0; i < span.attributes().size(); ++i) {
    if (i > 0) out += ',';
    AppendAttribute(out, span.attributes()[i].key, span.attributes()[i].value);
  }
  out += ']';
  if (span.dropped_attributes() > 0) {
    fmt::format_to(std::back_inserter(out), ",\"droppedAttributesCount\":{}", span.dropped_attributes());
  }
  if (const std::optional<std::string>& failure = span.failure(); failure.has_value()) {
    out += ",\"status\":{\"code\":2,\"message\":";
    AppendString(out, *failure);
    out += "}}";
  } else {
    out += ",\"status\":{\"code\":1}}";
  }
  for (std::size_t i = 0; i < span.stages().size(); ++i) {
    const Span::Stage& stage = span.stages()[i];
    out += ',';
    AppendHead(out, {.trace_id = trace_id,
                     .span_id = StageId(span.context().span_id, i),
                     .parent_id = span_id,
                     .name = stage.name,
                     .kind = SpanKind::kInternal,
                     .start = stage.start,
                     .end = stage.end});
    out += '}';
  }
}

}  // namespace

std::string EncodeOtlp(std::span<const std::unique_ptr<const Span>> spans, const std::string& service_name,
                       const std::string& service_version) {
  std::string out = "{\"resourceSpans\":[{\"resource\":{\"attributes\":[";
  AppendAttribute(out, "service.name", service_name);
  out += ',';
  AppendAttribute(out, "service.version", service_version);
  out += "]},\"scopeSpans\":[{\"scope\":{\"name\":\"mezzo\",\"version\":";
  AppendString(out, service_version);
  out += "},\"spans\":[";
  for (std::size_t i = 0; i < spans.size(); ++i) {
    if (i > 0) out += ',';
    AppendSpan(out, *spans[i]);
  }
  out += "]}]}]}";
  return out;
}

}  // namespace mezzo::observe::internal
