// config.pbtxt and its JSON form: whatever is accepted can be shown, read again, and checked against a model.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mezzo/models/completion.h"
#include "mezzo/models/config_json.h"
#include "mezzo/models/declared_config.h"

namespace {

using mezzo::models::DeclaredConfig;

mezzo::engine::SessionFacts SomeModel() {
  mezzo::engine::TensorSpec spec;
  spec.name = "x";
  spec.shape = {-1, 4};
  mezzo::engine::SessionFacts facts;
  facts.inputs = {spec};
  spec.name = "y";
  facts.outputs = {spec};
  return facts;
}

void Use(const mezzo::Result<DeclaredConfig>& declared) {
  if (!declared.ok()) {
    if (declared.error().message().empty()) std::abort();
    return;
  }
  static const mezzo::engine::SessionFacts model = SomeModel();
  const auto completed = mezzo::models::CompleteConfig(*declared, model, 32);
  if (!completed.ok()) return;
  const std::string json = mezzo::models::ConfigToJson(*completed);
  const auto again = mezzo::models::ParseConfigJson(json, "config");
  if (!again.ok() || mezzo::models::ConfigToJson(again->config) != json) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Use(mezzo::models::ParseConfigPbtxt(text, "config.pbtxt"));
  Use(mezzo::models::ParseConfigJson(text, "config"));
  return 0;
}
