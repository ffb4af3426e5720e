#include "mezzo/engine/platform_engine.h"

#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"

namespace mezzo::engine {

PlatformEngine::PlatformEngine(std::vector<std::reference_wrapper<Engine>> engines)
    : engines_(std::move(engines)) {
  MEZZO_CHECK(!engines_.empty());
}

Result<std::unique_ptr<Session>> PlatformEngine::Load(const LoadRequest& request) {
  if (request.platform.empty()) return engines_.front().get().Load(request);
  std::string names;
  for (Engine& engine : engines_) {
    if (engine.platform() == request.platform) return engine.Load(request);
    names += (names.empty() ? "'" : ", '") + engine.platform() + "'";
  }
  return Unimplemented("platform_missing", "this server has no engine for the platform '" +
                                               Printable(request.platform) + "'; it has " + names);
}

std::string PlatformEngine::platform() const { return engines_.front().get().platform(); }
std::vector<std::string> PlatformEngine::providers() const { return engines_.front().get().providers(); }

}  // namespace mezzo::engine
