#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/config/schema.h"

namespace mezzo::config {

/// What a document may cost before it is understood.
struct DocumentLimits {
  std::size_t max_bytes = std::size_t{1} << 20;
  std::size_t max_depth = 32;
  std::size_t max_nodes = 100'000;
};

/// Where each given value came from: path to "mezzo.yaml:12:3", "MEZZO_SERVING_…" or "--set serving.…".
/// Paths that keep their default are absent.
using Provenance = std::map<std::string, std::string>;

/// A command-line flag of its own that sets one path: {"--port", "http.port", "8000"}.
struct NamedFlag {
  std::string flag;
  std::string path;
  std::string value;
};

/// Every source of a configuration, lowest precedence first.
struct LoadOptions {
  std::string file;                                ///< YAML file to read, or empty for none.
  std::map<std::string, std::string> environment;  ///< ProcessEnvironment(), or what a test injects.
  std::string environment_prefix = "MEZZO_";
  std::vector<std::string> ignored_variables;  ///< Of that prefix, but not configuration (MEZZO_CONFIG).
  std::vector<NamedFlag> flags;
  std::vector<std::string> sets;  ///< "serving.batching.max_rows=8", as after --set.
  bool resolve_secrets = true;    ///< False for an offline check: secrets keep the reference only.
  DocumentLimits limits;
};

/// All of this process's variables: secrets may name any of them.
std::map<std::string, std::string> ProcessEnvironment();

/// The erased forms of the templates below: `object` is a default-constructed struct of `type`, and is left
/// in an unspecified state by a failure.
Result<void> LoadInto(const ValueType& type, void* object, const LoadOptions& options,
                      Provenance* provenance);
Result<void> ParseYamlInto(const ValueType& type, void* object, std::string_view text,
                           std::string_view source, const DocumentLimits& limits, Provenance* provenance);

/// Defaults < file < environment < flags (named ones, then --set; the last of one path wins).
///
/// Values of variables and flags are plain text for scalars and YAML for lists and maps ("[a, b]"; a list of
/// scalars also takes "a,b"). `null` unsets an optional. Paths go through lists by index
/// ("listeners.0.port"). A list or map in a file replaces the default one.
///
/// Fails with up to 20 problems, one a line, each with its place; the reason is that of the first:
/// "config_syntax", "config_unknown_key", "config_invalid_value" or "config_missing".
template <typename T>
Result<T> Load(const LoadOptions& options, Provenance* provenance = nullptr) {
  T value{};
  MEZZO_TRY_VOID(LoadInto(TypeOf<T>(), &value, options, provenance));
  return value;
}

/// One YAML document (a model.yaml) without environment or flags; `source` names it in messages. Secrets are
/// refused: a file that comes with a model must not read this host's files or variables.
template <typename T>
Result<T> ParseYaml(std::string_view text, std::string_view source, const DocumentLimits& limits = {},
                    Provenance* provenance = nullptr) {
  T value{};
  MEZZO_TRY_VOID(ParseYamlInto(TypeOf<T>(), &value, text, source, limits, provenance));
  return value;
}

}  // namespace mezzo::config
