#pragma once

#include <tuple>

#include "mezzo/app/server_config.h"
#include "mezzo/config/schema.h"

// How mezzo.yaml declares tenants and limits.

namespace mezzo::config {

template <>
struct Schema<app::TenantConfig> {
  static auto Fields() {
    using C = app::TenantConfig;
    return std::tuple{
        Field("id", &C::id, "Name of the tenant, as metrics show it.", Required{}, Length(1, 64)),
        Field("weight", &C::weight, "Share of the device relative to other tenants.", Range(0.001, 1000.0)),
        Field("classes", &C::classes, "Classes its requests may run in: interactive, standard, bulk."),
        Field(
            "tiers", &C::tiers,
            "Tiers of jobs it may ask for: paid, urgent, free. A tenant with a scope that reaches others has "
            "all."),
        Field("scopes", &C::scopes,
              "What its keys may do: read, infer, keys, manage; and, for every tenant: observe, operate, "
              "admin."),
        Field("key_sha256", &C::key_sha256, "SHA-256 of each API key, as 64 hex digits."),
        Field("webhook_secrets", &C::webhook_secrets,
              "Where the secrets lie (env:NAME or file:PATH) that sign webhooks of jobs without one of their "
              "own: whsec_ and 24 to "
              "64 bytes in base64. While they are rotated each gives a signature.",
              Length(0, 8))};
  }
};
template <>
struct Schema<app::LimitConfig> {
  static auto Fields() {
    using C = app::LimitConfig;
    return std::tuple{
        Field("name", &C::name, "Name of the limit, as answers show it.", Required{}, Length(1, 64)),
        Field("kind", &C::kind,
              "What is counted: requests or cost (device milliseconds) a second; concurrency; queued (calls "
              "that wait) or queue_share (calls that wait, as part of a model's queue); daily_requests, "
              "daily_cost, daily_money; monthly_requests, monthly_cost, monthly_money.",
              Required{}),
        Field("tenant", &C::tenant, "Whose calls; empty: everybody's."),
        Field("project", &C::project, "Those of one project of the tenant; empty: all."),
        Field("key", &C::key, "Those with one key, by its id; empty: all."),
        Field("model", &C::model, "Those to one model; empty: all."),
        Field("per", &C::per,
              "Count apart for each tenant, project, key, model or combination of them; empty: all together.",
              Length(0, 4)),
        Field("rate", &C::rate, "Of requests and cost: units a second."),
        Field("burst", &C::burst, "Of requests and cost: units at once; 0: a second's worth, at least one."),
        Field("amount", &C::amount, "Of the other kinds: how much there is.")};
  }
};

}  // namespace mezzo::config
