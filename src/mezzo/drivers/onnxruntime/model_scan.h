#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"

namespace mezzo::drivers {

/// Random access to the bytes of a file, or of a buffer in tests.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// Fills `out` from `offset`; both lie within size(). Fails when the bytes can't be read.
  virtual Result<void> Read(std::uint64_t offset, std::span<std::byte> out) = 0;
};

/// A file that the model's tensors refer to.
struct ExternalFile {
  std::string location;    ///< As the model writes it.
  std::string tensor;      ///< The first tensor that refers to it, for messages.
  ByteCount min_size = 0;  ///< The end of the furthest range that a tensor names.
};

/// What an ONNX file says about itself, found without giving it to the engine.
struct ModelScan {
  std::vector<ExternalFile> external;   ///< One per location.
  ByteCount inline_tensor_bytes = 0;    ///< Values of tensors within the file.
  ByteCount external_tensor_bytes = 0;  ///< Values of tensors in external files, as far as lengths are given.
  bool has_loops = false;               ///< Loop or Scan: how long a run takes depends on the values.
  std::set<std::string> dim_symbols;    ///< Symbolic dimensions of inputs: "batch". At most kMaxDimSymbols.
  /// Operator sets that the model imports, by domain ("" is ONNX's own). At most kMaxDomains. Of a domain
  /// that comes twice the later counts, as for protobuf.
  std::map<std::string, std::int64_t> opsets;
  /// Operators of other domains than ONNX's own, by domain, that no function of the model defines. At most
  /// kMaxForeignOperators.
  std::map<std::string, std::set<std::string>> foreign_operators;
};

/// Reads the protobuf framing of an ONNX model: graphs, subgraphs, functions and training graphs, and every
/// tensor in them. Tensor values are skipped, not read, so the cost is that of the structure. Nothing that a
/// tensor says about external data is left unseen: parts that protobuf would merge are all visited.
///
/// Fails with kInvalidArgument "model_invalid", naming the byte, for what is not an ONNX model, and for what
/// no model needs and attacks use: locations that are empty, absolute or have "..", unknown kinds of external
/// data, nesting beyond kMaxDepth, EPContext nodes (they name files for a provider to open), huge sparse
/// tensors.
Result<ModelScan> ScanModel(ByteSource& source);

/// Whether external data may have a second name (a hard link). Whoever may write a folder of models could
/// give a name there to a file that only the server may read; in a folder that the server alone fills, second
/// names are its own.
enum class SecondNames : std::uint8_t { kRefused, kAllowed };

/// The same of a model file, with its external data proven to lie below its folder and to be long enough
/// (internal/model_files.h). Errors: kNotFound "model_file_missing", kInvalidArgument "model_invalid".
/// Blocks.
Result<ModelScan> ScanModelFile(const std::string& model_path,
                                SecondNames second_names = SecondNames::kRefused);

inline constexpr int kMaxScanDepth = 100;
inline constexpr std::size_t kMaxExternalFiles = 16384;
inline constexpr std::size_t kMaxLocationLength = 1024;
inline constexpr std::size_t kMaxDimSymbols = 1024;
inline constexpr std::size_t kMaxDimSymbolLength = 256;
inline constexpr std::size_t kMaxDomains = 64;
inline constexpr std::size_t kMaxForeignOperators = 1024;
inline constexpr std::size_t kMaxOperatorName = 256;
/// Sparse initialisers become dense when they are loaded.
inline constexpr ByteCount kMaxSparseTensorBytes = ByteCount{2} << 30U;

/// Why `location` may not be used, or empty: it must be relative, and no part of it may be "..".
std::string LocationFault(std::string_view location);

}  // namespace mezzo::drivers
