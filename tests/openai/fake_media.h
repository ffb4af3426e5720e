#pragma once

#include <chrono>
#include <string>
#include <thread>
#include <tuple>

#include <nlohmann/json.hpp>

#include "mezzo/base/mutex.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::api::openai {

using Json = nlohmann::json;

/// What a job of the test does, by the first word of its prompt: "refuse" is refused when it is submitted,
/// "fail" and "crash" fail when it runs, "wait" runs until it is cancelled. Others end at once. Thread-safe.
class FakeHandler : public jobs::JobHandler {
 public:
  FakeHandler(storage::BlobStore& artifacts, const Clock& clock) : artifacts_(artifacts), clock_(clock) {}

  Result<jobs::JobEstimate> Check(const TenantId&, const std::string& request) override {
    const Json json = Json::parse(request);
    if (WordOf(json) == "refuse") return InvalidArgument("image_request", "'size' must be a multiple of 8");
    return jobs::JobEstimate{.model = json["model"].get<std::string>(), .cost = 0.1};
  }
  Result<std::string> Run(jobs::JobRun& run) override {
    const Json json = Json::parse(run.job().request);
    {
      MutexLock lock(mu_);
      input_ = json["input"];
      running_ = true;
      changed_.NotifyAll();
    }
    const std::string word = WordOf(json);
    if (word == "fail")
      return InvalidArgument("prompt_too_long", "the prompt has 78 tokens; the limit is 77");
    if (word == "crash") return Internal("engine_failed", "the engine has failed");
    while (word == "wait") {
      if (run.cancelled()) {
        MutexLock lock(mu_);
        cancelled_ = true;
        changed_.NotifyAll();
        return Cancelled("cancelled", "cancelled");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return Make(run, json["input"]);
  }

  /// The input of the job that ran last.
  Json input() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return input_;
  }
  bool AwaitRunning() { return Await(&FakeHandler::running_); }
  bool AwaitCancelled() { return Await(&FakeHandler::cancelled_); }

 protected:
  virtual Result<std::string> Make(jobs::JobRun& run, const Json& input) = 0;

  Result<storage::BlobFacts> Write(const jobs::JobRun& run, const std::string& name,
                                   const std::string& content, const std::string& type) {
    MEZZO_TRY(const auto key,
              storage::BlobKey::Make(run.job().tenant, run.job().fence.id.str(),
                                     static_cast<std::uint32_t>(run.job().fence.attempt), name));
    return storage::WriteBlob(artifacts_, key, AsBytes(content), {.content_type = type},
                              clock_.Now() + std::chrono::seconds(10));
  }
  [[nodiscard]] Result<std::string> Read(const std::string& key) const {
    MEZZO_TRY(const auto parsed, storage::BlobKey::Parse(key));
    return storage::ReadBlob(artifacts_, parsed, 1 << 20, clock_.Now() + std::chrono::seconds(10));
  }

 private:
  static std::string WordOf(const Json& request) {
    const Json& input = request["input"];
    const auto prompt = input.contains("prompt") ? input["prompt"].get<std::string>()
                                                 : input["shots"].back().value("prompt", std::string());
    return prompt.substr(0, prompt.find(' '));
  }
  bool Await(bool FakeHandler::* flag) EXCLUDES(mu_) {
    const TimePoint end = clock_.Now() + std::chrono::seconds(10);
    MutexLock lock(mu_);
    while (!(this->*flag) && changed_.WaitUntil(mu_, end)) {
    }
    return this->*flag;
  }

  storage::BlobStore& artifacts_;
  const Clock& clock_;
  Mutex mu_;
  CondVar changed_;
  Json input_ GUARDED_BY(mu_);
  bool running_ = false;
  bool cancelled_ = false;
};

/// What a picture must begin with to be taken for one.
inline const std::string kPng = "\x89PNG\r\n\x1a\n";

/// "Pictures" that say what they were made from.
class FakePainter final : public FakeHandler {
 public:
  using FakeHandler::FakeHandler;

 protected:
  Result<std::string> Make(jobs::JobRun& run, const Json& input) override {
    const std::string prompt = input["prompt"];
    const std::string format = input["output_format"];
    for (std::uint64_t i = 0; i < input.value("partial_images", 0U); ++i) {
      MEZZO_TRY_VOID(Write(run, "partial-0-" + std::to_string(i) + "." + format, "part " + std::to_string(i),
                           "image/" + format));
      MEZZO_TRY_VOID(run.Report(0.1, "step " + std::to_string(i)));
    }
    std::string given;
    for (const char* name : {"image", "mask"}) {
      if (!input.contains(name)) continue;
      MEZZO_TRY(const std::string content, Read(input[name]["artifact"]));
      given += " + " + content.substr(kPng.size());
    }
    Json images = Json::array();
    for (std::uint64_t i = 0; i < input["n"]; ++i) {
      MEZZO_TRY(const auto facts, Write(run, "image-" + std::to_string(i) + "." + format,
                                        prompt + given + " " + std::to_string(i), "image/" + format));
      images.push_back({{"artifact", facts.key.text()},
                        {"content_type", "image/" + format},
                        {"width", 64},
                        {"height", 32},
                        {"seed", input.value("seed", 7U) + i},
                        {"bytes", facts.size}});
    }
    return Json({{"images", images}, {"model", "m"}, {"version", "1"}, {"steps", 4}, {"device_ms", 5}})
        .dump();
  }
};

class FakeFilmer final : public FakeHandler {
 public:
  using FakeHandler::FakeHandler;

 protected:
  Result<std::string> Make(jobs::JobRun& run, const Json& input) override {
    Json result;
    std::string content = input["shots"].back().value("prompt", "");
    const Json& first = input["shots"][0];
    if (first.contains("picture")) {
      MEZZO_TRY(const std::string picture, Read(first["picture"]));
      content = picture.substr(kPng.size()) + ", then " + content;
    }
    for (const auto& [name, file, type] : {std::tuple("video", "video-v1.mp4", "video/mp4"),
                                           std::tuple("thumbnail", "thumbnail-v1.webp", "image/webp"),
                                           std::tuple("sprites", "sprites-v1.webp", "image/webp")}) {
      MEZZO_TRY(const auto facts, Write(run, file, std::string(name) + " of " + content, type));
      result[name] = {{"artifact", facts.key.text()}, {"content_type", type}, {"bytes", facts.size}};
    }
    result["video"].update({{"width", 1280}, {"height", 720}, {"duration_seconds", 15.0}});
    return result.dump();
  }
};

}  // namespace mezzo::api::openai
