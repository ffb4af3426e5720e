#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>

#include "mezzo/app/cli/payload.h"
#include "mezzo/app/cli/server_address.h"

namespace mezzo::app::cli {

/// The command line of `mezzo infer`.
struct InferOptions {
  enum class Output : std::uint8_t { kText, kJson, kRaw };
  ServerOptions server;
  std::string model;
  std::string version;
  std::vector<std::string> inputs;     ///< "name=[1,2]", "name=@file.json", "name=@file.bin"
  std::vector<std::string> shapes;     ///< "name:1x32"
  std::vector<std::string> datatypes;  ///< "name:FP32"
  std::vector<std::string> outputs;    ///< Names; empty: all.
  Output output = Output::kText;
  Duration deadline{};  ///< Zero: none.
  std::uint64_t priority = 0;
};

/// Registers `mezzo infer`; `options` must outlive `app`'s parsing.
CLI::App* AddInferCommand(CLI::App& app, InferOptions& options);
/// Sends one request and prints the answer; see ExitCode.
int RunInferCommand(const InferOptions& options);

/// One input of --input: its type and shape come from the options, else from the signature, else (shape) from
/// the nesting of the JSON value. Fails with "bad_input" naming the input.
Result<NamedInput> ReadInput(const InferOptions& options, const ModelSignature& signature,
                             std::string_view text);

/// The tensors of a binary v2 answer whose JSON part has `json_length` bytes. Fails with "bad_answer".
Result<std::vector<NamedInput>> ParseAnswer(std::string_view body, std::size_t json_length);

}  // namespace mezzo::app::cli
