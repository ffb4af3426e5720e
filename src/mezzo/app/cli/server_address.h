#pragma once

#include <string>
#include <string_view>

#include <CLI/App.hpp>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// What every client command ends with.
enum class ExitCode : int {
  kOk = 0,
  kRefused = 1,      ///< The server answered with an error, or not as its protocol says.
  kUsage = 2,        ///< The command line, or a file it names, is wrong.
  kUnreachable = 3,  ///< No server answered.
};

/// The code for an error of this module, by its reason: "unreachable"; "server_refused", "bad_answer" and
/// "bad_metrics"; all others are usage.
ExitCode ExitCodeOf(const Error& error);
/// Prints "mezzo COMMAND: message" to standard error and returns the code.
int FailWith(std::string_view command, const Error& error);

/// Options that all client commands share.
struct ServerOptions {
  std::string url = "http://127.0.0.1:8000";
  std::string grpc = "127.0.0.1:8001";
  std::string key_env;  ///< Variable with the API key; empty: MEZZO_API_KEY, when set.
  std::string ca_file;  ///< PEM file of the authorities trusted for https; empty: the system's.
  Duration timeout = std::chrono::seconds(30);
};

/// Adds --url, --key-env, --ca-file and --timeout to a command.
void AddServerOptions(CLI::App& command, ServerOptions& options);
/// An option whose value is a duration such as "500ms".
CLI::Option* AddDurationOption(CLI::App& command, const std::string& name, Duration& to,
                               const std::string& help);

/// A taken-apart URL: scheme http or https, host, port, path prefix (without a trailing slash).
struct ServerAddress {
  bool tls = false;
  std::string host;
  std::string port;
  std::string prefix;
  /// Value of the Host header: an IPv6 host in brackets, the port unless it is the scheme's own.
  [[nodiscard]] std::string authority() const;
};

/// Fails with "bad_url" naming what is wrong. Credentials, queries and fragments are refused.
Result<ServerAddress> ParseUrl(std::string_view url);

/// The API key of the variable `name`, or of MEZZO_API_KEY when `name` is empty (then it may be unset: an
/// empty key). Fails with "missing_key" when a named variable is unset or empty, or the key can't stand in a
/// header.
Result<std::string> ReadKey(const std::string& name);

/// A whole file, "-" for standard input; fails with "unreadable_file" naming the path, and beyond 1 GiB.
Result<std::string> ReadFile(const std::string& path);
/// Replaces the file, "-" for standard output; fails with "unwritable_file".
Result<void> WriteFile(const std::string& path, std::string_view text);

}  // namespace mezzo::app::cli
