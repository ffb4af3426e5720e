#include "mezzo/drivers/onnxruntime/internal/ort_error.h"

#include <algorithm>
#include <array>
#include <optional>

#include "mezzo/drivers/onnxruntime/internal/allocator.h"

namespace mezzo::drivers {
namespace {

constexpr std::size_t kMaxMessage = 600;

/// Names of nodes look like paths too ("/encoder/layer.0/MatMul") and must stay whole, so only paths below
/// the usual top folders, and those of the library's own sources, are shortened.
constexpr std::array<std::string_view, 23> kTopFolders = {
    "app",
    "bin",
    "boot",
    "data",
    "dev",
    "etc",
    "home",
    "lib",
    "lib64",
    "media",
    "mnt",
    "nix",
    "opt",
    "proc",
    "root",
    "run",
    "srv",
    "storage",
    "sys",
    "tmp",
    "usr",
    "var",
    "onnxruntime_src",
};

bool EndsPath(char c) {
  return c == ' ' || c == '"' || c == '\'' || c == '(' || c == ')' || c == ',' || c == ';' || c == '\n' ||
         c == '[' || c == ']' || c == '`' || c == '<' || c == '>' || c == '=';
}

bool IsHostPath(std::string_view path) {
  const std::size_t slash = path.find('/', 1);
  if (slash == std::string_view::npos) return false;
  return std::find(kTopFolders.begin(), kTopFolders.end(), path.substr(1, slash - 1)) != kTopFolders.end();
}

std::string_view LastPart(std::string_view path) { return path.substr(path.rfind('/') + 1); }

void ReplaceAll(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

struct Failure {
  OrtErrorCode code;
  std::string message;
};

Failure Take(const OrtApi& api, OrtStatus* status) {
  Failure failure{.code = api.GetErrorCode(status), .message = api.GetErrorMessage(status)};
  api.ReleaseStatus(status);
  return failure;
}

/// The allocator's words, without the library's around them; the node's name stays.
std::optional<Error> MemoryError(const std::string& message) {
  const std::size_t at = message.find(SessionAllocator::kNoMemory);
  if (at == std::string::npos) return std::nullopt;
  std::string text = message.substr(at + SessionAllocator::kNoMemory.size());
  constexpr std::string_view kRunning = "while running ";
  if (const std::size_t node = message.find(kRunning); node < at) {
    const std::string_view rest = std::string_view(message).substr(node + kRunning.size());
    text = "in " + std::string(rest.substr(0, rest.find(". "))) + " " + text;
  }
  return ResourceExhausted("engine_memory", CleanOrtMessage(text));
}

}  // namespace

std::string CleanOrtMessage(std::string_view message, std::span<const std::string> hidden) {
  std::string text(message);
  for (const std::string& path : hidden) {
    if (path.find('/') != std::string::npos) ReplaceAll(text, path, LastPart(path));
  }
  std::string out;
  bool at_start = true;  // Of a word: a path begins only there.
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '/' && at_start) {
      std::size_t end = i;
      while (end < text.size() && !EndsPath(text[end])) ++end;
      const std::string_view path = std::string_view(text).substr(i, end - i);
      out += IsHostPath(path) ? LastPart(path) : path;
      i = end;
      at_start = false;
      continue;
    }
    at_start = EndsPath(c) || c == ':';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    ++i;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  if (out.size() > kMaxMessage) out = out.substr(0, kMaxMessage - 3) + "...";
  return out;
}

Error RunError(const OrtApi& api, OrtStatus* status) {
  const Failure failure = Take(api, status);
  std::string text = CleanOrtMessage(failure.message);
  if (text.find("terminate flag") != std::string::npos) {
    return Cancelled("run_terminated", "the run was ended before the model was finished");
  }
  if (auto memory = MemoryError(failure.message)) return *std::move(memory);
  if (failure.code == ORT_INVALID_ARGUMENT) return InvalidArgument("engine_rejected_input", std::move(text));
  return Internal("engine_failed", std::move(text));
}

Error LoadError(const OrtApi& api, OrtStatus* status, std::span<const std::string> hidden) {
  const Failure failure = Take(api, status);
  if (auto memory = MemoryError(failure.message)) return *std::move(memory);
  std::string text = "ONNX Runtime: " + CleanOrtMessage(failure.message, hidden);
  return InvalidArgument("model_invalid", std::move(text));
}

Result<void> OrtResult(const OrtApi& api, OrtStatus* status) {
  if (status == nullptr) [[likely]]
    return {};
  const Failure failure = Take(api, status);
  return Internal("engine_failed", "ONNX Runtime: " + CleanOrtMessage(failure.message));
}

}  // namespace mezzo::drivers
