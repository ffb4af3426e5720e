#include "mezzo/app/cli/infer_command.h"

#include <unistd.h>

#include <cstdio>
#include <map>
#include <optional>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using Json = nlohmann::json;
using Output = InferOptions::Output;

Error BadInput(std::string_view name, const std::string& what) {
  return InvalidArgument("bad_input", "input '" + Printable(name) + "' " + what);
}

/// The value given for `name` among "name:value" texts.
std::optional<std::string_view> ValueFor(const std::vector<std::string>& texts, std::string_view name) {
  std::optional<std::string_view> value;
  for (const std::string& text : texts) {
    const std::size_t colon = text.rfind(':');
    if (colon != std::string::npos && std::string_view(text).substr(0, colon) == name) {
      value = std::string_view(text).substr(colon + 1);
    }
  }
  return value;
}

/// Every "name:value" has to belong to an input that is given.
Result<void> CheckNames(const std::vector<std::string>& texts, const std::vector<std::string>& inputs,
                        std::string_view option) {
  for (const std::string& text : texts) {
    const std::size_t colon = text.rfind(':');
    const std::string prefix = text.substr(0, std::min(colon, text.size())) + "=";
    const bool known = colon != std::string::npos &&
                       std::any_of(inputs.begin(), inputs.end(),
                                   [&](const auto& input) { return input.starts_with(prefix); });
    if (!known) {
      return InvalidArgument("bad_input", std::string(option) + " '" + Printable(text) +
                                              "' must be NAME:VALUE with the name of an --input");
    }
  }
  return {};
}

/// The shape of raw bytes when the signature leaves at most one dimension open.
std::optional<tensor::Shape> ShapeOfBytes(const TensorSignature& declared, tensor::DType dtype,
                                          std::size_t size) {
  tensor::Shape shape = declared.shape;
  std::optional<std::size_t> open;
  for (std::size_t i = 0; i < shape.rank(); ++i) {
    if (shape[i] >= 0) continue;
    if (open.has_value()) return std::nullopt;
    open = i;
  }
  if (!open.has_value()) return shape;
  shape[*open] = 1;
  const auto row = tensor::ByteSize(dtype, shape);
  if (tensor::DTypeSize(dtype) == 0 || !row.ok() || *row == 0 || size % *row != 0) return std::nullopt;
  shape[*open] = static_cast<std::int64_t>(size / *row);
  return shape;
}

Result<std::vector<NamedInput>> ReadInputs(const InferOptions& options, const ModelSignature& signature) {
  MEZZO_TRY_VOID(CheckNames(options.shapes, options.inputs, "--shape"));
  MEZZO_TRY_VOID(CheckNames(options.datatypes, options.inputs, "--datatype"));
  std::vector<NamedInput> inputs;
  for (const std::string& text : options.inputs) {
    MEZZO_TRY(NamedInput input, ReadInput(options, signature, text));
    inputs.push_back(std::move(input));
  }
  return inputs;
}

/// Binary inputs; outputs as the chosen form needs them.
std::string RequestBody(const InferOptions& options, const std::vector<NamedInput>& inputs,
                        std::size_t* json_length) {
  Json body{{"inputs", Json::array()},
            {"parameters", {{"binary_data_output", options.output != Output::kJson}}}};
  if (options.deadline > Duration::zero()) {
    body["parameters"]["timeout"] = std::chrono::ceil<std::chrono::microseconds>(options.deadline).count();
  }
  if (options.priority > 0) body["parameters"]["priority"] = options.priority;
  std::string tail;
  for (const NamedInput& input : inputs) {
    const auto dims = input.tensor.shape.dims();
    body["inputs"].push_back({{"name", input.name},
                              {"datatype", tensor::DTypeName(input.tensor.dtype)},
                              {"shape", std::vector<std::int64_t>(dims.begin(), dims.end())},
                              {"parameters", {{"binary_data_size", input.tensor.data.size()}}}});
    tail += input.tensor.data.text();
  }
  for (const std::string& output : options.outputs) body["outputs"].push_back({{"name", output}});
  const std::string text = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  *json_length = text.size();
  return text + tail;
}

std::string AnswerText(const std::vector<NamedInput>& outputs) {
  constexpr std::size_t kMost = 2000;
  std::string text;
  for (const NamedInput& output : outputs) {
    std::string values = ValuesAsJson(output.tensor);
    if (values.size() > kMost) values = values.substr(0, kMost) + "... (--output json prints all)";
    text += output.name + " " + std::string(tensor::DTypeName(output.tensor.dtype)) +
            output.tensor.shape.ToString() + "\n  " + values + "\n";
  }
  return text;
}

Result<void> PrintAnswer(const InferOptions& options, const HttpReply& reply) {
  if (options.output == Output::kJson) {
    std::fputs((reply.body + "\n").c_str(), stdout);
    return {};
  }
  const std::string_view header = reply.Header("Inference-Header-Content-Length");
  const auto json_length =
      header.empty() ? std::optional<std::uint64_t>(reply.body.size()) : ParseUint(header);
  if (!json_length)
    return Internal("bad_answer", "the server's Inference-Header-Content-Length is no number");
  MEZZO_TRY(const auto outputs, ParseAnswer(reply.body, *json_length));
  if (options.output == Output::kText) return WriteFile("-", AnswerText(outputs));
  if (outputs.size() != 1) {
    return InvalidArgument("bad_output", "--output raw needs exactly one output; choose it by --output-name");
  }
  return WriteFile("-", outputs.front().tensor.data.text());
}

Result<void> Infer(const InferOptions& options) {
  if (options.output == Output::kRaw && ::isatty(STDOUT_FILENO) == 1) {
    return InvalidArgument("bad_output", "--output raw writes bytes: send them to a file or a pipe");
  }
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  MEZZO_TRY(const ModelSignature signature, client.Signature(options.model, options.version));
  MEZZO_TRY(const auto inputs, ReadInputs(options, signature));
  std::size_t json_length = 0;
  const std::string body = RequestBody(options, inputs, &json_length);
  const V2Client::Headers headers{{"Content-Type", "application/octet-stream"},
                                  {"Inference-Header-Content-Length", std::to_string(json_length)}};
  MEZZO_TRY(const HttpReply reply,
            client.CallOk("POST", ModelPath(options.model, options.version) + "/infer", body, headers));
  return PrintAnswer(options, reply);
}

}  // namespace

Result<NamedInput> ReadInput(const InferOptions& options, const ModelSignature& signature,
                             std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return InvalidArgument("bad_input",
                           "--input '" + Printable(text, 60) + "' must be NAME=JSON or NAME=@FILE");
  }
  const std::string name(text.substr(0, equals));
  std::string_view value = text.substr(equals + 1);
  const TensorSignature* declared = nullptr;
  std::string names;
  for (const TensorSignature& input : signature.inputs) {
    if (input.name == name) declared = &input;
    names += (names.empty() ? "" : ", ") + input.name;
  }
  if (declared == nullptr) return BadInput(name, "is none of the model's (" + names + ")");
  tensor::DType dtype = declared->dtype;
  if (const auto given = ValueFor(options.datatypes, name)) {
    const auto parsed = tensor::ParseDType(*given);
    if (!parsed) return BadInput(name, "has the unknown datatype '" + Printable(*given) + "'");
    dtype = *parsed;
  }
  std::optional<tensor::Shape> shape;
  if (const auto given = ValueFor(options.shapes, name)) {
    MEZZO_TRY(shape, ParseShape(*given));
  }
  NamedInput input{.name = name, .tensor = {.dtype = dtype, .shape = {}, .data = {}}};
  if (!value.starts_with('@')) {
    MEZZO_TRY(input.tensor, TensorFromJson(name, dtype, shape ? &*shape : nullptr, value));
    return input;
  }
  const std::string path(value.substr(1));
  MEZZO_TRY(std::string bytes, ReadFile(path));
  if (path.ends_with(".json")) {
    MEZZO_TRY(input.tensor, TensorFromJson(name, dtype, shape ? &*shape : nullptr, bytes));
    return input;
  }
  if (!shape.has_value()) shape = ShapeOfBytes(*declared, dtype, bytes.size());
  if (!shape.has_value()) {
    return BadInput(name, "from '" + Printable(path) + "' needs --shape " + name + ":..., as its " +
                              std::to_string(bytes.size()) + " bytes fit " + declared->shape.ToString() +
                              " in no or several ways");
  }
  input.tensor.shape = *shape;
  input.tensor.data = SharedBytes::FromString(std::move(bytes));
  MEZZO_TRY_VOID(tensor::CheckTensor(name, input.tensor));
  return input;
}

Result<std::vector<NamedInput>> ParseAnswer(std::string_view body, std::size_t json_length) {
  const auto bad = [](const std::string& what) {
    return Internal("bad_answer", "the server's answer is not what the protocol says: " + what);
  };
  if (json_length > body.size()) return bad("its JSON part is longer than the answer");
  const Json json = Json::parse(body.substr(0, json_length), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("outputs") || !json["outputs"].is_array())
    return bad("no \"outputs\"");
  std::string_view tail = body.substr(json_length);
  std::vector<NamedInput> outputs;
  for (const Json& item : json["outputs"]) {
    try {
      NamedInput output{.name = item.at("name").get<std::string>(), .tensor = {}};
      const auto dtype = tensor::ParseDType(item.at("datatype").get<std::string>());
      if (!dtype) return bad("unknown datatype of output '" + output.name + "'");
      tensor::Shape shape;
      for (const Json& dim : item.at("shape")) {
        if (!shape.Append(dim.get<std::int64_t>())) return bad("a shape has more than 12 dimensions");
      }
      const Json parameters = item.value("parameters", Json::object());
      if (parameters.contains("binary_data_size")) {
        const auto size = parameters["binary_data_size"].get<std::uint64_t>();
        if (size > tail.size()) return bad("output '" + output.name + "' is longer than the answer");
        output.tensor = {.dtype = *dtype,
                         .shape = shape,
                         .data = SharedBytes::FromString(std::string(tail.substr(0, size)))};
        tail.remove_prefix(size);
        MEZZO_TRY_VOID(tensor::CheckTensor(output.name, output.tensor));
      } else {
        MEZZO_TRY(output.tensor, TensorFromJson(output.name, *dtype, &shape, item.at("data").dump()));
      }
      outputs.push_back(std::move(output));
    } catch (const Json::exception& error) {
      return bad(error.what());
    }
  }
  return outputs;
}

CLI::App* AddInferCommand(CLI::App& app, InferOptions& options) {
  CLI::App* command = app.add_subcommand("infer", "Sends one inference request and prints the answer");
  command->footer(R"(Examples:
  mezzo infer simple --input 'INPUT0=[[1,2,3]]' --input INPUT1=@second.json
  mezzo infer minilm --input input_ids=@ids.bin --shape input_ids:1x32 --output json)");
  AddServerOptions(*command, options.server);
  command->add_option("MODEL", options.model, "Name of the model")->required();
  command->add_option("--model-version", options.version, "Its version (default: the server chooses)");
  command
      ->add_option("-i,--input", options.inputs,
                   "An input: JSON, @FILE.json, or @FILE of raw little-endian bytes")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all()
      ->required();
  command->add_option("--shape", options.shapes, "Shape of an input (default: the nesting of its JSON)")
      ->type_name("NAME:1x32")
      ->expected(1)
      ->take_all();
  command->add_option("--datatype", options.datatypes, "Type of an input (default: the model's)")
      ->type_name("NAME:FP32")
      ->expected(1)
      ->take_all();
  command->add_option("--output-name", options.outputs, "Only this output; may be repeated")
      ->expected(1)
      ->take_all();
  const std::map<std::string, Output> forms{
      {"text", Output::kText}, {"json", Output::kJson}, {"raw", Output::kRaw}};
  command
      ->add_option("-o,--output", options.output,
                   "text, json (the server's answer) or raw (one output's bytes)")
      ->transform(CLI::CheckedTransformer(forms));
  AddDurationOption(*command, "--deadline", options.deadline, "Answer within this time or not at all")
      ->default_str("none");
  command->add_option("--priority", options.priority, "1 is the highest (default: the model's)")
      ->check(CLI::Range(0, 1000));
  return command;
}

int RunInferCommand(const InferOptions& options) {
  const auto done = Infer(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("infer", done.error());
}

}  // namespace mezzo::app::cli
