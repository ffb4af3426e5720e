#include "mezzo/app/cli/generate_command.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/internal/json_answers.h"
#include "mezzo/app/cli/job_command.h"
#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/strings.h"
#include "mezzo/media/picture_header.h"

namespace mezzo::app::cli {
namespace {

using Json = nlohmann::ordered_json;

Result<Json> ParseObject(const std::string& text) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return BadAnswer(text);
  return json;
}

/// Writes one artifact into the folder and prints where it lies.
Result<void> Save(const V2Client& client, const std::string& folder, const std::string& id,
                  const Json& artifact) {
  const std::string name = artifact.value("name", "");
  const std::string url = artifact.value("url", "");
  if (!IsSafeName(name)) return BadAnswer(artifact.dump());
  const auto path = PathOnServer(url);
  if (!path) {
    std::printf("%s\n", url.c_str());  // A bucket's; whoever asked may fetch it.
    return {};
  }
  MEZZO_TRY(const HttpReply reply, client.CallOk("GET", *path));
  const std::filesystem::path file = std::filesystem::path(folder) / (id.substr(id.size() - 6) + "-" + name);
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(reply.body.data(), static_cast<std::streamsize>(reply.body.size()));
  out.close();
  if (!out) return Unavailable("not_written", "'" + file.string() + "' can't be written");
  std::printf("%s\n", file.c_str());
  return {};
}

/// Sends a picture file to the server; its artifact, or nothing when `path` is empty.
Result<std::string> Upload(const V2Client& client, const std::string& path) {
  if (path.empty()) return std::string();
  MEZZO_TRY(const std::string file, ReadFile(path));
  const auto format = media::FormatOf(AsBytes(file));
  if (!format) return InvalidArgument("picture_invalid", "'" + path + "' is neither PNG, JPEG nor WebP");
  MEZZO_TRY(const HttpReply reply,
            client.CallOk("POST", "/v1/uploads", file, {{"Content-Type", std::string(MediaType(*format))}}));
  MEZZO_TRY(const Json kept, ParseObject(reply.body));
  return kept.value("artifact", "");
}

Result<void> Generate(const GenerateOptions& options) {
  if (options.prompt.empty() == options.storyboard.empty())
    return InvalidArgument("no_prompt", "give either a prompt or --storyboard");
  std::string storyboard;
  if (!options.storyboard.empty()) {
    MEZZO_TRY(storyboard, ReadFile(options.storyboard));
  }
  MEZZO_TRY_VOID(GenerateBody(options, storyboard));  // Before anything is sent.
  MEZZO_TRY(const V2Client client, V2Client::Make(options.server));
  std::error_code failed;
  std::filesystem::create_directories(options.out, failed);
  if (failed) return Unavailable("not_written", "'" + options.out + "': " + failed.message());

  UploadedFiles files;
  MEZZO_TRY(files.image, Upload(client, options.image));
  MEZZO_TRY(files.mask, Upload(client, options.mask));
  MEZZO_TRY(const std::string body, GenerateBody(options, storyboard, files));
  MEZZO_TRY(const HttpReply queued, client.CallOk("POST", "/v1/jobs", body));
  MEZZO_TRY(const Json job, ParseObject(queued.body));
  const std::string id = job.value("id", "");
  constexpr std::size_t kShortId = 6;
  if (id.size() < kShortId || !IsSafeName(id)) return BadAnswer(queued.body);
  MEZZO_TRY_VOID(WatchJob(client, id));

  MEZZO_TRY(const HttpReply listed, client.CallOk("GET", "/v1/jobs/" + id + "/artifacts?limit=100"));
  MEZZO_TRY(const Json list, ParseObject(listed.body));
  if (!list.contains("data") || !list["data"].is_array()) return BadAnswer(listed.body);
  for (const Json& artifact : list["data"]) MEZZO_TRY_VOID(Save(client, options.out, id, artifact));
  return {};
}

}  // namespace

Result<std::string> GenerateBody(const GenerateOptions& options, const std::string& storyboard,
                                 const UploadedFiles& files) {
  Json job = {
      {"kind", "image"}, {"model", options.model}, {"version", options.version}, {"tier", options.tier}};
  if (!storyboard.empty()) {
    job["kind"] = "storyboard";
    job["input"] = Json::parse(storyboard, nullptr, /*allow_exceptions=*/false);
    if (!job["input"].is_object())
      return InvalidArgument("bad_storyboard", "'" + options.storyboard + "' is no JSON object");
    return job.dump();
  }
  Json input = {{"prompt", options.prompt}, {"n", options.images}, {"output_format", options.format}};
  const auto add = [&input](const char* name, const std::string& value) {
    if (!value.empty()) input[name] = value;
  };
  add("negative_prompt", options.negative_prompt);
  add("size", options.size);
  add("sampler", options.sampler);
  if (options.seed) input["seed"] = *options.seed;
  if (options.steps) input["steps"] = *options.steps;
  if (options.guidance) input["guidance"] = *options.guidance;
  if (!files.image.empty()) input["image"] = {{"artifact", files.image}};
  if (!files.mask.empty()) input["mask"] = {{"artifact", files.mask}};
  if (options.strength) input["strength"] = *options.strength;
  if (options.step_cache) input["step_cache"] = *options.step_cache;
  job["input"] = std::move(input);
  return job.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<std::string> PathOnServer(std::string_view url) {
  constexpr std::string_view kArtifacts = "/v1/artifacts/";
  std::size_t start = 0;
  if (const std::size_t scheme = url.find("://"); scheme != std::string_view::npos) {
    start = url.find('/', scheme + 3);
  }
  if (start == std::string_view::npos || !url.substr(start).starts_with(kArtifacts)) return std::nullopt;
  return std::string(url.substr(start));
}

CLI::App* AddGenerateCommand(CLI::App& app, GenerateOptions& options) {
  CLI::App* command =
      app.add_subcommand("generate", "Makes pictures from a prompt, or a video from a storyboard");
  AddServerOptions(*command, options.server);
  CLI::Option* storyboard =
      command->add_option("--storyboard", options.storyboard, "JSON of a video; - is standard input");
  command->add_option("--model", options.model, "A pipeline")->capture_default_str();
  command->add_option("--model-version", options.version, "Its version; default: the newest");
  command->add_option("-o,--out", options.out, "Folder for what is made")->capture_default_str();
  command->add_option("--tier", options.tier, "paid, urgent or free")->capture_default_str();
  // A storyboard says the rest itself.
  const auto add = [&](const char* name, auto& value, const char* help) {
    return command->add_option(name, value, help)->excludes(storyboard);
  };
  add("PROMPT", options.prompt, "What the pictures show");
  add("-n,--images", options.images, "How many pictures")->check(CLI::Range(1, 10));
  add("--negative-prompt", options.negative_prompt, "What they shall not show");
  CLI::Option* image = add("--image", options.image, "A picture file to start from");
  add("--mask", options.mask, "A picture file: white is painted anew, black is kept")->needs(image);
  add("--strength", options.strength, "0 to 1: how far to leave the picture")->needs(image);
  add("--size", options.size, "WIDTHxHEIGHT; default: the model's");
  add("--steps", options.steps, "Denoising steps; default: the model's");
  add("--guidance", options.guidance, "How closely to follow the prompt");
  add("--step-cache", options.step_cache, "0 to 1: how far steps may do without the network");
  add("--seed", options.seed, "The same seed gives the same picture");
  add("--sampler", options.sampler, "ddim, euler, dpmpp_2m_karras, ...; default: the model's");
  add("--format", options.format, "png, jpeg or webp")->capture_default_str();
  return command;
}

int RunGenerateCommand(const GenerateOptions& options) {
  const auto done = Generate(options);
  return done.ok() ? static_cast<int>(ExitCode::kOk) : FailWith("generate", done.error());
}

}  // namespace mezzo::app::cli
