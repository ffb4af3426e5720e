#include "mezzo/api/platform/registry_json.h"

#include <array>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/json_body.h"
#include "mezzo/api/platform/job_json.h"
#include "mezzo/api/platform/members.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using lifecycle::VersionState;

constexpr int kMaxDepth = 16;

Json MaybeText(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
Json MaybeNumber(const std::optional<std::int64_t>& number) { return number ? Json(*number) : Json(nullptr); }

Json TagsJson(const lifecycle::Tags& tags) {
  Json json = Json::object();
  for (const auto& [key, value] : tags) json[key] = value;
  return json;
}

/// An object with nothing in it but `known`.
Result<void> CheckMembers(const Json& object, std::span<const std::string_view> known,
                          const std::string& where) {
  if (!object.is_object()) return Members::Bad(where + " must be a JSON object");
  for (const auto& [name, value] : object.items()) {
    bool found = false;
    std::string names;
    for (const std::string_view member : known) {
      found = found || member == name;
      names += (names.empty() ? "" : ", ") + std::string(member);
    }
    if (!found) {
      std::string message = "unknown member '" + Printable(name, 64);
      message += "' in " + where;
      message += "; known are " + names;
      return Members::Bad(std::move(message));
    }
  }
  return {};
}

Result<Json> ParseBody(std::string_view text, std::span<const std::string_view> known) {
  MEZZO_TRY(Json json, ParseJsonObject<Json>(Trim(text).empty() ? "{}" : text, kMaxDepth, Members::Bad));
  MEZZO_TRY_VOID(CheckMembers(json, known, "the body"));
  return json;
}

/// The member; null when it is absent or null.
const Json* Find(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<std::optional<std::string>> TextOf(const Json& object, const char* name) {
  const Json* found = Find(object, name);
  if (found == nullptr) return std::optional<std::string>();
  if (!found->is_string()) return Members::Bad("'" + std::string(name) + "' must be a string");
  return std::optional<std::string>(found->get<std::string>());
}

Result<std::optional<std::int64_t>> NumberOf(const Json& object, const char* name) {
  const Json* found = Find(object, name);
  if (found == nullptr) return std::optional<std::int64_t>();
  if (found->is_number_unsigned() && found->get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX)) {
    return std::optional<std::int64_t>(found->get<std::int64_t>());
  }
  return Members::Bad("'" + std::string(name) + "' must be a whole number from 0 on");
}

Result<lifecycle::Tags> TagsOf(const Json& object) {
  lifecycle::Tags tags;
  const Json* found = Find(object, "tags");
  if (found == nullptr) return tags;
  if (!found->is_object()) return Members::Bad("'tags' must be an object of strings");
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) return Members::Bad("'tags' must be an object of strings");
    tags.emplace(key, value.get<std::string>());
  }
  return tags;
}

Result<lifecycle::Lineage> LineageOf(const Json& body) {
  static constexpr std::array<std::string_view, 6> kKnown = {"data",   "code",   "metrics",
                                                             "parent", "run_id", "source"};
  lifecycle::Lineage lineage;
  const Json* found = Find(body, "lineage");
  if (found == nullptr) return lineage;
  MEZZO_TRY_VOID(CheckMembers(*found, kKnown, "'lineage'"));
  const std::array<std::pair<const char*, std::string*>, 4> texts = {{{"data", &lineage.data},
                                                                      {"code", &lineage.code},
                                                                      {"run_id", &lineage.run_id},
                                                                      {"source", &lineage.source}}};
  for (const auto& [name, to] : texts) {
    MEZZO_TRY(auto text, TextOf(*found, name));
    if (text) *to = *std::move(text);
  }
  MEZZO_TRY(lineage.parent, NumberOf(*found, "parent"));
  if (const Json* metrics = Find(*found, "metrics")) {
    if (!metrics->is_object()) return Members::Bad("'metrics' must be an object");
    lineage.metrics = metrics->dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return lineage;
}

Result<std::vector<lifecycle::ManifestFile>> FilesOf(const Json& body,
                                                     const lifecycle::ManifestLimits& limits) {
  static constexpr std::array<std::string_view, 3> kKnown = {"path", "sha256", "bytes"};
  std::vector<lifecycle::ManifestFile> files;
  const Json* found = Find(body, "files");
  if (found == nullptr) return files;
  if (!found->is_array() || found->size() > limits.max_files) {
    return Members::Bad("'files' must be a list of at most " + std::to_string(limits.max_files) + " files");
  }
  for (const Json& entry : *found) {
    MEZZO_TRY_VOID(CheckMembers(entry, kKnown, "a file"));
    MEZZO_TRY(auto path, TextOf(entry, "path"));
    MEZZO_TRY(auto sha256, TextOf(entry, "sha256"));
    MEZZO_TRY(const auto bytes, NumberOf(entry, "bytes"));
    if (!path || !sha256 || !bytes) return Members::Bad("a file needs 'path', 'sha256' and 'bytes'");
    files.push_back(
        {.path = *std::move(path), .sha256 = *std::move(sha256), .bytes = static_cast<ByteCount>(*bytes)});
  }
  return files;
}

}  // namespace

Json ToJson(const lifecycle::ModelRecord& model) {
  Json aliases = Json::object();
  for (const auto& [alias, version] : model.aliases) aliases[alias] = version;
  return {{"object", "registry.model"},
          {"name", model.name},
          {"tenant", MaybeText(model.tenant.str())},
          {"description", model.description},
          {"tags", TagsJson(model.tags)},
          {"aliases", std::move(aliases)},
          {"latest", MaybeNumber(model.latest)},
          {"revision", model.revision},
          {"created_at", TimeText(model.created)},
          {"created_by", model.created_by},
          {"updated_at", TimeText(model.updated)}};
}

Json ToJson(const lifecycle::VersionRecord& version) {
  const lifecycle::Lineage& of = version.lineage;
  Json metrics = of.metrics.empty() ? Json() : Json::parse(of.metrics, nullptr, /*allow_exceptions=*/false);
  if (metrics.is_discarded()) metrics = nullptr;
  Json lineage = {{"data", MaybeText(of.data)},     {"code", MaybeText(of.code)},
                  {"metrics", std::move(metrics)},  {"parent", MaybeNumber(of.parent)},
                  {"run_id", MaybeText(of.run_id)}, {"source", MaybeText(of.source)}};
  return {{"object", "registry.version"},
          {"model", version.model},
          {"version", version.version},
          {"state", VersionStateName(version.state)},
          {"reason", MaybeText(version.reason)},
          {"digest", version.digest},
          {"bytes", version.bytes},
          {"file_count", version.files},
          {"description", version.description},
          {"stage", MaybeText(version.stage)},
          {"tags", TagsJson(version.tags)},
          {"aliases", version.aliases},
          {"lineage", std::move(lineage)},
          {"revision", version.revision},
          {"created_at", TimeText(version.created)},
          {"created_by", version.created_by},
          {"updated_at", TimeText(version.updated)}};
}

Json ToJson(const lifecycle::RegistryEvent& event) {
  return {{"object", "registry.event"},
          {"number", event.number},
          {"model", event.model},
          {"version", MaybeNumber(event.version)},
          {"kind", event.kind},
          {"field", MaybeText(event.field)},
          {"before", MaybeText(event.before)},
          {"after", MaybeText(event.after)},
          {"at", TimeText(event.at)},
          {"by", event.by}};
}

Json ToJson(const lifecycle::RegistryMoment& moment) {
  Json aliases = Json::object();
  for (const auto& [alias, version] : moment.aliases) aliases[alias] = version;
  Json served = Json::array();
  for (const auto& one : moment.served) served.push_back({{"version", one.version}, {"host", one.host}});
  return {{"object", "registry.moment"},
          {"aliases", std::move(aliases)},
          {"latest", MaybeNumber(moment.latest)},
          {"served", std::move(served)}};
}

Json ToJson(const lifecycle::VersionUploads::Progress& progress) {
  return {{"object", "registry.content"},
          {"received", progress.received},
          {"bytes", progress.bytes},
          {"complete", progress.complete}};
}

Json FilesJson(const std::vector<lifecycle::ManifestFile>& files) {
  Json list = Json::array();
  for (const auto& file : files) {
    list.push_back({{"path", file.path}, {"sha256", file.sha256}, {"bytes", file.bytes}});
  }
  return list;
}

Result<lifecycle::NewModel> ParseNewModel(std::string_view body) {
  static constexpr std::array<std::string_view, 4> kKnown = {"name", "description", "tenant", "tags"};
  MEZZO_TRY(const Json json, ParseBody(body, kKnown));
  lifecycle::NewModel model;
  MEZZO_TRY(auto name, TextOf(json, "name"));
  if (!name) return Members::Bad("'name' is missing: what the model is to be called");
  model.name = *std::move(name);
  MEZZO_TRY(auto description, TextOf(json, "description"));
  model.description = std::move(description).value_or("");
  MEZZO_TRY(auto tenant, TextOf(json, "tenant"));
  model.tenant = TenantId(std::move(tenant).value_or(""));
  MEZZO_TRY(model.tags, TagsOf(json));
  return model;
}

Result<ModelPatch> ParseModelPatch(std::string_view body) {
  static constexpr std::array<std::string_view, 4> kKnown = {"name", "description", "tenant", "if_revision"};
  MEZZO_TRY(const Json json, ParseBody(body, kKnown));
  ModelPatch patch;
  MEZZO_TRY(patch.name, TextOf(json, "name"));
  MEZZO_TRY(patch.change.description, TextOf(json, "description"));
  MEZZO_TRY(auto tenant, TextOf(json, "tenant"));
  if (tenant) patch.change.tenant = TenantId(*std::move(tenant));
  MEZZO_TRY(patch.change.if_revision, NumberOf(json, "if_revision"));
  return patch;
}

Result<lifecycle::NewVersion> ParseNewVersion(std::string_view body,
                                              const lifecycle::ManifestLimits& limits) {
  static constexpr std::array<std::string_view, 5> kKnown = {"files", "description", "stage", "tags",
                                                             "lineage"};
  MEZZO_TRY(const Json json, ParseBody(body, kKnown));
  lifecycle::NewVersion version;
  MEZZO_TRY(auto description, TextOf(json, "description"));
  version.description = std::move(description).value_or("");
  MEZZO_TRY(auto stage, TextOf(json, "stage"));
  version.stage = std::move(stage).value_or("");
  MEZZO_TRY(version.tags, TagsOf(json));
  MEZZO_TRY(version.lineage, LineageOf(json));
  MEZZO_TRY(auto files, FilesOf(json, limits));
  if (files.empty() && version.lineage.source.empty()) {
    return InvalidArgument("manifest_empty", "a version has 'files', or a 'source' in its lineage");
  }
  if (!files.empty()) {
    MEZZO_TRY(version.manifest, lifecycle::Manifest::Make(std::move(files), limits));
  }
  return version;
}

Result<VersionPatch> ParseVersionPatch(std::string_view body) {
  static constexpr std::array<std::string_view, 4> kKnown = {"description", "stage", "state", "if_revision"};
  MEZZO_TRY(const Json json, ParseBody(body, kKnown));
  VersionPatch patch;
  MEZZO_TRY(patch.change.description, TextOf(json, "description"));
  MEZZO_TRY(patch.change.stage, TextOf(json, "stage"));
  MEZZO_TRY(patch.change.if_revision, NumberOf(json, "if_revision"));
  MEZZO_TRY(const auto state, TextOf(json, "state"));
  if (state) {
    patch.state = lifecycle::ParseVersionState(*state);
    if (patch.state != VersionState::kReady && patch.state != VersionState::kArchived) {
      return Members::Bad("'state' must be 'archived', or 'ready' of one that is archived");
    }
  }
  return patch;
}

Result<AliasRequest> ParseAlias(std::string_view body) {
  static constexpr std::array<std::string_view, 2> kKnown = {"version", "if_version"};
  MEZZO_TRY(const Json json, ParseBody(body, kKnown));
  AliasRequest request;
  MEZZO_TRY(const auto version, NumberOf(json, "version"));
  if (!version) return Members::Bad("'version' is missing: where the alias is to point");
  request.version = *version;
  MEZZO_TRY(request.if_version, NumberOf(json, "if_version"));
  return request;
}

Result<std::pair<std::string, std::string>> ParseTag(std::string_view body) {
  static constexpr std::array<std::string_view, 2> kKnown = {"key", "value"};
  MEZZO_TRY(const Json json, ParseBody(body, kKnown));
  MEZZO_TRY(auto key, TextOf(json, "key"));
  MEZZO_TRY(auto value, TextOf(json, "value"));
  if (!key || !value) return Members::Bad("a tag needs 'key' and 'value'");
  return std::pair(*std::move(key), *std::move(value));
}

}  // namespace mezzo::api::platform
