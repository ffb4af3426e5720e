#include "mezzo/lifecycle/compatibility.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/internal/report_json.h"

namespace mezzo::lifecycle {
namespace {

using internal::Json;

constexpr double kMib = 1 << 20;
constexpr std::size_t kMaxReportJson = std::size_t{8} << 20U;

Error Invalid(const std::string& what) {
  return InvalidArgument("test_report_invalid", "not a report of a version's test: " + what);
}

double Milliseconds(Duration duration) { return Seconds(duration) * 1e3; }

template <typename T>
const T* FindNamed(const std::vector<T>& all, const std::string& name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const T& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::string TypeText(const TestedTensor& tensor) {
  return std::string(tensor::DTypeName(tensor.dtype)) + tensor.shape.ToString();
}

/// What is wrong with a tensor that was there before, or empty.
std::string TensorFault(const TestedTensor& before, const TestedTensor& now, bool input) {
  if (before.dtype != now.dtype) {
    return fmt::format("had the type {} and has {}", tensor::DTypeName(before.dtype),
                       tensor::DTypeName(now.dtype));
  }
  if (before.shape.rank() != now.shape.rank()) {
    return fmt::format("had the shape {} and has {}: another rank", before.shape.ToString(),
                       now.shape.ToString());
  }
  for (std::size_t i = 0; i < before.shape.rank(); ++i) {
    if (before.shape[i] == now.shape[i]) continue;
    // An input that takes anything and an output that says more than before are fine.
    if (input ? now.shape[i] < 0 : before.shape[i] < 0) continue;
    return fmt::format("had the shape {} and has {}: dimension {} {}", before.shape.ToString(),
                       now.shape.ToString(), i, input ? "takes less" : "is not what it was");
  }
  if (input && before.optional && !now.optional) return "was optional and is not any more";
  return "";
}

void CompareTensors(const TestedPart& before, const TestedPart& now, bool input, const std::string& where,
                    std::vector<std::string>& faults) {
  const std::string kind = where + (input ? "input '" : "output '");
  const auto& old_ones = input ? before.inputs : before.outputs;
  const auto& new_ones = input ? now.inputs : now.outputs;
  for (const TestedTensor& old_one : old_ones) {
    const TestedTensor* const new_one = FindNamed(new_ones, old_one.name);
    if (new_one == nullptr) {
      faults.push_back(fmt::format("{}{}' ({}) is gone", kind, old_one.name, TypeText(old_one)));
    } else if (std::string fault = TensorFault(old_one, *new_one, input); !fault.empty()) {
      faults.push_back(fmt::format("{}{}' {}", kind, old_one.name, fault));
    }
  }
  if (!input) return;
  for (const TestedTensor& new_one : new_ones) {
    if (!new_one.optional && FindNamed(old_ones, new_one.name) == nullptr) {
      faults.push_back(
          fmt::format("{}{}' ({}) is new and not optional: callers of the version before do not send it",
                      kind, new_one.name, TypeText(new_one)));
    }
  }
}

/// "part 'unet': ", or nothing.
std::string Where(const TestedPart& part) { return part.name.empty() ? "" : "part '" + part.name + "': "; }

void Fail(Check& check, std::string reason) {
  if (check.outcome == CheckOutcome::kFailed) return;
  check.outcome = CheckOutcome::kFailed;
  check.reason = std::move(reason);
}

std::string KeyOf(const TestedPart& part, const char* name) {
  return part.name.empty() ? name : part.name + "." + name;
}

int RankOf(std::string_view name) {
  constexpr std::string_view kOrder[] = {kFilesCheck,  kOperatorsCheck, kLoadCheck,    kSignatureCheck,
                                         kWarmupCheck, kGoldenPrefix,   kLatencyCheck, kMemoryCheck};
  int rank = 0;
  for (const std::string_view one : kOrder) {
    if (one == kGoldenPrefix ? name.starts_with(one) : name == one) return rank;
    ++rank;
  }
  return rank;
}

}  // namespace

std::string_view OutcomeName(CheckOutcome outcome) {
  switch (outcome) {
    case CheckOutcome::kPassed:
      return "passed";
    case CheckOutcome::kFailed:
      return "failed";
    default:
      return "skipped";
  }
}

bool CompatibilityReport::passed() const {
  const auto any = [this](CheckOutcome outcome) {
    return std::any_of(checks.begin(), checks.end(),
                       [&](const Check& check) { return check.outcome == outcome; });
  };
  return any(CheckOutcome::kPassed) && !any(CheckOutcome::kFailed);
}

std::string CompatibilityReport::Reason() const {
  for (const Check& check : checks) {
    if (check.outcome == CheckOutcome::kFailed) return check.name + ": " + check.reason;
  }
  return "";
}

const Check* CompatibilityReport::Find(std::string_view name) const {
  for (const Check& check : checks) {
    if (check.name == name) return &check;
  }
  return nullptr;
}

std::string CompatibilityReport::ToJson() const {
  Json json = {{"verdict", passed() ? "passed" : "failed"}};
  if (!passed()) json["reason"] = Reason();
  json["checks"] = Json::array();
  for (const Check& check : checks) json["checks"].push_back(internal::ToJson(check));
  json["parts"] = Json::array();
  for (const TestedPart& part : parts) json["parts"].push_back(internal::ToJson(part));
  json["peak_memory_bytes"] = peak_memory;
  json["confined"] = confined;
  return internal::Dump(json);
}

Result<CompatibilityReport> CompatibilityReport::FromJson(std::string_view text) {
  if (text.size() > kMaxReportJson) return Invalid("it is too long");
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Invalid("it must be an object");
  const auto checks = json.find("checks");
  const auto parts = json.find("parts");
  if (checks == json.end() || !checks->is_array() || checks->size() > kMaxChecks) {
    return Invalid("checks must be a list");
  }
  if (parts == json.end() || !parts->is_array() || parts->size() > kMaxParts) {
    return Invalid("parts must be a list");
  }
  CompatibilityReport report;
  for (const Json& one : *checks) {
    MEZZO_TRY(Check check, internal::CheckFromJson(one));
    report.checks.push_back(std::move(check));
  }
  for (const Json& one : *parts) {
    MEZZO_TRY(TestedPart part, internal::PartFromJson(one));
    report.parts.push_back(std::move(part));
  }
  const auto peak = json.find("peak_memory_bytes");
  const auto confined = json.find("confined");
  if (peak == json.end() || !peak->is_number_unsigned() || confined == json.end() ||
      !confined->is_boolean()) {
    return Invalid("peak_memory_bytes and confined are missing");
  }
  report.peak_memory = peak->get<std::uint64_t>();
  report.confined = confined->get<bool>();
  return report;
}

Result<void> CompatibilityPlan::Validate() const {
  const auto bad = [](const std::string& what) { return InvalidArgument("test_plan_invalid", what); };
  for (const std::string* path : {&folder, &against}) {
    if (path == &against && path->empty()) continue;
    if (path->empty() || path->front() != '/' || path->find('\0') != std::string::npos ||
        path->size() > 4000) {
      return bad("a version's folder must be an absolute path");
    }
  }
  if (limits.memory < (ByteCount{16} << 20U)) return bad("a test needs at least 16 MiB of memory");
  if (limits.cpu_seconds < 1 || limits.cpu_seconds > 86'400) return bad("CPU time must be 1 s to a day");
  if (limits.time <= Duration::zero() || limits.time > std::chrono::hours(24)) {
    return bad("a test's time must be above zero and at most a day");
  }
  if (limits.threads < 1 || limits.threads > 256) return bad("threads must be 1 to 256");
  if (limits.runs > 10'000) return bad("at most 10,000 runs are timed");
  if (limits.run_budget < Duration::zero()) return bad("the time for timed runs must not be negative");
  const auto factor_ok = [](double factor) { return factor >= 0 && factor <= 1e6; };
  if (!factor_ok(rules.latency_factor) || !factor_ok(rules.memory_factor)) {
    return bad("a factor must be 0 (not compared) to 1,000,000");
  }
  return {};
}

Check CompareSignatures(const std::vector<TestedPart>& before, const std::vector<TestedPart>& now) {
  Check check{.name = std::string(kSignatureCheck)};
  std::vector<std::string> faults;
  for (const TestedPart& old_part : before) {
    const TestedPart* const new_part = FindNamed(now, old_part.name);
    if (new_part == nullptr) {
      faults.push_back(old_part.name.empty() ? "the model has become a pipeline"
                                             : "part '" + old_part.name + "' is gone");
      continue;
    }
    const std::string where = Where(old_part);
    CompareTensors(old_part, *new_part, /*input=*/true, where, faults);
    CompareTensors(old_part, *new_part, /*input=*/false, where, faults);
    if (new_part->max_batch_size < old_part.max_batch_size) {
      faults.push_back(fmt::format("{}took batches of {} and takes {}", where, old_part.max_batch_size,
                                   new_part->max_batch_size));
    }
  }
  check.measured["differences"] = static_cast<double>(faults.size());
  if (faults.empty()) return check;
  constexpr std::size_t kShown = 5;
  std::string reason;
  for (std::size_t i = 0; i < faults.size() && i < kShown; ++i) reason += (i > 0 ? "; " : "") + faults[i];
  if (faults.size() > kShown) reason += fmt::format("; and {} more", faults.size() - kShown);
  Fail(check, Printable(reason, CompatibilityReport::kMaxReason));
  return check;
}

Check CompareLatency(const std::vector<TestedPart>* before, const std::vector<TestedPart>& now,
                     const ComparisonRules& rules) {
  Check check{.name = std::string(kLatencyCheck)};
  bool timed = false;
  bool compared = false;
  for (const TestedPart& part : now) {
    if (part.runs == 0) continue;
    timed = true;
    check.measured[KeyOf(part, "runs")] = part.runs;
    check.measured[KeyOf(part, "p50_ms")] = Milliseconds(part.p50);
    check.measured[KeyOf(part, "p99_ms")] = Milliseconds(part.p99);
    const TestedPart* const old_part = before == nullptr ? nullptr : FindNamed(*before, part.name);
    if (old_part == nullptr || old_part->runs == 0) continue;
    compared = true;
    check.measured[KeyOf(part, "p50_before_ms")] = Milliseconds(old_part->p50);
    check.measured[KeyOf(part, "p99_before_ms")] = Milliseconds(old_part->p99);
    const auto compare = [&](const char* name, Duration was, Duration is) {
      const bool slower = Seconds(is) > Seconds(was) * rules.latency_factor && is > was + rules.latency_slack;
      if (rules.latency_factor == 0 || !slower) return;
      Fail(check,
           fmt::format("{}{} is {:.3g} ms; the version before had {:.3g} ms, and at most {:g} times that "
                       "is allowed",
                       Where(part), name, Milliseconds(is), Milliseconds(was), rules.latency_factor));
    };
    compare("p50", old_part->p50, part.p50);
    compare("p99", old_part->p99, part.p99);
  }
  if (!timed) {
    check.outcome = CheckOutcome::kSkipped;
    check.reason = "no run could be timed: add a golden example or a warm-up";
  } else if (!compared && check.reason.empty()) {
    check.reason = before == nullptr ? "there is no version before to compare with"
                                     : "the version before could not be timed";
  }
  return check;
}

Check CompareMemory(const std::vector<TestedPart>* before, const std::vector<TestedPart>& now, ByteCount peak,
                    const ComparisonRules& rules) {
  Check check{.name = std::string(kMemoryCheck)};
  ByteCount held = 0;
  for (const TestedPart& part : now) held += part.memory;
  check.measured["held_mib"] = static_cast<double>(held) / kMib;
  if (peak > 0) check.measured["peak_mib"] = static_cast<double>(peak) / kMib;
  if (before == nullptr) return check;
  ByteCount held_before = 0;
  for (const TestedPart& part : *before) held_before += part.memory;
  check.measured["held_before_mib"] = static_cast<double>(held_before) / kMib;
  const bool more = static_cast<double>(held) > static_cast<double>(held_before) * rules.memory_factor &&
                    held > held_before + rules.memory_slack;
  if (rules.memory_factor > 0 && held_before > 0 && more) {
    Fail(check, fmt::format("it holds {}; the version before held {}, and at most {:g} times that is allowed",
                            FormatBytes(held), FormatBytes(held_before), rules.memory_factor));
  }
  return check;
}

void SortChecks(std::vector<Check>& checks) {
  std::vector<std::pair<int, std::size_t>> order;
  order.reserve(checks.size());
  for (std::size_t i = 0; i < checks.size(); ++i) order.emplace_back(RankOf(checks[i].name), i);
  std::sort(order.begin(), order.end());
  std::vector<Check> sorted;
  sorted.reserve(checks.size());
  for (const auto& [rank, at] : order) sorted.push_back(std::move(checks[at]));
  checks = std::move(sorted);
}

}  // namespace mezzo::lifecycle
