#include "mezzo/drivers/onnxruntime/onnx_engine.h"

#include <malloc.h>

#include <algorithm>
#include <tuple>

#include "mezzo/base/mutex.h"
#include "mezzo/base/strings.h"
#include "mezzo/drivers/onnxruntime/internal/model_files.h"
#include "mezzo/drivers/onnxruntime/internal/ort_error.h"
#include "mezzo/drivers/onnxruntime/internal/providers.h"
#include "mezzo/drivers/onnxruntime/internal/runtime.h"
#include "mezzo/drivers/onnxruntime/internal/session.h"

namespace mezzo::drivers {
namespace {

using engine::LoadRequest;

/// What a session takes beside its tensors, for which there is no measurement when loads overlap: graph,
/// kernels and plans, several times the size of their description in the file.
constexpr ByteCount kStructureBase = ByteCount{128} << 10U;
constexpr ByteCount kStructureFactor = 6;

/// Finds what a load took. Tensors that the library repacks go through SessionAllocator and are counted
/// exactly; those it keeps as they are, and its structures, are in malloc, whose growth is measured. Other
/// threads blur that growth, so it only counts between what the model must at least take and what it can take
/// at most; and when loads or unloads overlap, not at all.
class LoadMeasurement {
 public:
  explicit LoadMeasurement(OnnxRuntime& runtime)
      : change_(runtime.memory_changes), malloc_before_(MallocBytes()) {}

  [[nodiscard]] ByteCount Taken(const ModelFiles& files, const MemoryAccount& account) const {
    const ModelScan& scan = files.scan();
    const ByteCount tensors = scan.inline_tensor_bytes + scan.external_tensor_bytes;
    const ByteCount description = files.model_size() - std::min(files.model_size(), scan.inline_tensor_bytes);
    const ByteCount structures = kStructureBase + kStructureFactor * description;
    const ByteCount now = MallocBytes();
    // Another malloc than the C library's (a sanitizer's) tells nothing.
    if (!change_.alone() || now == 0) {
      // A repacked tensor replaces the original and is about as large.
      return std::max(account.mapped() + account.malloced(), tensors) + structures;
    }
    const ByteCount grown = now > malloc_before_ ? now - malloc_before_ : 0;
    // Tensors in external files may stay there, mapped: neither counted nor in malloc, but in memory.
    const ByteCount least = std::max(account.mapped() + account.malloced(), scan.external_tensor_bytes);
    return std::clamp(account.mapped() + grown, least, least + tensors + structures);
  }

 private:
  static ByteCount MallocBytes() {
    // The C library sets its malloc up at this call if another one is in use, and not under a lock.
    static Mutex one_at_a_time;
    const MutexLock lock(one_at_a_time);
    const struct ::mallinfo2 now = ::mallinfo2();
    return now.uordblks + now.hblkhd;
  }

  const MemoryChanges::Scope change_;
  const ByteCount malloc_before_;
};

using OptionsGuard = std::unique_ptr<OrtSessionOptions, std::function<void(OrtSessionOptions*)>>;

Result<OptionsGuard> BaseOptions(const OnnxRuntime& runtime, const LoadRequest& request,
                                 const ModelScan& scan) {
  const OrtApi& ort = runtime.api();
  OrtSessionOptions* made = nullptr;
  MEZZO_ORT_TRY(ort, ort.CreateSessionOptions(&made));
  OptionsGuard options(made, [&ort](OrtSessionOptions* it) { ort.ReleaseSessionOptions(it); });
  MEZZO_ORT_TRY(ort, ort.DisablePerSessionThreads(made));
  // Its arena keeps what the largest run needed for ever, per session. SessionAllocator replaces it.
  MEZZO_ORT_TRY(ort, ort.DisableCpuMemArena(made));
  // It remembers a plan for each combination of shapes that ever came, without bound.
  MEZZO_ORT_TRY(ort, ort.DisableMemPattern(made));
  const auto set = [&](const char* key, const char* value) {
    return OrtResult(ort, ort.AddSessionConfigEntry(made, key, value));
  };
  MEZZO_TRY_VOID(set("session.use_env_allocators", "1"));
  // The file is what ModelFiles read, whatever it is called: the library's other format is not scanned.
  MEZZO_TRY_VOID(set("session.load_model_format", "ONNX"));
  if (runtime.options().denormal_as_zero) MEZZO_TRY_VOID(set("session.set_denormal_as_zero", "1"));
  const GraphOptimizationLevel level = request.optimization_level <= 0   ? ORT_ENABLE_BASIC
                                       : request.optimization_level == 1 ? ORT_ENABLE_EXTENDED
                                                                         : ORT_ENABLE_ALL;
  MEZZO_ORT_TRY(ort, ort.SetSessionGraphOptimizationLevel(made, level));
  for (const auto& [name, dim] : request.fixed_dims) {
    if (dim < 1) {
      return InvalidArgument("model_invalid", "dimension '" + Printable(name) + "' is fixed to " +
                                                  std::to_string(dim) + "; it must be 1 or more");
    }
    // The library would ignore it.
    if (!scan.dim_symbols.contains(name)) {
      const std::vector<std::string> symbols(scan.dim_symbols.begin(), scan.dim_symbols.end());
      const auto near = NearestName(name, symbols);
      return InvalidArgument("model_invalid", "dimension '" + Printable(name) +
                                                  "' is fixed, but no input has it" +
                                                  (near ? "; did you mean '" + Printable(*near) + "'?" : ""));
    }
    MEZZO_ORT_TRY(ort, ort.AddFreeDimensionOverrideByName(made, name.c_str(), dim));
  }
  return options;
}

}  // namespace

bool operator==(const OnnxEngine::Options& a, const OnnxEngine::Options& b) {
  const auto same_choice = [](const engine::ProviderChoice& x, const engine::ProviderChoice& y) {
    return x.name == y.name && x.options == y.options;
  };
  return std::tie(a.library, a.intra_op_threads, a.spinning, a.denormal_as_zero, a.max_cached_bytes,
                  a.max_run_bytes, a.malloc_map_threshold, a.provider_libraries) ==
             std::tie(b.library, b.intra_op_threads, b.spinning, b.denormal_as_zero, b.max_cached_bytes,
                      b.max_run_bytes, b.malloc_map_threshold, b.provider_libraries) &&
         std::equal(a.provider_defaults.begin(), a.provider_defaults.end(), b.provider_defaults.begin(),
                    b.provider_defaults.end(), same_choice);
}

OnnxEngine::OnnxEngine(Options options, observe::Logger* log) : options_(std::move(options)), log_(log) {}
OnnxEngine::~OnnxEngine() = default;

Result<std::shared_ptr<OnnxRuntime>> OnnxEngine::Runtime() const {
  const MutexLock lock(mu_);
  if (!runtime_) {
    MEZZO_TRY(runtime_, OnnxRuntime::Acquire(options_, log_));
  }
  return runtime_;
}

Result<std::unique_ptr<engine::Session>> OnnxEngine::Load(const LoadRequest& request) {
  const bool own = !options_.linked_root.empty() &&
                   request.model_path.starts_with(options_.linked_root + "/") &&
                   request.model_path.find("/../") == std::string::npos;
  MEZZO_TRY(const ModelFiles files,
            ModelFiles::Open(request.model_path, own ? SecondNames::kAllowed : SecondNames::kRefused));
  MEZZO_TRY(std::shared_ptr<OnnxRuntime> runtime, Runtime());
  const OrtApi& ort = runtime->api();
  MEZZO_TRY(const OptionsGuard options, BaseOptions(*runtime, request, files.scan()));
  MEZZO_TRY(const ChosenProvider provider, AppendProvider(*runtime, options.get(), request.providers));

  auto loaded = std::make_unique<LoadedSession>(runtime);
  engine::SessionFacts facts;
  {
    const LoadMeasurement measurement(*runtime);
    const SessionAllocator::LoadScope scope(loaded->account);
    OrtStatus* const status =
        ort.CreateSession(runtime->env(), request.model_path.c_str(), options.get(), &loaded->ort);
    if (status != nullptr) {
      const std::size_t slash = request.model_path.rfind('/');
      const std::string folder = slash == std::string::npos ? "" : request.model_path.substr(0, slash);
      const std::string hidden[] = {request.model_path, folder};
      return LoadError(ort, status, hidden);
    }
    facts.memory_bytes = measurement.Taken(files, loaded->account);
  }
  MEZZO_TRY_VOID(files.Unchanged());
  MEZZO_TRY(const NodeShare nodes, CountNodes(*runtime, loaded->ort, provider.name));
  if (nodes.on_provider == 0 && nodes.elsewhere > 0) {
    // The library would compute everything on the CPU without a word.
    return Unavailable("provider_missing", "execution provider '" + provider.name +
                                               "' takes none of the model's " +
                                               std::to_string(nodes.elsewhere) + " nodes");
  }
  const ByteCount memory = facts.memory_bytes;
  MEZZO_TRY(facts, ReadFacts(*runtime, loaded->ort));
  facts.memory_bytes = memory;
  facts.has_loops = files.scan().has_loops;
  facts.provider = provider.name;
  if (log_ != nullptr) {
    log_->Info("model session created", {{"provider", provider.name},
                                         {"providers_skipped", provider.skipped},
                                         {"nodes_on_provider", nodes.on_provider},
                                         {"nodes_elsewhere", nodes.elsewhere},
                                         {"memory_bytes", facts.memory_bytes},
                                         {"engine", "onnxruntime " + runtime->version()}});
  }
  return std::unique_ptr<engine::Session>(std::make_unique<OnnxSession>(std::move(loaded), std::move(facts)));
}

std::vector<std::string> OnnxEngine::providers() const {
  const auto runtime = Runtime();
  return runtime.ok() ? UsableProviders(**runtime) : std::vector<std::string>{};
}

std::string OnnxEngine::version() const {
  const auto runtime = Runtime();
  return runtime.ok() ? (*runtime)->version() : "";
}

OnnxEngine::Counts OnnxEngine::counts() const {
  const MutexLock lock(mu_);
  if (!runtime_) return {};
  return {.runs = runtime_->runs.load(),
          .misaligned_inputs = runtime_->misaligned_inputs.load(),
          .sessions = runtime_->sessions.load(),
          .session_bytes = runtime_->session_bytes.load(),
          .cached_bytes = runtime_->allocator().cached_bytes(),
          .run_bytes = runtime_->allocator().run_bytes()};
}

}  // namespace mezzo::drivers
