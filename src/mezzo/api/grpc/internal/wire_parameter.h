#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "mezzo/api/grpc/internal/wire_reader.h"
#include "mezzo/base/result.h"
#include "mezzo/inference/inference_call.h"

namespace mezzo::api::rpc {

/// An inference.InferParameter as it stands on the wire; monostate when none of its fields is set.
using WireParameter =
    std::variant<std::monostate, bool, std::int64_t, std::string_view, double, std::uint64_t>;

/// kInvalidArgument "protobuf_malformed".
Error Malformed(std::string_view what);
/// "'name'", printable and cut.
std::string Quoted(std::string_view name);

/// Reads one entry of a map<string, InferParameter>, `entry` being its bytes.
Result<void> ReadParameterEntry(BytesView entry, WireScratch* scratch, std::string_view* key,
                                WireParameter* value);

/// A request parameter for the model. Fails with "parameter_type" when no value is set or an unsigned one has
/// more than 63 bits.
Result<inference::ParameterValue> ToParameterValue(std::string_view key, const WireParameter& value);

/// Where a tensor lies in shared memory, from its parameters.
struct RegionRange {
  std::string_view region;
  bool given = false;
  bool has_offset = false;
  bool has_size = false;
  std::uint64_t offset = 0;
  std::uint64_t byte_size = 0;
};

/// Takes the parameter if it is one of the shared memory extension: the value says whether it was.
Result<bool> ReadRegionParameter(std::string_view tensor, std::string_view key, const WireParameter& value,
                                 RegionRange* range);
/// Region and size come together, an offset only with them: "shared_memory_parameter".
Result<void> CheckRegionRange(std::string_view tensor, const RegionRange& range);

}  // namespace mezzo::api::rpc
