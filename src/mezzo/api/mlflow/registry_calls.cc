#include <array>
#include <utility>

#include "mezzo/api/mlflow/filter.h"
#include "mezzo/api/mlflow/internal/calls.h"
#include "mezzo/api/mlflow/mlflow_handler.h"
#include "mezzo/api/mlflow/mlflow_json.h"
#include "mezzo/api/platform/identity_json.h"
#include "mezzo/base/strings.h"

// Registered models and their versions.

namespace mezzo::api::mlflow {
namespace {

using namespace internal;  // NOLINT(google-build-using-namespace): the routes' ids.
using lifecycle::RegistryOrder;
using platform::NameOf;
using tenancy::Scope;

constexpr std::size_t kUsualPage = 100;
constexpr std::int64_t kMostModels = 1000;
constexpr std::int64_t kMostVersions = 200'000;  // What MLflow allows; a page has fewer all the same.

std::optional<TenantId> VisibleTo(const RoutedCall& call) {
  if (call.caller->Has(Scope::kObserve)) return std::nullopt;
  return TenantOf(call);
}

Result<std::int64_t> VersionOf(const Params& params, const std::string& model) {
  MEZZO_TRY(const std::string text, params.Text("version"));
  const auto number = ParseUint(text);
  if (number && *number <= static_cast<std::uint64_t>(INT64_MAX)) return static_cast<std::int64_t>(*number);
  return InvalidArgument("mlflow_member", "'version' of model '" + Printable(model) +
                                              "' must be a number, got '" + Printable(text, 64) + "'");
}

/// As it is kept: the empty one is MLflow's None.
Result<std::string> StageOf(const std::string& text) {
  if (EqualsIgnoreCase(text, "none")) return std::string();
  for (const std::string_view stage : {"Staging", "Production", "Archived"}) {
    if (EqualsIgnoreCase(text, stage)) return std::string(stage);
  }
  return InvalidArgument("mlflow_member", "'stage' must be None, Staging, Production or Archived, got '" +
                                              Printable(text, 64) + "'");
}

}  // namespace

Result<std::string> MlflowHandler::Visible(const RoutedCall& call, const std::string& name) const {
  const auto tenant = VisibleTo(call);
  if (!tenant) return name;
  MEZZO_TRY(const auto model, ports_.registry.GetModel(name, Limit()));
  if (model.tenant.empty() || model.tenant == *tenant) return name;
  return NotFound("registry_model_unknown", "the registry has no model '" + Printable(name) + "'");
}

MlflowHandler::Answer MlflowHandler::ShowModel(const std::string& name) const {
  MEZZO_TRY(const auto model, ports_.registry.GetModel(name, Limit()));
  MEZZO_TRY(const auto newest, ports_.registry.NewestByStage({model.id}, Limit()));
  return Ok({{"registered_model", ToJson(model, newest)}});
}

MlflowHandler::Answer MlflowHandler::CreateModel(const RoutedCall& call, const Params& params) const {
  lifecycle::NewModel model;
  MEZZO_TRY(model.name, params.Text("name"));
  MEZZO_TRY(model.description, params.TextOr("description", ""));
  MEZZO_TRY(model.tags, params.Tags("tags"));
  MEZZO_TRY_VOID(ports_.registry.CreateModel(model, NameOf(*call.caller), Limit()));
  return ShowModel(model.name);
}

MlflowHandler::Answer MlflowHandler::ModelCall(const RoutedCall& call, const Params& params) const {
  if (call.route == kCreateModel) return CreateModel(call, params);
  if (call.route == kSearchModels) return SearchModels(call, params);
  MEZZO_TRY(const std::string named, params.Text("name"));
  MEZZO_TRY(const std::string name, Visible(call, named));
  const std::string by = NameOf(*call.caller);
  auto& registry = ports_.registry;
  switch (call.route) {
    case kRenameModel: {
      MEZZO_TRY(const std::string to, params.Text("new_name"));
      MEZZO_TRY_VOID(registry.RenameModel(name, to, by, Limit()));
      return ShowModel(to);
    }
    case kUpdateModel: {
      lifecycle::ModelChange change;
      MEZZO_TRY(change.description, params.MaybeText("description"));
      MEZZO_TRY_VOID(registry.ChangeModel(name, change, by, Limit()));
      return ShowModel(name);
    }
    case kDeleteModel:
      MEZZO_TRY_VOID(registry.DeleteModel(name, by, Limit()));
      return Nothing();
    case kGetModel:
      return ShowModel(name);
    case kLatestVersions:
      return LatestVersions(name, params);
    case kSetModelTag: {
      MEZZO_TRY(const std::string key, params.Text("key"));
      MEZZO_TRY(const std::string value, params.TextOr("value", ""));
      MEZZO_TRY_VOID(registry.SetTag(name, {}, key, value, by, Limit()));
      return Nothing();
    }
    case kDeleteModelTag: {
      MEZZO_TRY(const std::string key, params.Text("key"));
      MEZZO_TRY_VOID(registry.DeleteTag(name, {}, key, by, Limit()));
      return Nothing();
    }
    case kSetAlias: {
      MEZZO_TRY(const std::string alias, params.Text("alias"));
      MEZZO_TRY(const std::int64_t version, VersionOf(params, name));
      MEZZO_TRY_VOID(registry.SetAlias(name, alias, version, {}, by, Limit()));
      return Nothing();
    }
    case kDeleteAlias: {
      MEZZO_TRY(const std::string alias, params.Text("alias"));
      MEZZO_TRY_VOID(registry.DeleteAlias(name, alias, by, Limit()));
      return Nothing();
    }
    default: {
      MEZZO_TRY(const std::string alias, params.Text("alias"));
      if (ParseUint(alias)) {
        return NotFound("registry_alias_unknown", "model '" + name + "' has no alias '" + alias + "'");
      }
      MEZZO_TRY(const auto version, registry.Resolve(name, alias, Limit()));
      return Ok({{"model_version", ToJson(version)}});
    }
  }
}

MlflowHandler::Answer MlflowHandler::SearchModels(const RoutedCall& call, const Params& params) const {
  MEZZO_TRY(const std::string filter, params.TextOr("filter", ""));
  MEZZO_TRY(const auto order, params.Texts("order_by"));
  MEZZO_TRY(const std::string token, params.TextOr("page_token", ""));
  MEZZO_TRY(const std::size_t limit, PageOf(params, kUsualPage, options_.max_page, kMostModels));
  lifecycle::ModelQuery query;
  MEZZO_TRY(query.conditions, ParseFilter(filter, Searched::kModels));
  MEZZO_TRY(query.order, ParseOrder(order, Searched::kModels, RegistryOrder::kName));
  query.visible_to = VisibleTo(call);
  MEZZO_TRY(const auto page, ports_.registry.ListModels(query, token, limit, Limit()));
  std::vector<std::string> ids;
  ids.reserve(page.records.size());
  for (const auto& model : page.records) ids.push_back(model.id);
  MEZZO_TRY(const auto newest, ports_.registry.NewestByStage(ids, Limit()));
  Json models = Json::array();
  for (const auto& model : page.records) models.push_back(ToJson(model, newest));
  Json json = {{"registered_models", std::move(models)}};
  if (!page.next.empty()) json["next_page_token"] = page.next;
  return Ok(json);
}

MlflowHandler::Answer MlflowHandler::LatestVersions(const std::string& model, const Params& params) const {
  MEZZO_TRY(const auto texts, params.Texts("stages"));
  std::vector<std::string> stages;
  for (const std::string& text : texts) {
    MEZZO_TRY(std::string stage, StageOf(text));
    stages.push_back(std::move(stage));
  }
  MEZZO_TRY(const auto record, ports_.registry.GetModel(model, Limit()));
  MEZZO_TRY(const auto newest, ports_.registry.NewestByStage({record.id}, Limit()));
  Json versions = Json::array();
  for (const auto& version : newest) {
    const bool wanted =
        stages.empty() || std::find(stages.begin(), stages.end(), version.stage) != stages.end();
    if (wanted) versions.push_back(ToJson(version));
  }
  return Ok({{"model_versions", std::move(versions)}});
}

MlflowHandler::Answer MlflowHandler::VersionCall(const RoutedCall& call, const Params& params) const {
  if (call.route == kSearchVersions) return SearchVersions(call, params);
  if (call.route == kCreateVersion) return CreateVersion(call, params);
  MEZZO_TRY(const std::string named, params.Text("name"));
  MEZZO_TRY(const std::string name, Visible(call, named));
  MEZZO_TRY(const std::int64_t version, VersionOf(params, name));
  const std::string by = NameOf(*call.caller);
  auto& registry = ports_.registry;
  switch (call.route) {
    case kUpdateVersion: {
      lifecycle::VersionChange change;
      MEZZO_TRY(change.description, params.MaybeText("description"));
      MEZZO_TRY(const auto changed, registry.ChangeVersion(name, version, change, by, Limit()));
      return Ok({{"model_version", ToJson(changed)}});
    }
    case kDeleteVersion:
      MEZZO_TRY_VOID(registry.DeleteVersion(name, version, by, Limit()));
      return Nothing();
    case kGetVersion: {
      MEZZO_TRY(const auto found, registry.GetVersion(name, version, Limit()));
      return Ok({{"model_version", ToJson(found)}});
    }
    case kDownloadUri:
      MEZZO_TRY_VOID(registry.GetVersion(name, version, Limit()));
      return Ok({{"artifact_uri", VersionUri(name, version)}});
    case kTransitionStage:
      return SetStage(call, name, version, params);
    case kSetVersionTag: {
      MEZZO_TRY(const std::string key, params.Text("key"));
      MEZZO_TRY(const std::string value, params.TextOr("value", ""));
      MEZZO_TRY_VOID(registry.SetTag(name, version, key, value, by, Limit()));
      return Nothing();
    }
    default: {
      MEZZO_TRY(const std::string key, params.Text("key"));
      MEZZO_TRY_VOID(registry.DeleteTag(name, version, key, by, Limit()));
      return Nothing();
    }
  }
}

MlflowHandler::Answer MlflowHandler::SearchVersions(const RoutedCall& call, const Params& params) const {
  MEZZO_TRY(const std::string filter, params.TextOr("filter", ""));
  MEZZO_TRY(const auto order, params.Texts("order_by"));
  MEZZO_TRY(const std::string token, params.TextOr("page_token", ""));
  MEZZO_TRY(const std::size_t limit, PageOf(params, options_.max_page, options_.max_page, kMostVersions));
  lifecycle::VersionQuery query;
  MEZZO_TRY(query.conditions, ParseFilter(filter, Searched::kVersions));
  MEZZO_TRY(query.order, ParseOrder(order, Searched::kVersions, RegistryOrder::kTimeDown));
  query.visible_to = VisibleTo(call);
  MEZZO_TRY(const auto page, ports_.registry.ListVersions(query, token, limit, Limit()));
  Json versions = Json::array();
  for (const auto& version : page.records) versions.push_back(ToJson(version));
  Json json = {{"model_versions", std::move(versions)}};
  if (!page.next.empty()) json["next_page_token"] = page.next;
  return Ok(json);
}

MlflowHandler::Answer MlflowHandler::SetStage(const RoutedCall& call, const std::string& model,
                                              std::int64_t version, const Params& params) const {
  MEZZO_TRY(const std::string text, params.Text("stage"));
  MEZZO_TRY(const std::string stage, StageOf(text));
  MEZZO_TRY(const bool archive, params.Flag("archive_existing_versions"));
  const bool active = stage == "Staging" || stage == "Production";
  if (archive && !active) {
    return InvalidArgument("mlflow_member",
                           "'archive_existing_versions' goes with the stages Staging and Production alone");
  }
  const std::string by = NameOf(*call.caller);
  lifecycle::VersionChange change;
  change.stage = stage;
  MEZZO_TRY(const auto changed, ports_.registry.ChangeVersion(model, version, change, by, Limit()));
  if (archive) {
    const TimePoint deadline = StoreLimit();
    lifecycle::VersionQuery query{.match = lifecycle::NameMatch::kEquals, .model = model};
    change.stage = "Archived";
    std::string token;
    do {
      MEZZO_TRY(const auto page, ports_.registry.ListVersions(query, token, options_.max_page, deadline));
      for (const auto& other : page.records) {
        if (other.version == version || other.stage != stage) continue;
        MEZZO_TRY_VOID(ports_.registry.ChangeVersion(model, other.version, change, by, deadline));
      }
      token = page.next;
    } while (!token.empty());
  }
  return Ok({{"model_version", ToJson(changed)}});
}

Result<lifecycle::Lineage> MlflowHandler::Trace(const TenantId& tenant, const std::string& run) const {
  if (run.empty()) return lifecycle::Lineage();
  const auto record = ports_.tracking.GetRun(tenant, run, Limit());
  if (record.ok()) return LineageOf(*record, options_.max_lineage);
  if (record.error().code() != Code::kNotFound) return record.error();
  // Tracked elsewhere, or by another tenant: its name is all that is known.
  lifecycle::Lineage lineage;
  lineage.run_id = run;
  return lineage;
}

MlflowHandler::Answer MlflowHandler::CreateVersion(const RoutedCall& call, const Params& params) const {
  MEZZO_TRY(const std::string named, params.Text("name"));
  MEZZO_TRY(const std::string name, Visible(call, named));
  MEZZO_TRY(const std::string text, params.Text("source"));
  MEZZO_TRY(ModelSource source, ParseSource(text));
  MEZZO_TRY(std::string run, params.TextOr("run_id", ""));
  MEZZO_TRY(const std::string link, params.TextOr("run_link", ""));
  lifecycle::NewVersion version;
  MEZZO_TRY(version.description, params.TextOr("description", ""));
  MEZZO_TRY(version.tags, params.Tags("tags"));
  if (!link.empty()) version.tags.insert_or_assign("mezzo.run_link", link);
  MEZZO_TRY_VOID(ports_.registry.GetModel(name, Limit()));
  const std::string by = NameOf(*call.caller);
  const TenantId& tenant = TenantOf(call);
  if (source.kind == ModelSource::Kind::kVersion) {
    MEZZO_TRY(const std::string from, Visible(call, source.id));
    MEZZO_TRY(const auto of, ports_.registry.Resolve(from, source.name, Limit()));
    version.lineage = of.lineage;
    version.lineage.parent.reset();  // A number of another model.
    if (from == name) version.lineage.parent = of.version;
    version.lineage.source = text;
    MEZZO_TRY(const auto made, ports_.artifacts.Copy(name, of, std::move(version), by, StoreLimit()));
    return Ok({{"model_version", ToJson(made)}});
  }
  if (source.kind == ModelSource::Kind::kLogged) {
    MEZZO_TRY(const auto model, ports_.tracking.GetLoggedModel(tenant, source.id, Limit()));
    if (run.empty()) run = model.run_id;
  } else if (run.empty()) {
    run = source.id;
  }
  MEZZO_TRY(version.lineage, Trace(tenant, run));
  version.lineage.source = text;
  const lifecycle::ArtifactPlace place{.tenant = tenant, .owner = source.id, .path = source.folder};
  MEZZO_TRY(const auto made, ports_.artifacts.Register(name, place, std::move(version), by, StoreLimit()));
  return Ok({{"model_version", ToJson(made)}});
}

}  // namespace mezzo::api::mlflow
