// Serialised ModelInferRequests, as our own decoder reads them: what it accepts, protobuf parses too; and
// where the message is cut into pieces makes no difference.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "grpc_service.pb.h"

#include "mezzo/api/grpc/internal/infer_request.h"
#include "mezzo/base/check.h"

namespace {

using mezzo::BytesView;
using mezzo::api::rpc::DecodedInfer;
using mezzo::api::rpc::DecodeInferRequest;

struct Outcome {
  std::string error;  // Empty: accepted.
  DecodedInfer decoded;
};

Outcome Decode(const std::vector<BytesView>& pieces) {
  Outcome outcome;
  const auto result = DecodeInferRequest(pieces, {}, {.max_decoded_bytes = 1U << 20}, &outcome.decoded);
  if (!result.ok()) {
    outcome.error = result.error().ToString();
    MEZZO_CHECK(!result.error().message().empty());
  }
  return outcome;
}

void CheckSame(const Outcome& a, const Outcome& b) {
  MEZZO_CHECK(a.error == b.error);
  MEZZO_CHECK(a.decoded.call.id == b.decoded.call.id);
  MEZZO_CHECK(a.decoded.timeout == b.decoded.timeout);
  MEZZO_CHECK(a.decoded.call.inputs.size() == b.decoded.call.inputs.size());
  for (std::size_t i = 0; i < a.decoded.call.inputs.size(); ++i) {
    const auto& x = a.decoded.call.inputs[i];
    const auto& y = b.decoded.call.inputs[i];
    MEZZO_CHECK(x.name == y.name && x.tensor.dtype == y.tensor.dtype && x.tensor.shape == y.tensor.shape);
    MEZZO_CHECK(x.tensor.data.size() == y.tensor.data.size());
    MEZZO_CHECK(x.tensor.data.size() == 0 ||
                std::memcmp(x.tensor.data.data(), y.tensor.data.data(), x.tensor.data.size()) == 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // The first byte says where to cut, so that cuts inside numbers and lengths are found.
  const std::size_t cut = size == 1 ? 0 : data[0] % size;
  const auto* bytes = reinterpret_cast<const std::byte*>(data) + 1;
  const std::size_t length = size - 1;
  const std::size_t first = cut < length ? cut : length;

  const Outcome whole = Decode({BytesView(bytes, length)});
  const Outcome split = Decode({BytesView(bytes, first), BytesView(bytes + first, length - first)});
  CheckSame(whole, split);
  if (whole.error.empty()) {
    inference::ModelInferRequest parsed;
    MEZZO_CHECK(parsed.ParseFromArray(bytes, static_cast<int>(length)));
    MEZZO_CHECK(parsed.inputs_size() == static_cast<int>(whole.decoded.call.inputs.size()));
  }
  return 0;
}
