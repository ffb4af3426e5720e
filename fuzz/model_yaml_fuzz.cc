// model.yaml: whatever is accepted keeps to the limits of a configuration and can be shown.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mezzo/models/config_json.h"
#include "mezzo/models/declared_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto declared = mezzo::models::ParseModelYaml(text, "model.yaml");
  if (!declared.ok()) {
    if (declared.error().message().empty()) std::abort();
    return 0;
  }
  if (!mezzo::models::CheckConfig(declared->config, "model.yaml").ok()) std::abort();
  if (mezzo::models::ConfigToJson(declared->config).empty()) std::abort();
  return 0;
}
