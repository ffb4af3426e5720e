#pragma once

#include <memory>
#include <string>

#include "mezzo/drivers/remote/internal/upstream_client.h"
#include "mezzo/engine/engine.h"

namespace mezzo::drivers {

/// A model of a v2 upstream. See engine::Session.
class V2Session final : public engine::Session {
 public:
  /// Asks the upstream for the model's metadata. `declared` (may be empty) says which inputs are optional,
  /// which metadata does not.
  static Result<std::unique_ptr<engine::Session>> Open(std::unique_ptr<UpstreamClient> client,
                                                       const engine::LoadRequest& request);
  V2Session(std::unique_ptr<UpstreamClient> client, std::string path, engine::SessionFacts facts)
      : client_(std::move(client)), path_(std::move(path)), facts_(std::move(facts)) {}

  [[nodiscard]] const engine::SessionFacts& facts() const override { return facts_; }
  Result<std::vector<tensor::Tensor>> Run(std::span<const tensor::Tensor* const> inputs,
                                          std::span<const std::size_t> wanted,
                                          engine::RunControl* control) override;
  [[nodiscard]] std::unique_ptr<engine::RunControl> NewRunControl() override {
    return std::make_unique<RemoteControl>();
  }

 private:
  const std::unique_ptr<UpstreamClient> client_;
  const std::string path_;  ///< "/v2/models/x".
  const engine::SessionFacts facts_;
};

}  // namespace mezzo::drivers
