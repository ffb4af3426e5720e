#pragma once

#include <nlohmann/json.hpp>

#include "mezzo/releases/sequential_tests.h"

namespace mezzo::releases::internal {

// The states of tests as JSON; numbers come back as they were. Get...() throws json::exception when a member
// is missing or of another type.

nlohmann::json Put(const TwoProportionTest::State& state);
nlohmann::json Put(const CeilingTest::State& state);
nlohmann::json Put(const MeanShiftTest::State& state);
nlohmann::json Put(const SampleRatioTest::State& state);

TwoProportionTest::State GetProportions(const nlohmann::json& from);
CeilingTest::State GetCeiling(const nlohmann::json& from);
MeanShiftTest::State GetMeans(const nlohmann::json& from);
SampleRatioTest::State GetRatio(const nlohmann::json& from);

}  // namespace mezzo::releases::internal
