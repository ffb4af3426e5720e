#include "mezzo/inference/call_sampler.h"

#include "mezzo/releases/router.h"

namespace mezzo::inference {

std::uint64_t CallSampler::Random() { return releases::Router::Random(); }

}  // namespace mezzo::inference
