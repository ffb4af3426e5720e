#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "mezzo/app/server_config.h"
#include "mezzo/base/result.h"

namespace mezzo::app {

/// A whole server in this process: everything `mezzo serve` runs, wired from the configuration.
/// Not thread-safe: one owner starts and ends it.
class Server {
 public:
  /// Builds and starts everything, and returns once the ports answer (models may still be loading: readiness
  /// says when). Fails with the reasons of the configuration, the listeners and the repository.
  static Result<std::unique_ptr<Server>> Start(const ServerConfig& config);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// 0 when the protocol is off.
  [[nodiscard]] std::uint16_t http_port() const;
  [[nodiscard]] std::uint16_t grpc_port() const;

  /// The admin's key, when this was the first start on its database: to be shown once.
  [[nodiscard]] std::optional<std::string> first_admin_key() const;

  /// Not ready at once; running requests finish, for at most the grace time; then everything ends. False when
  /// something had to be cut.
  bool Shutdown();

  /// Takes over what may change while running (log level and format); logs what needs a restart.
  void Reload(const ServerConfig& config);

 private:
  class Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace mezzo::app
