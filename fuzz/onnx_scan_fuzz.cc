// The scanner of ONNX files reads what tenants upload before anything else does.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "mezzo/base/check.h"
#include "mezzo/drivers/onnxruntime/model_scan.h"

namespace {

class FuzzedBytes final : public mezzo::drivers::ByteSource {
 public:
  explicit FuzzedBytes(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }
  mezzo::Result<void> Read(std::uint64_t offset, std::span<std::byte> out) override {
    MEZZO_CHECK(offset <= bytes_.size() && out.size() <= bytes_.size() - offset);
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedBytes source(std::span(data, size));
  const auto scan = mezzo::drivers::ScanModel(source);
  if (!scan.ok()) {
    MEZZO_CHECK(scan.error().reason() == "model_invalid" && !scan.error().message().empty());
    return 0;
  }
  // Whatever is accepted must be safe to open below the model's folder.
  for (const auto& file : scan->external) MEZZO_CHECK(mezzo::drivers::LocationFault(file.location).empty());
  MEZZO_CHECK(scan->inline_tensor_bytes <= size);
  return 0;
}
