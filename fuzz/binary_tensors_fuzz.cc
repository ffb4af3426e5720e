// Requests with binary tensors behind their JSON: two bytes of header length, then the body. Whatever is
// decoded is a whole tensor within the body or a copy of it, and goes out again as it came.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "mezzo/api/v2http/json_request.h"
#include "mezzo/api/v2http/json_response.h"
#include "mezzo/base/check.h"

namespace {

using mezzo::SharedBytes;
using mezzo::tensor::DType;
using namespace mezzo::api::v2http;  // NOLINT(google-build-using-namespace): a program of one file.

void CheckInputs(const DecodedRequest& request) {
  std::size_t bytes = 0;
  for (const auto& input : request.call.inputs) {
    MEZZO_CHECK(mezzo::tensor::CheckTensor(input.name, input.tensor).ok());
    const std::size_t element = mezzo::tensor::DTypeSize(input.tensor.dtype);
    MEZZO_CHECK(element == 0 || input.tensor.data.empty() ||
                reinterpret_cast<std::uintptr_t>(input.tensor.data.data()) % element == 0);
    bytes += input.tensor.data.size();
    // Every byte can be read: the sanitizers look.
    unsigned sum = 0;
    for (const std::byte b : input.tensor.data.view()) sum += static_cast<unsigned>(b);
    [[maybe_unused]] const volatile unsigned read = sum;
  }

  mezzo::inference::InferenceAnswer answer;
  answer.outputs = request.call.inputs;
  const auto response = EncodeResponse(answer, {.outputs = {}, .binary_by_default = true}, nullptr);
  MEZZO_CHECK(response.ok());
  std::size_t written = 0;
  for (const SharedBytes& piece : response->pieces) written += piece.size();
  MEZZO_CHECK(written == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t header = data[0] | static_cast<std::size_t>(data[1]) << 8;
  const mezzo::tensor::MutableBuffer buffer = mezzo::tensor::AllocateBuffer(size - 2);
  std::memcpy(buffer.data(), data + 2, size - 2);
  const SharedBytes body = buffer.Share();

  DecodeLimits limits;
  limits.max_decoded_bytes = 1 << 20;
  const auto request = DecodeRequest(body, header, "m", "", {}, limits);
  if (request.ok()) CheckInputs(*request);

  mezzo::models::ModelConfig model;
  model.max_batch_size = static_cast<std::int64_t>(header % 2);
  const auto dtype = static_cast<DType>(header / 2 % (static_cast<std::size_t>(DType::kBytes) + 1));
  model.inputs.push_back({.name = "x", .dtype = dtype, .shape = {-1, static_cast<std::int64_t>(header % 5)}});
  const auto raw = DecodeRawRequest(body, "m", "", model);
  if (raw.ok()) CheckInputs(*raw);
  return 0;
}
