#pragma once

#include <tuple>

#include "mezzo/app/admission_config.h"
#include "mezzo/config/schema.h"

namespace mezzo::config {

template <>
struct Schema<app::AdmissionConfig> {
  static auto Fields() {
    using C = app::AdmissionConfig;
    return std::tuple{
        Field("enabled", &C::enabled,
              "Refuse calls with 503 `overloaded` while the device has more work than it can do: first those "
              "of "
              "tenants that may use no tier of jobs but free, then those of class bulk, then the rest by "
              "weight."),
        Field(
            "target_delay", &C::target_delay,
            "Time in the queue that is fine for class interactive; twice that for standard, eight times for "
            "bulk.",
            Range(std::chrono::milliseconds(10), std::chrono::minutes(10))),
        Field("target_runs", &C::target_runs,
              "On top of it, so many times the predicted run: what costs more may wait for longer.",
              Range(0.0, 1000.0))};
  }
};

}  // namespace mezzo::config
