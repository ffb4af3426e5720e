#include "mezzo/lifecycle/version_child.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mezzo/base/fd.h"
#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/golden_example.h"
#include "mezzo/lifecycle/internal/report_json.h"
#include "mezzo/lifecycle/version_folder.h"
#include "mezzo/models/completion.h"
#include "mezzo/models/warmup.h"
#include "mezzo/runtime/sandbox.h"

namespace mezzo::lifecycle {
namespace {

using internal::Dump;
using internal::Json;

constexpr std::int64_t kDefaultMaxBatch = 32;  // As the server's own.
constexpr ByteCount kMaxSampleBytes = ByteCount{64} << 20U;
constexpr std::uint32_t kUntimedRuns = 2;
constexpr std::uint32_t kLeastRuns = 3;

[[noreturn]] void EndForMemory() { ::_exit(kVersionChildOutOfMemory); }

/// Libraries of providers say so in words only.
bool IsAboutMemory(const Error& error) {
  // "engine_memory", which a warm-up's own reason replaces.
  if (error.code() == Code::kResourceExhausted) return true;
  const std::string message = ToLower(error.message());
  return message.find("bad_alloc") != std::string::npos ||
         message.find("out of memory") != std::string::npos ||
         message.find("failed to allocate") != std::string::npos ||
         message.find("allocation failed") != std::string::npos;
}

/// The most memory that this process had resident, as the kernel counts it; opened before the sandbox closes.
/// Not rusage: that begins with what the parent had.
class PeakMemory {
 public:
  PeakMemory() : status_(::open("/proc/self/status", O_RDONLY | O_CLOEXEC)) {}

  [[nodiscard]] ByteCount Read() const {
    std::array<char, 4096> text{};
    const ssize_t size = ::pread(status_.get(), text.data(), text.size(), 0);
    if (size <= 0) return 0;
    const std::string_view all(text.data(), static_cast<std::size_t>(size));
    const std::size_t at = all.find("VmHWM:");
    if (at == std::string_view::npos) return 0;
    return std::strtoull(text.data() + at + sizeof("VmHWM:") - 1, nullptr, 10) * 1024;
  }

 private:
  const Fd status_;
};

/// The lines to the parent. What libraries print goes elsewhere.
class Lines {
 public:
  Lines() : out_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) {
    const Fd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    if (nowhere.ok()) ::dup2(nowhere.get(), STDOUT_FILENO);
  }

  void Write(const Json& json) const {
    const std::string line = Dump(json) + "\n";
    for (std::size_t done = 0; done < line.size();) {
      const ssize_t n = ::write(out_.get(), line.data() + done, line.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) ::_exit(kVersionChildUnfit);  // Nobody listens.
      done += static_cast<std::size_t>(n);
    }
  }
  void Stage(std::string_view name) const { Write({{"stage", name}}); }
  void Run(std::string_view stage, std::uint32_t run) const { Write({{"stage", stage}, {"run", run}}); }
  void Tell(const Check& check) const { Write({{"check", internal::ToJson(check)}}); }

 private:
  const Fd out_;
};

/// A part that is loaded.
struct Loaded {
  TestedPart tested;
  models::ModelConfig config;
  std::unique_ptr<engine::Session> session;
};

std::vector<TestedTensor> ToTested(const std::vector<models::TensorConfig>& tensors) {
  std::vector<TestedTensor> out;
  out.reserve(tensors.size());
  for (const models::TensorConfig& one : tensors) {
    out.push_back({.name = one.name, .dtype = one.dtype, .shape = one.shape, .optional = one.optional});
  }
  return out;
}

std::string PartText(const std::string& part) { return part.empty() ? "" : "part '" + part + "': "; }

/// `given` with the engine's dimensions: Triton's `reshape`. Left as it is where that can't be told.
tensor::Shape EngineShape(const models::TensorConfig& config, const tensor::Shape& given) {
  if (!config.engine_shape) return given;
  tensor::Shape shape = *config.engine_shape;
  for (std::size_t i = 0; i < shape.rank(); ++i) {
    if (shape[i] >= 0) continue;
    if (i > 0 || given.rank() == 0) return given;
    shape[i] = given[0];
  }
  const auto before = tensor::ElementCount(given);
  const auto after = tensor::ElementCount(shape);
  return before.ok() && after.ok() && *before == *after ? shape : given;
}

const models::TensorConfig* ConfigOf(const std::vector<models::TensorConfig>& all, const std::string& name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

/// An example's tensors in the order of a session.
struct BoundExample {
  std::vector<tensor::Tensor> tensors;  ///< As the engine wants them; `inputs` point to them.
  std::vector<const tensor::Tensor*> inputs;
  std::vector<std::size_t> wanted;
};

Result<std::size_t> IndexOf(const std::vector<engine::TensorSpec>& specs, const std::string& name,
                            const char* kind) {
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].name == name) return i;
  }
  return InvalidArgument("golden_invalid", fmt::format("the model has no {} '{}'", kind, Printable(name)));
}

Result<BoundExample> Bind(const GoldenExample& example, const Loaded& part) {
  const engine::SessionFacts& facts = part.session->facts();
  BoundExample bound;
  bound.tensors.resize(facts.inputs.size());
  bound.inputs.resize(facts.inputs.size(), nullptr);
  for (const GoldenInput& input : example.inputs) {
    MEZZO_TRY(const std::size_t at, IndexOf(facts.inputs, input.name, "input"));
    if (facts.inputs[at].dtype != input.tensor.dtype) {
      return InvalidArgument(
          "golden_invalid",
          fmt::format("input '{}' has the type {}; the model takes {}", Printable(input.name),
                      tensor::DTypeName(input.tensor.dtype), tensor::DTypeName(facts.inputs[at].dtype)));
    }
    bound.tensors[at] = input.tensor;
    if (const auto* const config = ConfigOf(part.config.inputs, input.name); config != nullptr) {
      bound.tensors[at].shape = EngineShape(*config, input.tensor.shape);
    }
    bound.inputs[at] = &bound.tensors[at];
  }
  for (std::size_t i = 0; i < facts.inputs.size(); ++i) {
    if (bound.inputs[i] == nullptr && !facts.inputs[i].optional) {
      return InvalidArgument("golden_invalid",
                             "the example lacks input '" + Printable(facts.inputs[i].name) + "'");
    }
  }
  for (const GoldenOutput& output : example.outputs) {
    MEZZO_TRY(const std::size_t at, IndexOf(facts.outputs, output.name, "output"));
    bound.wanted.push_back(at);
  }
  return bound;
}

/// One check: the example runs, and its outputs are as near as their rules say.
Check RunExample(const GoldenExample& example, const Loaded& part) {
  Check check{.name = std::string(kGoldenPrefix) + example.name};
  const auto fail = [&check](const std::string& reason) {
    if (check.outcome == CheckOutcome::kFailed) return;
    check.outcome = CheckOutcome::kFailed;
    check.reason = Printable(reason, CompatibilityReport::kMaxReason);
  };
  const auto bound = Bind(example, part);
  if (!bound.ok()) {
    fail(bound.error().message());
    return check;
  }
  const auto outputs = part.session->Run(bound->inputs, bound->wanted, nullptr);
  if (!outputs.ok()) {
    if (IsAboutMemory(outputs.error())) EndForMemory();
    fail("the model does not run: " + outputs.error().message());
    return check;
  }
  for (std::size_t i = 0; i < example.outputs.size(); ++i) {
    const GoldenOutput& expected = example.outputs[i];
    tensor::Tensor actual = (*outputs)[i];
    const auto* const config = ConfigOf(part.config.outputs, expected.name);
    if (config != nullptr && config->engine_shape) {
      const auto have = tensor::ElementCount(actual.shape);
      const auto want = tensor::ElementCount(expected.tensor.shape);
      if (have.ok() && want.ok() && *have == *want) actual.shape = expected.tensor.shape;
    }
    const Comparison comparison = Compare(expected.rule, expected.tensor, actual);
    for (const auto& [name, value] : comparison.measured) check.measured[expected.name + "." + name] = value;
    if (!comparison.near) {
      fail(fmt::format("output '{}' ({}): {}", expected.name, RuleName(expected.rule.kind),
                       comparison.reason));
    }
  }
  return check;
}

/// Nearest rank.
Duration Percentile(const std::vector<Duration>& sorted, double share) {
  const double rank = std::ceil(share * static_cast<double>(sorted.size()));
  return sorted[static_cast<std::size_t>(std::clamp(rank, 1.0, static_cast<double>(sorted.size()))) - 1];
}

class Child {
 public:
  Child(const VersionChildTask& task, const VersionChildPorts& ports) : task_(task), ports_(ports) {}

  int Run() {
    if (!ReadFolder()) return Finish();
    if (const auto entered = EnterSandbox(); !entered.ok()) {
      lines_.Write({{"unfit", entered.error().message()}});
      return kVersionChildUnfit;
    }
    if (!ScanFiles() || !LoadAll()) return Finish();
    ReadExamples();
    if (const auto closed = runtime::ForbidOpening(); !closed.ok()) {
      lines_.Write({{"unfit", closed.error().message()}});
      return kVersionChildUnfit;
    }
    // A version that fails here goes on: each further check that fails saves its maker a round.
    if (!task_.measure_only) {
      WarmUpAll();
      RunExamples();
    }
    TimeAll();
    return Finish();
  }

 private:
  int Finish() {
    lines_.Write({{"peak_memory_bytes", peak_.Read()}, {"confined", confined_}});
    lines_.Write({{"done", true}});
    return kVersionChildDone;
  }

  /// False: there is nothing to go on with.
  bool Fail(std::string_view name, const Error& error, const std::string& part = "") {
    if (IsAboutMemory(error)) EndForMemory();
    lines_.Tell({.name = std::string(name),
                 .outcome = CheckOutcome::kFailed,
                 .reason = Printable(PartText(part) + error.message(), CompatibilityReport::kMaxReason)});
    return false;
  }

  bool ReadFolder() {
    lines_.Stage(kFilesCheck);
    auto content = ReadVersionFolder(task_.folder);
    if (!content.ok()) return Fail(kFilesCheck, content.error());
    content_ = std::move(content).value();
    for (const VersionPart& part : content_.parts) {
      const std::string& name = part.declared.config.name;
      if (task_.model.empty() || part.declared.pipeline_part || name.empty() || name == task_.model) continue;
      return Fail(kFilesCheck, InvalidArgument("version_files", part.declared.source + " is of a model '" +
                                                                    name + "', not '" + task_.model + "'"));
    }
    return true;
  }

  Result<void> EnterSandbox() {
    std::vector<std::string> readable = {task_.folder};
    if (!task_.examples.empty()) readable.push_back(task_.examples + "/golden");
    MEZZO_TRY_VOID(runtime::EnterSandbox(
        {.memory = task_.limits.memory, .cpu_seconds = task_.limits.cpu_seconds, .may_read = true}));
    MEZZO_TRY(confined_, runtime::RestrictReading(readable));
    std::set_new_handler(&EndForMemory);
    return {};
  }

  bool ScanFiles() {
    Check files{.name = std::string(kFilesCheck)};
    std::map<std::string, ModelFileFacts> by_part;
    double external = 0;
    double tensors = 0;
    for (const VersionPart& part : content_.parts) {
      auto facts = ports_.scan(part.model_path);
      if (!facts.ok()) return Fail(kFilesCheck, facts.error(), part.name);
      external += static_cast<double>(facts->external_files);
      tensors += static_cast<double>(facts->tensor_bytes);
      by_part.emplace(part.name, std::move(facts).value());
    }
    constexpr double kMib = 1 << 20;
    files.measured = {{"files", static_cast<double>(content_.files)},
                      {"mib", static_cast<double>(content_.bytes) / kMib},
                      {"external_files", external},
                      {"tensors_mib", tensors / kMib}};
    lines_.Tell(files);
    lines_.Stage(kOperatorsCheck);
    const Check operators = CheckOperators(by_part);
    lines_.Tell(operators);
    return operators.outcome != CheckOutcome::kFailed;
  }

  bool LoadAll() {
    lines_.Stage(kLoadCheck);
    Check check{.name = std::string(kLoadCheck)};
    double seconds = 0;
    for (const VersionPart& part : content_.parts) {
      auto loaded = Load(part);
      if (!loaded.ok()) return Fail(kLoadCheck, loaded.error(), part.name);
      seconds += Seconds(loaded->tested.load_time);
      lines_.Write({{"part", internal::ToJson(loaded->tested)}});
      parts_.push_back(std::move(loaded).value());
    }
    check.measured["seconds"] = seconds;
    lines_.Tell(check);
    return true;
  }

  Result<Loaded> Load(const VersionPart& part) {
    const models::ModelConfig& declared = part.declared.config;
    engine::LoadRequest request;
    request.model = part.name.empty() ? "model" : part.name;
    request.platform = models::kOnnxPlatform;
    request.model_path = part.model_path;
    request.optimization_level = declared.optimization_level;
    request.fixed_dims = declared.fixed_dims;
    const TimePoint start = ports_.clock.Now();
    Loaded out;
    MEZZO_TRY(out.session, ports_.engine.Load(request));
    MEZZO_TRY(out.config, models::CompleteConfig(part.declared, out.session->facts(), kDefaultMaxBatch));
    out.tested = {.name = part.name,
                  .max_batch_size = out.config.max_batch_size,
                  .inputs = ToTested(out.config.inputs),
                  .outputs = ToTested(out.config.outputs),
                  .memory = out.session->facts().memory_bytes,
                  .load_time = ports_.clock.Now() - start};
    return out;
  }

  void ReadExamples() {
    auto examples = ReadGoldenExamples(task_.examples.empty() ? task_.folder : task_.examples);
    if (examples.ok()) {
      examples_ = std::move(examples).value();
    } else if (!task_.measure_only) {
      (void)Fail(std::string(kGoldenPrefix) + "*", examples.error());
    }
  }

  void WarmUpAll() {
    lines_.Stage(kWarmupCheck);
    Check check{.name = std::string(kWarmupCheck)};
    for (const Loaded& part : parts_) {
      const auto timing = models::WarmUp(*part.session, part.config, kMaxSampleBytes, ports_.clock);
      if (!timing.ok()) {
        (void)Fail(kWarmupCheck, timing.error(), part.tested.name);
        return;
      }
      // The automatic ones leave out what has open dimensions or texts.
      if (!part.config.warmup.empty() || timing->has_value()) continue;
      std::optional<Error> why;
      if (models::RunsOnSample(*part.session, part.config, kMaxSampleBytes, nullptr, &why)) continue;
      if (why && IsAboutMemory(*why)) EndForMemory();
      check.outcome = CheckOutcome::kSkipped;
      check.reason = PartText(part.tested.name) +
                     "it declares no warm-up and does not run on zeros: declare one in model.yaml";
    }
    lines_.Tell(check);
  }

  const Loaded* PartNamed(const std::string& name) const {
    for (const Loaded& part : parts_) {
      if (part.tested.name == name) return &part;
    }
    return nullptr;
  }

  void RunExamples() {
    for (const GoldenExample& example : examples_) {
      const std::string name = std::string(kGoldenPrefix) + example.name;
      lines_.Stage(name);
      const Loaded* const part = PartNamed(example.part);
      if (part == nullptr) {
        (void)Fail(name, InvalidArgument("golden_invalid",
                                         example.part.empty()
                                             ? std::string("it names no part of the pipeline")
                                             : "the version has no part '" + Printable(example.part) + "'"));
        continue;
      }
      lines_.Tell(RunExample(example, *part));
    }
  }

  /// How to run a part for its time: on the first example that it takes, else on a sample of zeros.
  std::function<Result<bool>()> RunnerOf(const Loaded& part, std::optional<BoundExample>& bound) {
    for (const GoldenExample& example : examples_) {
      if (example.part != part.tested.name) continue;
      auto tried = Bind(example, part);
      if (!tried.ok()) continue;
      bound = std::move(tried).value();
      return [&part, &bound]() -> Result<bool> {
        MEZZO_TRY_VOID(part.session->Run(bound->inputs, bound->wanted, nullptr));
        return true;
      };
    }
    return [&part]() -> Result<bool> {
      return models::RunsOnSample(*part.session, part.config, kMaxSampleBytes, nullptr);
    };
  }

  void TimeAll() {
    if (task_.limits.runs == 0) return;
    for (Loaded& part : parts_) {
      const auto timed = Time(part);
      if (!timed.ok()) {
        (void)Fail(kLatencyCheck, timed.error(), part.tested.name);
        return;
      }
      lines_.Write({{"part", internal::ToJson(part.tested)}});
    }
  }

  Result<void> Time(Loaded& part) {
    std::optional<BoundExample> bound;
    const auto run = RunnerOf(part, bound);
    std::vector<Duration> took;
    const TimePoint end = ports_.clock.Now() + task_.limits.run_budget;
    for (std::uint32_t i = 0; i < task_.limits.runs + kUntimedRuns; ++i) {
      lines_.Run(kLatencyCheck, i + 1);
      const TimePoint start = ports_.clock.Now();
      if (took.size() >= kLeastRuns && start >= end) break;
      auto ran = run();
      if (!ran.ok()) {
        return std::move(ran).error().WithContext(fmt::format("timed run {} failed", i + 1));
      }
      if (!*ran) return {};  // It does not take zeros; nothing can be said.
      if (i >= kUntimedRuns) took.push_back(ports_.clock.Now() - start);
    }
    std::sort(took.begin(), took.end());
    part.tested.runs = static_cast<std::uint32_t>(took.size());
    part.tested.p50 = Percentile(took, 0.5);
    part.tested.p99 = Percentile(took, 0.99);
    return {};
  }

  const VersionChildTask& task_;
  const VersionChildPorts& ports_;
  const Lines lines_;
  const PeakMemory peak_;
  bool confined_ = false;
  VersionFolderContent content_;
  std::vector<GoldenExample> examples_;
  std::vector<Loaded> parts_;
};

/// What ONNX Runtime brings along.
bool IsKnownDomain(const std::string& domain) {
  constexpr std::string_view kKnown[] = {"",
                                         "ai.onnx",
                                         "ai.onnx.ml",
                                         "ai.onnx.preview",
                                         "ai.onnx.preview.training",
                                         "com.microsoft",
                                         "com.microsoft.nchwc",
                                         "com.ms.internal.nhwc"};
  return std::find(std::begin(kKnown), std::end(kKnown), domain) != std::end(kKnown);
}

}  // namespace

Check CheckOperators(const std::map<std::string, ModelFileFacts>& by_part) {
  Check check{.name = std::string(kOperatorsCheck)};
  const auto fail = [&check](const std::string& part, const std::string& reason) {
    if (check.outcome == CheckOutcome::kFailed) return;
    check.outcome = CheckOutcome::kFailed;
    check.reason = Printable(PartText(part) + reason, CompatibilityReport::kMaxReason);
  };
  double foreign = 0;
  for (const auto& [part, facts] : by_part) {
    const auto onnx = facts.opsets.find("");
    if (onnx != facts.opsets.end()) {
      check.measured[part.empty() ? "opset" : part + ".opset"] = static_cast<double>(onnx->second);
    }
    if (facts.opsets.empty()) {
      fail(part, "the model imports no operator set (opset_import)");
    }
    for (const auto& [domain, version] : facts.opsets) {
      if (version < 1) fail(part, "operator set '" + domain + "' has the version " + std::to_string(version));
    }
    for (const auto& [domain, operators] : facts.foreign_operators) {
      foreign += static_cast<double>(operators.size());
      const std::string& first = *operators.begin();
      if (!IsKnownDomain(domain)) {
        fail(part,
             fmt::format(
                 "operator '{}' is of the domain '{}', which needs a library of custom operators: none is "
                 "loaded here",
                 first, domain));
      } else if (!facts.opsets.contains(domain)) {
        fail(part, fmt::format("operator '{}' is of the domain '{}', which the model does not import", first,
                               domain));
      }
    }
  }
  check.measured["foreign_operators"] = foreign;
  return check;
}

std::string VersionChildTask::ToJson() const {
  return Dump({{"folder", folder},
               {"examples", examples},
               {"measure_only", measure_only},
               {"memory", limits.memory},
               {"cpu_seconds", limits.cpu_seconds},
               {"threads", limits.threads},
               {"runs", limits.runs},
               {"run_budget_ns", limits.run_budget.count()},
               {"library", library},
               {"model", model}});
}

Result<VersionChildTask> VersionChildTask::FromJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto bad = [] { return InvalidArgument("child_task_invalid", "a version child's task is not one"); };
  if (!json.is_object()) return bad();
  const auto number = [&json](const char* name) -> std::optional<std::uint64_t> {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
    return found->get<std::uint64_t>();
  };
  const auto words = [&json](const char* name) -> std::optional<std::string> {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_string()) return std::nullopt;
    return found->get<std::string>();
  };
  const auto folder = words("folder");
  const auto examples = words("examples");
  const auto library = words("library");
  const auto model = words("model");
  const auto memory = number("memory");
  const auto cpu_seconds = number("cpu_seconds");
  const auto threads = number("threads");
  const auto runs = number("runs");
  const auto budget = number("run_budget_ns");
  const auto measure_only = json.find("measure_only");
  if (!folder || !examples || !library || !model || !memory || !cpu_seconds || !threads || !runs || !budget ||
      measure_only == json.end() || !measure_only->is_boolean()) {
    return bad();
  }
  VersionChildTask task{.folder = *folder, .examples = *examples, .library = *library, .model = *model};
  task.measure_only = measure_only->get<bool>();
  task.limits.memory = *memory;
  task.limits.cpu_seconds = static_cast<unsigned>(*cpu_seconds);
  task.limits.threads = static_cast<int>(*threads);
  task.limits.runs = static_cast<std::uint32_t>(*runs);
  task.limits.run_budget = Duration(static_cast<std::int64_t>(*budget));
  const CompatibilityPlan plan{.folder = task.folder, .against = task.examples, .limits = task.limits};
  MEZZO_TRY_VOID(plan.Validate());
  return task;
}

void RunVersionChild(const VersionChildTask& task, const VersionChildPorts& ports) {
  // Not destroyed, and the process ended at once: what libraries do at the end needs rights that it has given
  // up.
  auto* const child = std::make_unique<Child>(task, ports).release();
  ::_exit(child->Run());
}

void RefuseVersionChild(const Error& error) {
  const Lines lines;
  lines.Write({{"unfit", error.message()}});
  ::_exit(kVersionChildUnfit);
}

}  // namespace mezzo::lifecycle
