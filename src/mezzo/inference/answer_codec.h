#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/inference/answer_cache.h"

namespace mezzo::inference {

/// The bytes of an answer as hosts share them and the database keeps corrections: outputs (name, the element
/// type's protocol name, shape, data) and parameters, without what belongs to a call. One form for all hosts
/// and builds: numbers are little-endian.
std::string EncodeAnswer(const CachedAnswer& answer);
/// The answer of those bytes; null when they are anything else: every length, type and shape is checked, and
/// nothing may be left over. `cost`: device time that it took.
std::shared_ptr<const CachedAnswer> DecodeAnswer(std::string_view bytes, Duration cost);

}  // namespace mezzo::inference
