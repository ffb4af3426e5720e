// Golden examples come with uploaded versions; the report of a test comes from a process that ran one.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/lifecycle/compatibility.h"
#include "mezzo/lifecycle/golden_example.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mezzo;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto no_file = [](const std::string&) -> Result<std::string> {
    return std::string("\x01\x02\x03\x04", 4);
  };
  const auto example = lifecycle::ParseGoldenExample("fuzz", text, no_file);
  if (example.ok()) {
    for (const auto& input : example->inputs) MEZZO_CHECK(tensor::CheckTensor(input.name, input.tensor).ok());
    for (const auto& output : example->outputs) {
      // What equals itself is near by every rule that suits it, except where a NaN has no cosine.
      const auto self = lifecycle::Compare({}, output.tensor, output.tensor);
      MEZZO_CHECK(self.near);
      (void)lifecycle::Compare(output.rule, output.tensor, output.tensor);
    }
  } else {
    MEZZO_CHECK(example.error().reason() == "golden_invalid");
  }
  const auto report = lifecycle::CompatibilityReport::FromJson(text);
  if (report.ok()) {
    const auto again = lifecycle::CompatibilityReport::FromJson(report->ToJson());
    MEZZO_CHECK(again.ok() && *again == *report);
  }
  return 0;
}
