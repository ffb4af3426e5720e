#include "mezzo/drivers/onnxruntime/internal/providers.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/onnxruntime/internal/ort_error.h"

namespace mezzo::drivers {
namespace {

constexpr std::string_view kCpu = "cpu";

/// Names that configuration uses, and what the library calls them when it is built with them.
struct KnownProvider {
  std::string_view name;
  std::string_view library_name;
};
constexpr std::array<KnownProvider, 8> kKnown = {{
    {"tensorrt", "TensorrtExecutionProvider"},
    {"cuda", "CUDAExecutionProvider"},
    {"migraphx", "MIGraphXExecutionProvider"},
    {"openvino", "OpenVINOExecutionProvider"},
    {"dnnl", "DnnlExecutionProvider"},
    {"xnnpack", "XnnpackExecutionProvider"},
    {"qnn", "QNNExecutionProvider"},
    {kCpu, "CPUExecutionProvider"},
}};

/// Session options that change how a model is computed on the CPU, and nothing else. Threads, files and logs
/// are not a model's business.
constexpr std::array<std::string_view, 14> kCpuOptions = {
    "session.disable_prepacking",
    "session.disable_quant_qdq",
    "session.disable_double_qdq_remover",
    "session.disable_qdq_constant_folding",
    "session.disable_aot_function_inlining",
    "session.enable_quant_qdq_cleanup",
    "session.enable_dq_matmulnbits_fusion",
    "session.qdqisint8allowed",
    "session.qdq_matmulnbits_accuracy_level",
    "session.qdq_matmulnbits_block_size",
    "session.x64quantprecision",
    "session.use_deterministic_compute",
    "session.dynamic_block_base",
    "session.enable_mem_pattern",
};

/// Parts of the names of options that name files, folders or libraries, or that write them.
constexpr std::array<std::string_view, 9> kFileWords = {"path", "dir",   "file",        "lib",   "plugin",
                                                        "dump", "cache", "load_config", "profil"};

struct OptionArrays {
  std::vector<const char*> keys;
  std::vector<const char*> values;
  void Add(const std::vector<std::pair<std::string, std::string>>& options) {
    for (const auto& [key, value] : options) {
      keys.push_back(key.c_str());
      values.push_back(value.c_str());
    }
  }
};

/// The operator's options, then the model's own.
OptionArrays Merge(const OnnxRuntime& runtime, const engine::ProviderChoice& choice) {
  OptionArrays merged;
  for (const engine::ProviderChoice& defaults : runtime.options().provider_defaults) {
    if (defaults.name == choice.name) merged.Add(defaults.options);
  }
  merged.Add(choice.options);
  return merged;
}

bool Has(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const KnownProvider* Find(std::string_view name) {
  const auto* const found =
      std::find_if(kKnown.begin(), kKnown.end(), [name](const KnownProvider& it) { return it.name == name; });
  return found == kKnown.end() ? nullptr : found;
}

/// The devices of one kind: "device" = "gpu" among the options, or the first that the plug-in lists.
std::vector<const OrtEpDevice*> OneKind(const OrtApi& ort, const std::vector<const OrtEpDevice*>& devices,
                                        std::string_view kind) {
  const auto type = [&ort](const OrtEpDevice* it) {
    return ort.HardwareDevice_Type(ort.EpDevice_Device(it));
  };
  OrtHardwareDeviceType wanted = type(devices.front());
  if (kind == "cpu") wanted = OrtHardwareDeviceType_CPU;
  if (kind == "gpu") wanted = OrtHardwareDeviceType_GPU;
  if (kind == "npu") wanted = OrtHardwareDeviceType_NPU;
  std::vector<const OrtEpDevice*> kept;
  for (const OrtEpDevice* device : devices) {
    if (type(device) == wanted && kept.empty()) kept.push_back(device);
  }
  return kept;
}

/// Takes "device" out of the options: it chooses a device and is not for the provider.
std::string TakeDeviceKind(OptionArrays& options) {
  std::string kind;
  for (std::size_t i = 0; i < options.keys.size();) {
    if (std::string_view(options.keys[i]) != "device") {
      ++i;
      continue;
    }
    kind = ToLower(options.values[i]);
    options.keys.erase(options.keys.begin() + static_cast<std::ptrdiff_t>(i));
    options.values.erase(options.values.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return kind;
}

/// Empty when the provider was added, else why it can't be.
std::string TryAppend(OnnxRuntime& runtime, OrtSessionOptions* session_options,
                      const engine::ProviderChoice& choice) {
  const OrtApi& ort = runtime.api();
  OptionArrays options = Merge(runtime, choice);
  if (choice.name == kCpu) {
    for (std::size_t i = 0; i < options.keys.size(); ++i) {
      const auto added =
          OrtResult(ort, ort.AddSessionConfigEntry(session_options, options.keys[i], options.values[i]));
      if (!added.ok()) return added.error().message();
    }
    return "";
  }

  std::string why;
  if (const auto devices = runtime.PluginDevices(choice.name, why); !devices.empty()) {
    const std::string kind = TakeDeviceKind(options);
    const auto chosen = OneKind(ort, devices, kind);
    if (chosen.empty()) return "it has no " + kind + " device on this host";
    const auto added = OrtResult(ort, ort.SessionOptionsAppendExecutionProvider_V2(
                                          session_options, runtime.env(), chosen.data(), chosen.size(),
                                          options.keys.data(), options.values.data(), options.keys.size()));
    return added.ok() ? "" : added.error().message();
  }

  const KnownProvider* const known = Find(choice.name);
  if (known == nullptr || !Has(runtime.built_in(), known->library_name)) {
    return "not in this build of ONNX Runtime, and " + why;
  }
  const auto added = OrtResult(ort, ort.SessionOptionsAppendExecutionProvider(
                                        session_options, std::string(known->library_name).c_str(),
                                        options.keys.data(), options.values.data(), options.keys.size()));
  return added.ok() ? "" : added.error().message();
}

}  // namespace

std::string OptionFault(const std::string& provider, const std::string& key) {
  if (provider == kCpu) {
    if (std::find(kCpuOptions.begin(), kCpuOptions.end(), key) != kCpuOptions.end()) return "";
    if (key.starts_with("optimization.") || key.starts_with("mlas.")) return "";
    std::vector<std::string> names(kCpuOptions.begin(), kCpuOptions.end());
    const auto near = NearestName(key, names);
    return "is not an option of the cpu provider that a model may set" +
           (near ? " (did you mean '" + *near + "'?)" : "");
  }
  const std::string lower = ToLower(key);
  for (const std::string_view word : kFileWords) {
    if (lower.find(word) != std::string::npos) {
      return "may name files, so only the server's configuration may set it";
    }
  }
  return "";
}

Result<ChosenProvider> AppendProvider(OnnxRuntime& runtime, OrtSessionOptions* options,
                                      std::span<const engine::ProviderChoice> wanted) {
  const std::vector<engine::ProviderChoice> cpu_only = {{.name = std::string(kCpu), .options = {}}};
  if (wanted.empty()) wanted = cpu_only;
  ChosenProvider chosen;
  for (const engine::ProviderChoice& choice : wanted) {
    for (const auto& [key, value] : choice.options) {
      const std::string fault = OptionFault(choice.name, key);
      if (fault.empty()) continue;
      return InvalidArgument("provider_option", "option '" + Printable(key) + "' of execution provider '" +
                                                    Printable(choice.name) + "' " + fault);
    }
    const std::string why = TryAppend(runtime, options, choice);
    if (why.empty()) {
      chosen.name = choice.name;
      if (chosen.name != kCpu) {
        const OrtApi& ort = runtime.api();
        MEZZO_ORT_TRY(ort,
                      ort.AddSessionConfigEntry(options, "session.record_ep_graph_assignment_info", "1"));
      }
      return chosen;
    }
    if (!chosen.skipped.empty()) chosen.skipped += "; ";
    chosen.skipped += Printable(choice.name) + ": " + why;
  }
  std::string usable;
  for (const std::string& name : UsableProviders(runtime)) usable += (usable.empty() ? "" : ", ") + name;
  return Unavailable("provider_missing", "none of the execution providers asked for is on this host (" +
                                             chosen.skipped + "); this host has: " + usable);
}

Result<NodeShare> CountNodes(const OnnxRuntime& runtime, const OrtSession* session,
                             const std::string& provider) {
  NodeShare share;
  if (provider == kCpu) return share;
  const OrtApi& ort = runtime.api();
  const OrtEpAssignedSubgraph* const* parts = nullptr;
  std::size_t count = 0;
  MEZZO_ORT_TRY(ort, ort.Session_GetEpGraphAssignmentInfo(session, &parts, &count));
  for (const OrtEpAssignedSubgraph* part : std::span(parts, count)) {
    const char* name = nullptr;
    const OrtEpAssignedNode* const* nodes = nullptr;
    std::size_t node_count = 0;
    MEZZO_ORT_TRY(ort, ort.EpAssignedSubgraph_GetEpName(part, &name));
    MEZZO_ORT_TRY(ort, ort.EpAssignedSubgraph_GetNodes(part, &nodes, &node_count));
    (ToLower(name).starts_with(provider) ? share.on_provider : share.elsewhere) += node_count;
  }
  return share;
}

std::vector<std::string> UsableProviders(OnnxRuntime& runtime) {
  std::vector<std::string> usable;
  std::vector<std::string> plugins;
  for (const auto& [name, library] : runtime.options().provider_libraries) {
    std::string why;
    if (!runtime.PluginDevices(name, why).empty()) plugins.push_back(name);
  }
  for (const KnownProvider& known : kKnown) {
    const auto plugin = std::find(plugins.begin(), plugins.end(), known.name);
    if (plugin != plugins.end())
      plugins.erase(plugin);
    else if (!Has(runtime.built_in(), known.library_name))
      continue;
    usable.emplace_back(known.name);
  }
  usable.insert(usable.begin(), plugins.begin(), plugins.end());
  return usable;
}

}  // namespace mezzo::drivers
