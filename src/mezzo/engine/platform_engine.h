#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mezzo/engine/engine.h"

namespace mezzo::engine {

/// Several engines as one: a load goes to the engine whose platform it names. Thread-safe.
class PlatformEngine final : public Engine {
 public:
  /// At least one; the first takes loads that name no platform. All outlive this one.
  explicit PlatformEngine(std::vector<std::reference_wrapper<Engine>> engines);

  /// Errors beside those of the engines: kUnimplemented "platform_missing", naming the platforms there are.
  Result<std::unique_ptr<Session>> Load(const LoadRequest& request) override;
  /// The first engine's.
  [[nodiscard]] std::string platform() const override;
  [[nodiscard]] std::vector<std::string> providers() const override;

 private:
  const std::vector<std::reference_wrapper<Engine>> engines_;
};

}  // namespace mezzo::engine
