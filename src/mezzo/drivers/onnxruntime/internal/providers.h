#pragma once

#include <onnxruntime_c_api.h>

#include <span>
#include <string>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/drivers/onnxruntime/internal/runtime.h"
#include "mezzo/engine/engine.h"

namespace mezzo::drivers {

/// The provider that was taken, and why not those asked for before it.
struct ChosenProvider {
  std::string name;     ///< "cpu", "openvino".
  std::string skipped;  ///< "cuda: not in this build …; tensorrt: …", or empty.
};

/// Adds the first of `wanted` that this host has to `options`. Empty means "cpu".
/// Errors: kUnavailable "provider_missing" with what is missing and what this host has; kInvalidArgument
/// "provider_option" for an option that a model may not give.
Result<ChosenProvider> AppendProvider(OnnxRuntime& runtime, OrtSessionOptions* options,
                                      std::span<const engine::ProviderChoice> wanted);

/// Where the nodes of a model run. Both zero for the CPU, where there is nothing to choose.
struct NodeShare {
  std::size_t on_provider = 0;
  std::size_t elsewhere = 0;  ///< On the CPU, because the provider does not take them.
};
/// For a session whose options went through AppendProvider().
Result<NodeShare> CountNodes(const OnnxRuntime& runtime, const OrtSession* session,
                             const std::string& provider);

/// The names that AppendProvider would take here, best first; "cpu" is the last.
std::vector<std::string> UsableProviders(OnnxRuntime& runtime);

/// Why a model may not give this option to `provider`, or empty. Models come from tenants: an option that
/// names a file, a folder or a library reaches outside the model's own folder, so only the operator gives
/// those.
std::string OptionFault(const std::string& provider, const std::string& key);

}  // namespace mezzo::drivers
