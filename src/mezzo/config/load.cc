#include "mezzo/config/load.h"

#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

#include "mezzo/base/strings.h"
#include "mezzo/config/internal/decode.h"
#include "mezzo/config/internal/node.h"
#include "mezzo/config/internal/overrides.h"
#include "mezzo/config/internal/problems.h"

namespace mezzo::config {
namespace {

Error CannotRead(const std::string& path, int error) {
  const std::string why = std::generic_category().message(error);
  if (error == ENOENT) return NotFound("config_missing", path + ": cannot be read: " + why);
  return InvalidArgument("config_missing", path + ": cannot be read: " + why);
}

/// At most `max_bytes` and one more: enough for the parser to refuse what is too long.
Result<std::string> ReadBounded(const std::string& path, std::size_t max_bytes) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return CannotRead(path, errno);
  std::string text;
  std::string chunk(std::size_t{64} << 10, '\0');
  while (text.size() <= max_bytes && file) {
    file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    text.append(chunk, 0, static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad() || (file.fail() && !file.eof())) return CannotRead(path, errno == 0 ? EIO : errno);
  return text;
}

}  // namespace

std::map<std::string, std::string> ProcessEnvironment() {
  std::map<std::string, std::string> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

Result<void> LoadInto(const ValueType& type, void* object, const LoadOptions& options,
                      Provenance* provenance) {
  MEZZO_TRY_VOID(CheckSchema(type));
  internal::Node root;
  if (!options.file.empty()) {
    MEZZO_TRY(const std::string text, ReadBounded(options.file, options.limits.max_bytes));
    MEZZO_TRY(root, internal::ParseDocument(text, options.file, options.limits));
  }
  internal::Problems problems;
  internal::ApplyOverrides(type, options, root, problems);
  const internal::SecretSource secrets = {.policy = options.resolve_secrets
                                                        ? internal::SecretSource::Policy::kResolve
                                                        : internal::SecretSource::Policy::kKeepReference,
                                          .environment = &options.environment};
  internal::Decoder(secrets, problems, provenance).DecodeRoot(type, root, object);
  return problems.ToResult();
}

Result<void> ParseYamlInto(const ValueType& type, void* object, std::string_view text,
                           std::string_view source, const DocumentLimits& limits, Provenance* provenance) {
  MEZZO_TRY(const internal::Node root, internal::ParseDocument(text, source, limits));
  internal::Problems problems;
  const internal::SecretSource secrets;
  internal::Decoder(secrets, problems, provenance).DecodeRoot(type, root, object);
  return problems.ToResult();
}

}  // namespace mezzo::config
