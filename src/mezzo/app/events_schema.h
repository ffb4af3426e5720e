#pragma once

#include <tuple>

#include "mezzo/app/events_config.h"
#include "mezzo/config/schema.h"

/// The documentation and bounds of the section `events` of mezzo.yaml.
namespace mezzo::config {

template <>
struct EnumNames<app::EventKind> {
  using K = app::EventKind;
  static constexpr EnumName<K> kNames[] = {{K::kDrift, "drift"}, {K::kRetirement, "retirement"}};
};

template <>
struct Schema<app::EventWebhookConfig> {
  static auto Fields() {
    using C = app::EventWebhookConfig;
    return std::tuple{
        Field("url", &C::url, "Where events are sent.", Required{}, Length(1, 2048)),
        Field("tenant", &C::tenant, "Whose webhook_secrets sign them.", Required{}, Length(1, 64)),
        Field("kinds", &C::kinds, "Of which events: drift, retirement; empty: all.", Length(0, 8))};
  }
};

template <>
struct Schema<app::EventsConfig> {
  static auto Fields() {
    using C = app::EventsConfig;
    return std::tuple{Field("webhooks", &C::webhooks,
                            "Who is told of versions' drift and retirement, whatever their model.",
                            Length(0, 16))};
  }
};

}  // namespace mezzo::config
