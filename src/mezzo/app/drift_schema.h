#pragma once

#include <tuple>

#include "mezzo/app/drift_config.h"
#include "mezzo/config/schema.h"

namespace mezzo::config {

template <>
struct Schema<app::DriftConfig> {
  static auto Fields() {
    using C = app::DriftConfig;
    using std::chrono::hours;
    using std::chrono::milliseconds;
    using std::chrono::seconds;
    return std::tuple{
        Field(
            "one_in", &C::one_in,
            "One call in so many is looked at; 0: none, and nothing of calls is kept. Quantiles of what the "
            "tensors hold are kept in the database.",
            Range(0, 1'000'000)),
        Field("reference_calls", &C::reference_calls,
              "The first calls of a version that are looked at: what later ones are compared with.",
              Range(16, 100'000)),
        Field("min_calls", &C::min_calls, "Fewer, on all hosts within the window, tell nothing.",
              Range(16, 1'000'000)),
        Field("window", &C::window, "How far back calls count.", Range(seconds(1), hours(24 * 7))),
        Field("flush", &C::flush, "How often hosts tell one another what they have seen, and judge.",
              Range(milliseconds(50), hours(1))),
        Field("threshold", &C::threshold,
              "Population stability index from which on a tensor has drifted; the tag drift.psi of a "
              "registered "
              "model says otherwise for it.",
              Range(0.001, 1000.0)),
        Field("sustain", &C::sustain, "How long that must last before anybody is told.",
              Range(seconds(0), hours(24 * 7))),
        Field("max_tensors", &C::max_tensors, "Tensors that a host watches; further ones are not.",
              Range(1, 10'000))};
  }
};

}  // namespace mezzo::config
