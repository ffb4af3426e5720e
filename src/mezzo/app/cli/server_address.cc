#include "mezzo/app/cli/server_address.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <CLI/CLI.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/config/value.h"

namespace mezzo::app::cli {
namespace {

constexpr std::size_t kMaxFile = std::size_t{1} << 30;

Error BadUrl(std::string_view url, const std::string& what) {
  return InvalidArgument("bad_url", "'" + Printable(url) + "' " + what);
}

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

}  // namespace

ExitCode ExitCodeOf(const Error& error) {
  if (error.reason() == "unreachable") return ExitCode::kUnreachable;
  for (const std::string_view reason : {"server_refused", "bad_answer", "bad_metrics"}) {
    if (error.reason() == reason) return ExitCode::kRefused;
  }
  return ExitCode::kUsage;
}

int FailWith(std::string_view command, const Error& error) {
  const std::string line = "mezzo " + std::string(command) + ": " + error.message() + "\n";
  std::fputs(line.c_str(), stderr);
  return static_cast<int>(ExitCodeOf(error));
}

CLI::Option* AddDurationOption(CLI::App& command, const std::string& name, Duration& to,
                               const std::string& help) {
  const auto parse = [&to, name](const std::string& text) {
    const auto duration = config::ParseDuration(text);
    if (!duration.ok())
      throw CLI::ValidationError(name, "'" + Printable(text) + "' must be " + duration.error().message());
    to = *duration;
  };
  return command.add_option_function<std::string>(name, parse, help)
      ->type_name("DURATION")
      ->default_str(config::FormatDuration(to));
}

void AddServerOptions(CLI::App& command, ServerOptions& options) {
  command.add_option("--url", options.url, "The server's HTTP address")
      ->capture_default_str()
      ->envname("MEZZO_URL")
      ->type_name("URL");
  command.add_option("--key-env", options.key_env, "Variable with the API key (default: MEZZO_API_KEY)")
      ->type_name("NAME");
  command
      .add_option("--ca-file", options.ca_file,
                  "PEM file of trusted authorities for https (default: the system's)")
      ->type_name("FILE");
  AddDurationOption(command, "--timeout", options.timeout, "Give up on a request after this long");
}

std::string ServerAddress::authority() const {
  std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != (tls ? "443" : "80")) text += ":" + port;
  return text;
}

Result<ServerAddress> ParseUrl(std::string_view url) {
  ServerAddress address;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    address.tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return BadUrl(url, "must start with http:// or https://");
  }
  if (rest.find_first_of("?#@ \t\r\n") != std::string_view::npos) {
    return BadUrl(url, "must be scheme, host, port and path only (a key comes from --key-env)");
  }
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  std::string_view path = rest.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  address.prefix = std::string(path);
  address.port = address.tls ? "443" : "80";
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return BadUrl(url, "has an IPv6 address without ']'");
    address.host = std::string(authority.substr(1, end - 1));
    authority.remove_prefix(end + 1);
  } else {
    const std::size_t end = std::min(authority.find(':'), authority.size());
    address.host = std::string(authority.substr(0, end));
    authority.remove_prefix(end);
  }
  if (address.host.empty()) return BadUrl(url, "names no host");
  if (!authority.empty()) {
    const auto port = authority.front() == ':' ? ParseUint(authority.substr(1)) : std::nullopt;
    if (!port || *port == 0 || *port > 65535)
      return BadUrl(url, "has a port that is not a number from 1 to 65535");
    address.port = std::to_string(*port);
  }
  return address;
}

Result<std::string> ReadKey(const std::string& name) {
  const std::string variable = name.empty() ? "MEZZO_API_KEY" : name;
  const char* value = std::getenv(variable.c_str());
  if (value == nullptr || *value == '\0') {
    if (name.empty()) return std::string();
    return InvalidArgument("missing_key", "the variable '" + Printable(name) + "' of --key-env is not set");
  }
  std::string key(value);
  const bool plain = std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 127; });
  if (!plain) {
    return InvalidArgument(
        "missing_key", "the key in '" + Printable(variable) + "' has characters other than printable ASCII");
  }
  return key;
}

Result<std::string> ReadFile(const std::string& path) {
  File opened;
  std::FILE* file = stdin;
  if (path != "-") {
    opened.reset(std::fopen(path.c_str(), "rb"));
    file = opened.get();
  }
  if (file == nullptr) {
    return InvalidArgument("unreadable_file",
                           "cannot read '" + Printable(path) + "': " + std::strerror(errno));
  }
  std::string text;
  char buffer[65536];
  while (const std::size_t count = std::fread(buffer, 1, sizeof(buffer), file)) {
    text.append(buffer, count);
    if (text.size() > kMaxFile) {
      return InvalidArgument("unreadable_file", "'" + Printable(path) + "' is larger than 1 GiB");
    }
  }
  if (std::ferror(file) != 0) {
    return InvalidArgument("unreadable_file",
                           "cannot read '" + Printable(path) + "': " + std::strerror(errno));
  }
  return text;
}

Result<void> WriteFile(const std::string& path, std::string_view text) {
  File opened;
  std::FILE* file = stdout;
  if (path != "-") {
    opened.reset(std::fopen(path.c_str(), "wb"));
    file = opened.get();
  }
  const bool written = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size() &&
                       std::fflush(file) == 0;
  if (!written) {
    return InvalidArgument("unwritable_file",
                           "cannot write '" + Printable(path) + "': " + std::strerror(errno));
  }
  return {};
}

}  // namespace mezzo::app::cli
