#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"

namespace mezzo::engine {

/// How the processes of a model that runs beside the server are kept. Only the Python engine reads it.
struct WorkerSettings {
  std::string python;          ///< The interpreter; empty: the engine's own choice.
  ByteCount memory_limit = 0;  ///< Resident memory of one process; 0: the engine's own choice.
  Duration start_timeout = std::chrono::minutes(2);  ///< From the start of a process to its first "ready".
  Duration run_timeout = std::chrono::minutes(10);   ///< Of one run; the run fails and its process is ended.
  /// A process that shows no sign of life for so long during a run is ended, however long the run may last.
  Duration hang_timeout = std::chrono::seconds(30);
  Duration cancel_grace = std::chrono::seconds(5);  ///< From a cancellation to the end of the process.
};

enum class UpstreamProtocol : std::uint8_t {
  kV2,            ///< Open Inference Protocol v2 over HTTP, tensors in binary.
  kOpenAiImages,  ///< POST /v1/images/generations.
};

/// A model that another server runs. Only the remote engine reads it.
struct Upstream {
  UpstreamProtocol protocol = UpstreamProtocol::kV2;
  std::string url;      ///< "https://host:8000", optionally with a path prefix. Empty: there is no upstream.
  std::string model;    ///< Its name there.
  std::string version;  ///< There; empty: the upstream's choice. Only with kV2.
  /// Sent with every request. A value is a reference, "env:UPSTREAM_…" with optional text before it
  /// ("Bearer env:UPSTREAM_KEY"): never the secret itself.
  std::vector<std::pair<std::string, std::string>> headers;
  Duration timeout = std::chrono::seconds(60);  ///< Of one attempt.
  int retries = 2;                              ///< Attempts after the first, for faults that may pass.
};

}  // namespace mezzo::engine
