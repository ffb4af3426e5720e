#include "mezzo/drivers/onnxruntime/internal/runtime.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>  // setenv() is POSIX's.
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/onnxruntime/internal/ort_error.h"

namespace mezzo::drivers {
namespace {

// The library has one environment per process, whatever is asked of it, so this has too. Weak: nothing here
// lives longer than what uses it.
Mutex instance_mu;
std::weak_ptr<OnnxRuntime>& Instance() REQUIRES(instance_mu) {
  static std::weak_ptr<OnnxRuntime> instance;
  return instance;
}

observe::LogLevel LevelOf(OrtLoggingLevel severity) {
  switch (severity) {
    case ORT_LOGGING_LEVEL_VERBOSE:
      return observe::LogLevel::kDebug;
    case ORT_LOGGING_LEVEL_INFO:
      return observe::LogLevel::kInfo;
    case ORT_LOGGING_LEVEL_WARNING:
      return observe::LogLevel::kWarn;
    default:
      return observe::LogLevel::kError;
  }
}

ByteCount HalfOfHost() {
  return static_cast<ByteCount>(::sysconf(_SC_PHYS_PAGES)) * static_cast<ByteCount>(::sysconf(_SC_PAGESIZE)) /
         2;
}

}  // namespace

Result<std::shared_ptr<OnnxRuntime>> OnnxRuntime::Acquire(const OnnxEngine::Options& options,
                                                          observe::Logger* log) {
  const MutexLock lock(instance_mu);
  if (auto alive = Instance().lock()) {
    if (!(alive->options() == options) || alive->log() != log) {
      return Error(Code::kFailedPrecondition, "engine_options_differ",
                   "ONNX Runtime has one environment per process and is in use with other options");
    }
    return alive;
  }
  std::shared_ptr<OnnxRuntime> made(new OnnxRuntime(options, log));
  MEZZO_TRY_VOID(made->Open());
  MEZZO_TRY_VOID(made->MakeEnvironment());
  Instance() = made;
  return made;
}

OnnxRuntime::OnnxRuntime(OnnxEngine::Options options, observe::Logger* log)
    : options_(std::move(options)), log_(log) {}

OnnxRuntime::~OnnxRuntime() {
  if (api_ == nullptr) return;
  if (env_ != nullptr) {
    if (allocator_) {
      if (OrtStatus* status = api_->UnregisterAllocator(env_, cpu_memory_)) api_->ReleaseStatus(status);
    }
    api_->ReleaseEnv(env_);
  }
  if (cpu_memory_ != nullptr) api_->ReleaseMemoryInfo(cpu_memory_);
}

Result<void> OnnxRuntime::Open() {
  const std::string library = options_.library.empty() ? "libonnxruntime.so.1" : options_.library;
  // As it is loaded, the library would write an id of this host below $HOME and send events to its maker.
  ::setenv("ORT_DISABLE_TELEMETRY", "1", /*overwrite=*/1);
  void* const handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const why = ::dlerror();
    return Unavailable("engine_missing",
                       "ONNX Runtime can't be opened: " + CleanOrtMessage(why == nullptr ? "" : why));
  }
  using GetApiBase = const OrtApiBase* (*)();
  const auto get_base = reinterpret_cast<GetApiBase>(::dlsym(handle, "OrtGetApiBase"));
  if (get_base == nullptr) {
    return Unavailable("engine_missing", "'" + CleanOrtMessage(library) + "' is not ONNX Runtime");
  }
  version_ = get_base()->GetVersionString();
  api_ = get_base()->GetApi(ORT_API_VERSION);
  if (api_ == nullptr) {
    return Unavailable("engine_missing", "ONNX Runtime " + version_ +
                                             " is too old: this program needs API version " +
                                             std::to_string(ORT_API_VERSION));
  }
  if (options_.malloc_map_threshold != 0) {
    ::mallopt(M_MMAP_THRESHOLD,
              static_cast<int>(std::min<ByteCount>(options_.malloc_map_threshold, 32U << 20U)));
  }
  return {};
}

Result<void> OnnxRuntime::MakeEnvironment() {
  const OrtApi& ort = *api_;
  OrtThreadingOptions* threads = nullptr;
  MEZZO_ORT_TRY(ort, ort.CreateThreadingOptions(&threads));
  const auto release = [&ort](OrtThreadingOptions* it) { ort.ReleaseThreadingOptions(it); };
  const std::unique_ptr<OrtThreadingOptions, decltype(release)> guard(threads, release);
  MEZZO_ORT_TRY(ort, ort.SetGlobalIntraOpNumThreads(threads, options_.intra_op_threads));
  // Operators of one model run one after the other: requests are what is run side by side.
  MEZZO_ORT_TRY(ort, ort.SetGlobalInterOpNumThreads(threads, 1));
  MEZZO_ORT_TRY(ort, ort.SetGlobalSpinControl(threads, options_.spinning ? 1 : 0));
  if (options_.denormal_as_zero) MEZZO_ORT_TRY(ort, ort.SetGlobalDenormalAsZero(threads));
  MEZZO_ORT_TRY(ort, ort.CreateEnvWithCustomLoggerAndGlobalThreadPools(
                         &OnnxRuntime::Log, this, ORT_LOGGING_LEVEL_WARNING, "mezzo", threads, &env_));
  MEZZO_ORT_TRY(ort, ort.CreateMemoryInfo("Cpu", OrtDeviceAllocator, 0, OrtMemTypeDefault, &cpu_memory_));
  auto allocator =
      std::make_unique<SessionAllocator>(cpu_memory_, options_.max_cached_bytes,
                                         options_.max_run_bytes == 0 ? HalfOfHost() : options_.max_run_bytes);
  MEZZO_ORT_TRY(ort, ort.RegisterAllocator(env_, allocator->ort()));
  allocator_ = std::move(allocator);

  char** names = nullptr;
  int count = 0;
  MEZZO_ORT_TRY(ort, ort.GetAvailableProviders(&names, &count));
  built_in_.assign(names, names + count);
  return OrtResult(ort, ort.ReleaseAvailableProviders(names, count));
}

std::vector<const OrtEpDevice*> OnnxRuntime::PluginDevices(const std::string& provider, std::string& why) {
  const OrtApi& ort = *api_;
  const MutexLock lock(mu_);
  const auto library = std::find_if(options_.provider_libraries.begin(), options_.provider_libraries.end(),
                                    [&provider](const auto& entry) { return entry.first == provider; });
  if (library == options_.provider_libraries.end()) {
    why = "no plug-in library is configured for it";
    return {};
  }
  auto tried = std::find_if(registered_.begin(), registered_.end(),
                            [&provider](const auto& entry) { return entry.first == provider; });
  if (tried == registered_.end()) {
    const auto done =
        OrtResult(ort, ort.RegisterExecutionProviderLibrary(env_, provider.c_str(), library->second.c_str()));
    registered_.emplace_back(provider, done.ok() ? "" : done.error().message());
    tried = registered_.end() - 1;
  }
  why = tried->second;
  if (!why.empty()) return {};

  const OrtEpDevice* const* devices = nullptr;
  std::size_t count = 0;
  if (const auto listed = OrtResult(ort, ort.GetEpDevices(env_, &devices, &count)); !listed.ok()) {
    why = listed.error().message();
    return {};
  }
  std::vector<const OrtEpDevice*> found;
  for (const OrtEpDevice* device : std::span(devices, count)) {
    // "OpenVINOExecutionProvider", or with a suffix for the device, "OpenVINOExecutionProvider.GPU".
    if (ToLower(ort.EpDevice_EpName(device)).starts_with(provider)) found.push_back(device);
  }
  if (found.empty()) why = "its plug-in library finds no device on this host";
  return found;
}

void ORT_API_CALL OnnxRuntime::Log(void* self, OrtLoggingLevel severity, const char* category,
                                   const char* /*id*/, const char* where, const char* message) {
  observe::Logger* const log = static_cast<OnnxRuntime*>(self)->log_;
  if (log == nullptr || !log->enabled(LevelOf(severity))) return;
  log->Log(LevelOf(severity), "onnxruntime",
           {{"category", category}, {"where", CleanOrtMessage(where)}, {"text", CleanOrtMessage(message)}});
}

}  // namespace mezzo::drivers
