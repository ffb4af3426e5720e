#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/app/cli/server_address.h"
#include "mezzo/base/result.h"
#include "mezzo/tensor/dtype.h"
#include "mezzo/tensor/shape.h"

namespace mezzo::app::cli {

struct HttpReply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// The first header of this name in any case, or "".
  [[nodiscard]] std::string_view Header(std::string_view name) const;
};

/// What a model declares of one input or output; -1 in `shape` is variable.
struct TensorSignature {
  std::string name;
  tensor::DType dtype = tensor::DType::kFp32;
  tensor::Shape shape;
};

struct ModelSignature {
  std::string name;
  std::vector<std::string> versions;
  std::string platform;
  std::vector<TensorSignature> inputs;
  std::vector<TensorSignature> outputs;
};

/// Requests and durations of one model version, from the statistics extension; only ever grow.
struct ServerStatistics {
  std::string model;
  std::string version;
  std::uint64_t rows = 0;
  std::uint64_t batches = 0;
  std::uint64_t successes = 0;
  std::uint64_t failures = 0;
  std::uint64_t queue_ns = 0;    ///< Sum over successes.
  std::uint64_t compute_ns = 0;  ///< Sum over successes.
  std::uint64_t memory_bytes = 0;
};

/// "/v2/models/NAME[/versions/VERSION]", percent-encoded.
std::string ModelPath(std::string_view model, std::string_view version);

/// Asks a server over HTTP, one connection for each request, and blocks; for what a command asks once.
/// Answers are at most 1 GiB.
///
/// Errors: kUnavailable "unreachable" naming the URL; "server_refused" with the server's own message;
/// "bad_answer" when an answer is not what the protocol says.
class V2Client {
 public:
  /// Fails with "bad_url" or "missing_key".
  static Result<V2Client> Make(const ServerOptions& options);

  using Headers = std::vector<std::pair<std::string, std::string>>;
  /// Any answer counts as success, whatever its status.
  [[nodiscard]] Result<HttpReply> Call(std::string_view method, const std::string& path,
                                       const std::string& body = {}, const Headers& headers = {}) const;
  /// The body of an answer with a 2xx status.
  [[nodiscard]] Result<HttpReply> CallOk(std::string_view method, const std::string& path,
                                         const std::string& body = {}, const Headers& headers = {}) const;

  [[nodiscard]] Result<ModelSignature> Signature(const std::string& model, const std::string& version) const;
  /// Of one model, or of all when `model` is empty.
  [[nodiscard]] Result<std::vector<ServerStatistics>> Statistics(const std::string& model) const;

  [[nodiscard]] const ServerAddress& address() const { return address_; }
  /// Empty: none.
  [[nodiscard]] const std::string& key() const { return key_; }

 private:
  V2Client() = default;

  std::string url_;
  ServerAddress address_;
  std::string key_;
  std::string ca_file_;
  Duration timeout_{};
};

/// Parses what Signature() and Statistics() receive. Fails with "bad_answer".
Result<ModelSignature> ParseSignature(std::string_view json);
Result<std::vector<ServerStatistics>> ParseStatistics(std::string_view json);

}  // namespace mezzo::app::cli
