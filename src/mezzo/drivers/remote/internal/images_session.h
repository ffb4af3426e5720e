#pragma once

#include <memory>
#include <string>

#include "mezzo/drivers/remote/internal/upstream_client.h"
#include "mezzo/engine/engine.h"

namespace mezzo::drivers {

/// A model that makes pictures behind POST /v1/images/generations, as OpenAI's API describes it. Inputs:
/// "prompt" BYTES [1], and optional "size" ("1024x1024"), "quality", "background" and "output_format" BYTES
/// [1], "n" INT32 [1]. Output: "images" BYTES [-1], the encoded pictures as they come. See engine::Session.
///
/// A request whose fate is unknown is not repeated: pictures cost money.
class ImagesSession final : public engine::Session {
 public:
  /// `model` is its name at the upstream.
  ImagesSession(std::unique_ptr<UpstreamClient> client, std::string model);

  [[nodiscard]] const engine::SessionFacts& facts() const override { return facts_; }
  Result<std::vector<tensor::Tensor>> Run(std::span<const tensor::Tensor* const> inputs,
                                          std::span<const std::size_t> wanted,
                                          engine::RunControl* control) override;
  [[nodiscard]] std::unique_ptr<engine::RunControl> NewRunControl() override {
    return std::make_unique<RemoteControl>();
  }

 private:
  [[nodiscard]] Result<std::string> Body(std::span<const tensor::Tensor* const> inputs) const;
  [[nodiscard]] Result<tensor::Tensor> Pictures(const std::string& body) const;

  const std::unique_ptr<UpstreamClient> client_;
  const std::string model_;
  const engine::SessionFacts facts_;
};

}  // namespace mezzo::drivers
