#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/lifecycle/artifact_manifest.h"

namespace mezzo::lifecycle {

/// What has become of a version. Legal: uploading → testing | ready; testing → ready | rejected; rejected →
/// testing; ready → archived; archived → ready.
enum class VersionState : std::uint8_t { kUploading, kTesting, kReady, kRejected, kArchived };

std::string_view VersionStateName(VersionState state);
std::optional<VersionState> ParseVersionState(std::string_view name);
bool IsLegalStep(VersionState from, VersionState to);

/// The alias that nobody sets: the newest version that is ready.
inline constexpr std::string_view kLatest = "latest";

using Tags = std::map<std::string, std::string>;

/// A name under which versions are registered.
struct ModelRecord {
  std::string id;  ///< Stays when the model is renamed.
  std::string name;
  TenantId tenant;  ///< Whose it is; empty: everybody's.
  std::string description;
  std::int64_t revision = 1;  ///< Of name, description, tenant; grows with each change of them.
  WallTime created;
  std::string created_by;
  WallTime updated;  ///< The last change of anything in it.
  Tags tags;
  std::map<std::string, std::int64_t> aliases;
  std::optional<std::int64_t> latest;
};

/// Where a version comes from. All of it is as whoever brought it said.
struct Lineage {
  std::string data;     ///< A name, URI or digest of the data it was trained on.
  std::string code;     ///< Likewise: a commit.
  std::string metrics;  ///< JSON text; empty: none.
  std::optional<std::int64_t> parent;
  std::string run_id;
  std::string source;
};

/// One version: its files never change.
struct VersionRecord {
  std::string model_id;
  std::string model;
  std::int64_t version = 0;
  VersionState state = VersionState::kUploading;
  std::string reason;  ///< Of its state: why it was rejected.
  std::string digest;  ///< SHA-256 of its manifest's canonical text, in hex.
  ByteCount bytes = 0;
  std::size_t files = 0;
  std::string description;
  std::string stage;
  Lineage lineage;
  std::int64_t revision = 1;  ///< Of state, description and stage.
  WallTime created;
  std::string created_by;
  WallTime updated;
  Tags tags;
  std::vector<std::string> aliases;  ///< In order.
};

struct NewModel {
  std::string name;
  TenantId tenant;
  std::string description;
  Tags tags;
};

struct NewVersion {
  Manifest manifest;
  std::string description;
  std::string stage;
  Lineage lineage;
  Tags tags;
};

/// What to change; what is not set stays.
struct ModelChange {
  std::optional<std::string> description;
  std::optional<TenantId> tenant;
  std::optional<std::int64_t> if_revision;  ///< Only when it is still this.
};
struct VersionChange {
  std::optional<std::string> description;
  std::optional<std::string> stage;
  std::optional<std::int64_t> if_revision;
};
struct StateChange {
  VersionState from = VersionState::kUploading;
  VersionState to = VersionState::kTesting;
  std::string reason;
};

/// How a list is ordered. By time: the last change, the oldest first. By creation likewise.
enum class RegistryOrder : std::uint8_t { kName, kNameDown, kTime, kTimeDown, kCreated, kCreatedDown };

enum class NameMatch : std::uint8_t {
  kAny,
  kEquals,
  kPrefix,
  kLike,   ///< SQL's pattern with % and _; `\` takes the meaning from the next character.
  kILike,  ///< The same; letters' case does not matter.
};

/// How a search compares.
enum class SearchComparison : std::uint8_t {
  kEquals,
  kDiffers,
  kLike,  ///< As NameMatch::kLike.
  kILike,
  kIn,     ///< One of the values.
  kLacks,  ///< Of the registry's tags alone: there is no such tag with this value.
  kLess,   ///< This and the next three of numbers alone.
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kNotIn,    ///< This and the next two of what is tracked alone.
  kAbsent,   ///< There is no such key.
  kPresent,  ///< There is one.
};

/// One more condition of a search. All of a query's must hold.
struct RegistryCondition {
  enum class Field : std::uint8_t {
    kName,   ///< Of the model.
    kTag,    ///< The value under `key`, of a model or of a version: false without such a tag.
    kRunId,  ///< These of versions alone.
    kSource,
    kVersion,  ///< Compared with `number`.
  };
  using Comparison = SearchComparison;
  Field field = Field::kName;
  std::string key;
  Comparison comparison = Comparison::kEquals;
  std::vector<std::string> values;  ///< One, but for kIn.
  std::int64_t number = 0;

  friend bool operator==(const RegistryCondition&, const RegistryCondition&) = default;
};

struct ModelQuery {
  NameMatch match = NameMatch::kAny;
  std::string name;
  Tags tags;          ///< All of them.
  std::string alias;  ///< Only models that have it.
  std::vector<RegistryCondition> conditions;
  /// Only what is everybody's or this tenant's.
  std::optional<TenantId> visible_to;
  RegistryOrder order = RegistryOrder::kName;
};

struct VersionQuery {
  NameMatch match = NameMatch::kAny;  ///< Of the model's name.
  std::string model;
  std::optional<VersionState> state;
  Tags tags;
  std::string alias;
  std::string run_id;
  std::string digest;
  std::vector<RegistryCondition> conditions;
  std::optional<TenantId> visible_to;
  RegistryOrder order = RegistryOrder::kNameDown;  ///< By name: by model, then version.
};

template <typename Record>
struct RegistryPage {
  std::vector<Record> records;
  std::string next;  ///< Where the next page begins; empty: this was the last.
};

/// One line of the history, which is never changed.
struct RegistryEvent {
  std::int64_t number = 0;  ///< Grows.
  std::string model;        ///< As it was called then.
  std::optional<std::int64_t> version;
  std::string kind;   ///< "alias_set", "version_state", "served", ...
  std::string field;  ///< The alias, tag, host or member that it is about.
  std::string before;
  std::string after;
  WallTime at;
  std::string by;
};

/// What a model's names stood for at a moment.
struct RegistryMoment {
  std::map<std::string, std::int64_t> aliases;
  std::optional<std::int64_t> latest;
  struct Served {
    std::int64_t version = 0;
    std::string host;
    friend bool operator==(const Served&, const Served&) = default;
  };
  std::vector<Served> served;
};

}  // namespace mezzo::lifecycle
