#pragma once

#include <nlohmann/json.hpp>

#include "mezzo/base/result.h"
#include "mezzo/lifecycle/compatibility.h"

namespace mezzo::lifecycle::internal {

using Json = nlohmann::ordered_json;

/// As they stand in a report, and on the lines of a test's process.
Json ToJson(const Check& check);
Json ToJson(const TestedPart& part);

/// Strict and bounded. Fail with kInvalidArgument "test_report_invalid".
Result<Check> CheckFromJson(const Json& json);
Result<TestedPart> PartFromJson(const Json& json);

/// One line; bytes that are no UTF-8 are replaced.
std::string Dump(const Json& json);

}  // namespace mezzo::lifecycle::internal
