#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mezzo/app/cli/flow_run.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// Where the HTTP requests of a flow go and what they are.
struct HttpFlow {
  FlowRun* run = nullptr;  ///< Outlives the driver.
  std::string host;
  std::string port;
  std::size_t connections = 1;  ///< Keep-alive, of this flow alone: flows never wait for each other here.
  std::vector<std::string> requests;  ///< Complete requests, head and body; sent in turn.
};

/// Where the gRPC calls of a flow go and what they are.
struct GrpcFlow {
  FlowRun* run = nullptr;             ///< Outlives the driver.
  std::string target;                 ///< "127.0.0.1:8001".
  std::size_t channels = 1;           ///< Connections, of this flow alone.
  std::string authorization;          ///< Value of the metadata of this name; empty: none.
  std::vector<std::string> requests;  ///< Serialised inference.ModelInferRequest messages; sent in turn.
};

/// Sends what its flows say when they say, on the thread that calls Run().
class LoadDriver {
 public:
  virtual ~LoadDriver() = default;
  /// Opens the connections, so that the run does not begin with handshakes. Fails with kUnavailable
  /// "unreachable" naming the address when none could be opened within `timeout`.
  virtual Result<void> Connect(Duration timeout) = 0;
  /// Ends when all flows have finished.
  virtual void Run() = 0;
  /// Makes the flows stop. Thread-safe; only while Run() may still be entered or runs.
  virtual void Stop() = 0;
};

/// One thread of HTTP/1.1 over plain TCP. `clock` outlives it.
std::unique_ptr<LoadDriver> NewHttpLoad(std::vector<HttpFlow> flows, const Clock& clock);
/// One sending thread and one that takes answers, over the inference.GRPCInferenceService/ModelInfer call.
std::unique_ptr<LoadDriver> NewGrpcLoad(std::vector<GrpcFlow> flows, const Clock& clock);

}  // namespace mezzo::app::cli
