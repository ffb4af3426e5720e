#include "mezzo/releases/internal/analysis_state.h"

namespace mezzo::releases::internal {
namespace {

using nlohmann::json;

json Put(const Evidence& evidence) { return {evidence.log_now, evidence.log_best}; }
json Put(const ArmCount& count) { return {count.calls, count.hits}; }
json Put(const Moments& moments) { return {moments.count, moments.sum, moments.squares}; }

Evidence GetEvidence(const json& from) { return {.log_now = from.at(0), .log_best = from.at(1)}; }
ArmCount GetCount(const json& from) {
  ArmCount count{.calls = from.at(0), .hits = from.at(1)};
  count.hits = std::min(count.hits, count.calls);
  return count;
}
Moments GetMoments(const json& from) {
  return {.count = from.at(0), .sum = from.at(1), .squares = from.at(2)};
}

}  // namespace

json Put(const TwoProportionTest::State& state) {
  return {{"log_ratios", state.log_ratios},
          {"canary_waiting", Put(state.canary_waiting)},
          {"baseline_waiting", Put(state.baseline_waiting)},
          {"evidence", Put(state.evidence)}};
}
json Put(const CeilingTest::State& state) {
  return {{"log_ratios", state.log_ratios}, {"seen", Put(state.seen)}, {"evidence", Put(state.evidence)}};
}
json Put(const MeanShiftTest::State& state) {
  return {{"canary_seen", Put(state.canary_seen)},
          {"baseline_seen", Put(state.baseline_seen)},
          {"canary_waiting", Put(state.canary_waiting)},
          {"baseline_waiting", Put(state.baseline_waiting)},
          {"scale", state.scale},
          {"sum", state.sum},
          {"information", state.information},
          {"evidence", Put(state.evidence)}};
}
json Put(const SampleRatioTest::State& state) {
  return {{"shares", state.shares},
          {"counts", state.counts},
          {"log_before", state.log_before},
          {"evidence", Put(state.evidence)}};
}

TwoProportionTest::State GetProportions(const json& from) {
  TwoProportionTest::State state;
  from.at("log_ratios").get_to(state.log_ratios);
  state.canary_waiting = GetCount(from.at("canary_waiting"));
  state.baseline_waiting = GetCount(from.at("baseline_waiting"));
  state.evidence = GetEvidence(from.at("evidence"));
  return state;
}
CeilingTest::State GetCeiling(const json& from) {
  CeilingTest::State state;
  from.at("log_ratios").get_to(state.log_ratios);
  state.seen = GetCount(from.at("seen"));
  state.evidence = GetEvidence(from.at("evidence"));
  return state;
}
MeanShiftTest::State GetMeans(const json& from) {
  MeanShiftTest::State state;
  state.canary_seen = GetMoments(from.at("canary_seen"));
  state.baseline_seen = GetMoments(from.at("baseline_seen"));
  state.canary_waiting = GetMoments(from.at("canary_waiting"));
  state.baseline_waiting = GetMoments(from.at("baseline_waiting"));
  from.at("scale").get_to(state.scale);
  from.at("sum").get_to(state.sum);
  from.at("information").get_to(state.information);
  state.evidence = GetEvidence(from.at("evidence"));
  return state;
}
SampleRatioTest::State GetRatio(const json& from) {
  SampleRatioTest::State state;
  from.at("shares").get_to(state.shares);
  from.at("counts").get_to(state.counts);
  from.at("log_before").get_to(state.log_before);
  state.evidence = GetEvidence(from.at("evidence"));
  return state;
}

}  // namespace mezzo::releases::internal
