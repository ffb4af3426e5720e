// Answers as hosts share them: whatever is decoded is whole, and encodes to the same bytes.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/inference/answer_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mezzo;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto answer = inference::DecodeAnswer(bytes, Duration());
  if (answer == nullptr) return 0;
  for (const auto& output : answer->outputs()) {
    MEZZO_CHECK(tensor::CheckTensor(output.name, output.tensor).ok());
  }
  MEZZO_CHECK(inference::EncodeAnswer(*answer) == bytes);
  return 0;
}
