#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// The command lines of `mezzo tenant` and `mezzo key`.
struct TenantOptions {
  enum class Action : std::uint8_t {
    kListTenants,
    kCreateTenant,
    kShowTenant,
    kChangeTenant,
    kSuspendTenant,
    kResumeTenant,
    kCreateProject,
    kListProjects,
    kListKeys,
    kCreateKey,
    kRotateKey,
    kRevokeKey,
    kWho
  };
  ServerOptions server;
  Action action = Action::kListTenants;
  std::string tenant;  ///< Of keys: empty means the caller's own.
  std::string id;      ///< Of a project or key.
  std::string name;
  double weight = 0;                 ///< 0: as it is.
  std::vector<std::string> classes;  ///< Empty: as they are.
  std::vector<std::string> tiers;    ///< Empty: as they are.
  bool platform = false;
  std::string project;
  std::vector<std::string> scopes;
  std::string role;
  Duration expires{};  ///< 0: never.
  Duration overlap = std::chrono::hours(24);
  bool json = false;
};

/// Registers `mezzo tenant`; `options` must outlive `app`'s parsing.
CLI::App* AddTenantCommand(CLI::App& app, TenantOptions& options);
/// Registers `mezzo key`.
CLI::App* AddKeyCommand(CLI::App& app, TenantOptions& options);
/// Asks the server and prints the answer; see ExitCode. A new key's text alone goes to standard output, so
/// that it can go straight into a secret store.
int RunTenantCommand(const TenantOptions& options);
int RunKeyCommand(const TenantOptions& options);

/// The table of `mezzo tenant list`, and of `mezzo key list`. Fail with "bad_answer".
Result<std::string> TenantTable(std::string_view json);
Result<std::string> KeyTable(std::string_view json);

}  // namespace mezzo::app::cli
